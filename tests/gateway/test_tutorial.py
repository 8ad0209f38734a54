"""The calls that the tutorial for integrators prints, made by a shell as they are printed."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.docs.test_snippets import lines_of
from tests.support.gateway import Gateway

PAGE = REPOSITORY / "docs" / "tutorials" / "integrators.md"
pytestmark = [
    pytest.mark.xdist_group("gateway"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here"),
]


def calls() -> list[str]:
    """The lines with curl that name no video; those are printed for a finished run."""
    return [line for line in lines_of(PAGE) if line.startswith("curl ") and "NAME" not in line]


@pytest.fixture
def token(desk: Gateway) -> Iterator[str]:
    name = "tutorial"
    key = desk.cli("keys", "add", name, "--scope", "read", "--scope", "make").out.strip()
    yield key
    desk.cli("keys", "revoke", name)


def test_the_tutorial_s_calls_answer_as_it_says(desk: Gateway, token: str) -> None:
    def call(line: str, *options: str) -> tuple[int, dict[str, Any]]:
        asked = line.replace("http://127.0.0.1:8004", desk.url).replace("runs/ID", f"runs/{run}")
        words = " ".join(options)
        done = subprocess.run(
            ["sh", "-c", f"{asked} {words} --silent --write-out '\\n%{{http_code}}'"],
            cwd=REPOSITORY,
            env={"TOKEN": token, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.startswith("{") else {"text": body}

    run = ""
    ask, look, events, refused = calls()
    status, answer = call(ask)
    run = answer["id"]
    assert status == 202
    assert call(ask)[1]["id"] == run  # the same Idempotency-Key
    status, answer = call(look)
    assert (status, answer["id"]) == (200, run)
    with desk.client() as client:
        client.delete(f"/runs/{run}")
    status, answer = call(events)
    assert status == 200
    assert "data: " in answer["text"]
    status, answer = call(refused)
    assert (status, answer["error"]["code"]) == (422, "invalid_brief")
