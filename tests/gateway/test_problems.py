"""Codes of errors that Starlette and FastAPI raise by themselves."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from infra.apps.gateway.problems import add_handlers
from pipelines.backends.remote.access import Reply
from pipelines.backends.remote.videos.answers import check
from pipelines.errors import ReelwrightError, RefusedError


@pytest.fixture
def answer() -> Callable[[int], httpx.Response]:
    """What the gateway answers if something in it raises that status."""
    app = FastAPI()
    add_handlers(app)

    @app.get("/{status}")
    def fail(status: int) -> None:
        raise HTTPException(status, "a sentence")

    return lambda status: TestClient(app).get(f"/{status}")


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "not_found"), (413, "too_large"), (400, "http_error"), (406, "http_error")],
)
def test_another_reelwright_takes_no_status_by_itself_for_a_refusal_of_content(
    answer: Callable[[int], httpx.Response], status: int, code: str
) -> None:
    found = answer(status)
    assert found.json() == {"error": {"code": code, "message": "a sentence"}}
    with pytest.raises(ReelwrightError) as caught:
        check(Reply(found.status_code, {}, found.content), "the other studio")
    assert not isinstance(caught.value, RefusedError)


def test_a_run_that_is_refused_there_is_a_refusal_here() -> None:
    body = b'{"error": {"code": "run_refused", "message": "not this content"}}'
    with pytest.raises(RefusedError, match="not this content"):
        check(Reply(400, {}, body), "the other studio")
