"""The files in examples/ do what their comments and the documents say."""

import json
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.adapters.settings import Settings
from infra.apps import calendar
from infra.apps.gateway.hooks import read_hooks
from pipelines.backends.registry import presets
from pipelines.backends.remote.file import read_backends
from pipelines.costs.caps import Caps, parse_caps
from pipelines.documents.parsing import parse_brief
from pipelines.planning.plan import check_timeline
from pipelines.routing.policy_file import read_policy
from tests.conftest import REPOSITORY

EXAMPLES = REPOSITORY / "examples"
SECRET = "whsec_" + b64encode(b"a secret of this test, 32 bytes.").decode()
WITH_TESTS_OF_THEIR_OWN = {"gradient_backend.py"}


def test_every_example_is_tried() -> None:
    tried = Path(__file__).read_text(encoding="utf-8")
    names = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert {name for name in names - WITH_TESTS_OF_THEIR_OWN if f'"{name}"' not in tried} == set()


def test_the_brief_can_be_made() -> None:
    brief = parse_brief(json.loads((EXAMPLES / "brief.json").read_text(encoding="utf-8")))
    check_timeline(brief)
    assert (brief.seconds, brief.joins) == (6, "continue")


def test_the_calendar_has_no_broken_entry() -> None:
    lines, good = calendar.check(Settings.load(), EXAMPLES / "calendar.yaml")
    assert good
    assert [line.partition(":")[0] for line in lines] == ["morning-loop", "year-end"]
    assert "a yellow circle moves up over a black background, 2030" in lines[1]


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRET", SECRET)
    monkeypatch.setenv("CMS_SECRET", SECRET)


@pytest.mark.usefixtures("secrets")
def test_the_hooks_turn_the_body_into_a_brief() -> None:
    hooks = read_hooks(EXAMPLES / "hooks.yaml")
    body = json.loads((EXAMPLES / "webhook.json").read_text(encoding="utf-8"))
    brief = hooks.sources["shop"].brief_of(body)
    check_timeline(brief)
    assert brief.prompt == "a red ball moves to the right over a dark blue background"
    assert (brief.seconds, brief.campaign) == (4, "shop")
    assert [endpoint.name for endpoint in hooks.endpoints] == ["cms"]


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """The address of somebody who keeps what is posted there, and what came."""
    came: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            came.append((headers, self.rfile.read(int(headers["content-length"]))))
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hooks/shop", came
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("secrets")
def test_the_sender_signs_what_the_source_takes(
    receiver: tuple[str, list[tuple[dict[str, str], bytes]]], tmp_path: Path
) -> None:
    address, came = receiver
    secret = tmp_path / "shop.secret"
    secret.write_text(SECRET + "\n")
    command = [EXAMPLES / "send_webhook.py", address, secret, EXAMPLES / "webhook.json"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("202")
    ((headers, body),) = came
    delivery, _ = read_hooks(EXAMPLES / "hooks.yaml").sources["shop"].delivery(headers, body)
    assert delivery == headers["webhook-id"]


def test_the_backends_are_those_that_are_enabled() -> None:
    text = (EXAMPLES / "backends.yaml").read_text(encoding="utf-8")
    found = read_backends(text, "backends.yaml")
    names = [preset.name for definition in found for preset in definition.presets]
    assert [definition.name for definition in found] == ["omni", "studio-2"]
    assert names == ["omni_720p", "omni_1080p", "studio_2"]


def test_the_caps_cap_everything() -> None:
    text = (EXAMPLES / "caps.yaml").read_text(encoding="utf-8")
    caps = parse_caps(text, "caps.yaml", Caps())
    assert (caps.video, caps.day, caps.month) == (Decimal("1.50"), 10, 100)
    assert (caps.of_campaign("spring"), caps.of_campaign("autumn")) == (120, 50)


def test_the_policy_pays_little_by_itself() -> None:
    policy = read_policy(EXAMPLES / "policy.yaml", [*presets(), "demo"])
    assert policy.automatic_price_cap == Decimal("0.40")
    assert policy.above_cap == "approval"
