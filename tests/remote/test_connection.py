"""The connection to a remote backend, against a real server."""

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import AnswerLostError, MediaError, SettingsError, UnavailableError

SECRET = "sk-do-not-show-this"


@dataclass
class Server:
    """Answers as the test says, and notes what it was sent."""

    port: int = 0
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    """In order; the last one stays."""
    hang_up: bool = False
    """Read the request, then close the connection."""
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append((self.command, self.path, headers, body))
            if state.hang_up:
                self.close_connection = True
                return
            status, given, data = state.answers[0]
            if len(state.answers) > 1:
                state.answers.pop(0)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | given).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (http.server's names)

        def log_message(self, *_: Any) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def connection(
    address: str, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[HttpConnection, list[float]]:
    monkeypatch.setenv("FAR_KEY", SECRET)
    pauses: list[float] = []
    config = RemoteConfig(
        name="far",
        kind="any",
        address=address,
        key="env:FAR_KEY",
        **{"timeout_seconds": 5, **changes},
    )
    return HttpConnection(config, breaker=Breaker(), pause=pauses.append), pauses


OK = (200, {}, b'{"good": true}')


def test_a_question_is_repeated_while_the_server_is_overloaded(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [(503, {}, b""), (429, {}, b""), OK]
    link, pauses = connection(server.address, monkeypatch)
    assert link.send("GET", "/v1/jobs/1", query={"full": "1"}).json() == {"good": True}
    assert [path for _, path, _, _ in server.seen] == ["/v1/jobs/1?full=1"] * 3
    assert len(pauses) == 2
    assert server.seen[0][2]["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_starts_something_is_sent_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    server.answers = [(status, {}, b"{}")]
    link, _ = connection(server.address, monkeypatch)
    assert link.send("POST", "/v1/jobs", json={"prompt": "x"}).status == status
    assert len(server.seen) == 1
    assert json.loads(server.seen[0][3]) == {"prompt": "x"}


def test_an_answer_that_is_lost_is_told_from_a_server_that_is_not_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.hang_up = True
    link, _ = connection(server.address, monkeypatch)
    with pytest.raises(AnswerLostError, match="gave no whole answer"):
        link.send("POST", "/v1/jobs", json={})
    assert len(server.seen) == 1
    with pytest.raises(UnavailableError, match="run again when it works"):
        link.send("GET", "/v1/jobs")
    absent, _ = connection("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(UnavailableError, match="check that it runs"):
        absent.send("POST", "/v1/jobs", json={})


def test_a_proxy_that_lost_the_answer_is_no_proof_that_nothing_was_started(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [(504, {}, b"")]
    link, _ = connection(server.address, monkeypatch)
    with pytest.raises(AnswerLostError, match="a proxy answered 504"):
        link.send("POST", "/v1/jobs", json={})


def test_a_form_with_files_is_sent_as_multipart(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [OK]
    link, _ = connection(server.address, monkeypatch)
    link.send(
        "POST", "/upload", data={"a": "1"}, files={"image": ("b.png", b"\x89PNG", "image/png")}
    )
    _, _, headers, body = server.seen[0]
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'filename="b.png"' in body
    assert b'name="a"' in body


def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0])
    for _ in range(4):
        breaker.failed()
    assert breaker.seconds_left() == 0
    breaker.failed()
    assert breaker.seconds_left() == 30
    now[0] = 30
    assert breaker.seconds_left() == 0  # one trial
    breaker.failed()
    assert breaker.seconds_left() == 60
    now[0] = 90
    breaker.succeeded()
    breaker.failed()
    assert breaker.seconds_left() == 0


def test_nothing_is_sent_to_a_server_that_is_left_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [(500, {}, b"")]
    link, _ = connection(server.address, monkeypatch)
    for _ in range(5):
        link.send("POST", "/v1/jobs", json={})
    with pytest.raises(UnavailableError, match="left alone for"):
        link.send("POST", "/v1/jobs", json={})
    assert len(server.seen) == 5


def test_a_clip_is_written_whole_or_not_at_all(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link, _ = connection(server.address, monkeypatch)
    server.answers = [(200, {}, b"x" * 3_000_000)]
    link.download("/clip", tmp_path / "clip", limit=3_000_000)
    assert (tmp_path / "clip").stat().st_size == 3_000_000
    with pytest.raises(MediaError, match="larger than 2,999,999 bytes"):
        link.download("/clip", tmp_path / "other", limit=2_999_999)
    server.answers = [(200, {"Content-Length": "5000"}, b"short")]
    with pytest.raises(MediaError, match="broke off on its way"):  # it is fetched again
        link.download("/clip", tmp_path / "other", limit=3_000_000)
    server.answers = [(404, {}, b"")]
    with pytest.raises(MediaError, match="answered 404 for the clip"):
        link.download("/clip", tmp_path / "other", limit=3_000_000)
    assert [path.name for path in tmp_path.iterdir()] == ["clip"]


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/clip",
        "https://evil.example/clip",
        "http://storage.example/clip",
        "https://storage.example:8443/clip",
        "https://notstorage.example/clip",
        "file:///etc/passwd",
    ],
)
def test_clips_are_fetched_from_hosts_that_the_operator_named(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    link, _ = connection(server.address, monkeypatch, download_hosts=("storage.example",))
    with pytest.raises(SettingsError, match="add it to download_hosts"):
        link.download(address, tmp_path / "clip", limit=10)
    server.answers = [(302, {"Location": address}, b"")]
    with pytest.raises(SettingsError, match="add it to download_hosts"):
        link.download("/clip", tmp_path / "clip", limit=10)


@pytest.mark.parametrize(
    "address",
    ["https://[storage.example/clip", "https://storage.example:99999/clip", "https://a\tb/clip"],
)
def test_an_address_that_is_none_is_said_in_words(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str
) -> None:
    link, _ = connection(server.address, monkeypatch, download_hosts=("storage.example",))
    with pytest.raises(MediaError, match="which is no address"):
        link.download(address, tmp_path / "clip", limit=10)


def test_a_redirection_to_nowhere_is_no_clip(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    link, _ = connection(server.address, monkeypatch)
    server.answers = [(302, {}, b"")]
    with pytest.raises(MediaError, match="answered 302 for the clip"):
        link.download("/clip", tmp_path / "clip", limit=10)


def test_an_answer_that_is_too_large_to_read_does_not_say_that_nothing_was_started(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.adapters.remote.connection._LARGEST_REPLY", 10)
    link, _ = connection(server.address, monkeypatch)
    server.answers = [(200, {}, b"more than ten bytes")]
    with pytest.raises(AnswerLostError, match="is not read"):
        link.send("POST", "/v1/jobs", json={})
    with pytest.raises(UnavailableError, match="by address instead of inline"):
        link.send("GET", "/v1/jobs")


def test_a_wildcard_allows_subdomains_only() -> None:
    config = RemoteConfig(
        name="a", kind="b", address="https://c.d", download_hosts=("*.cdn.example",)
    )
    link = HttpConnection(config)
    link._check_host("https://a.cdn.example/clip")
    for host in ("cdn.example", "xcdn.example", "a.cdn.example.evil.org"):
        with pytest.raises(SettingsError):
            link._check_host(f"https://{host}/clip")


def test_the_key_is_in_no_error_log_or_text(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [(503, {}, b"")]
    link, _ = connection(server.address, monkeypatch)
    link.send("GET", "/v1/jobs?token=signed")
    server.hang_up = True
    with pytest.raises(AnswerLostError) as lost:
        link.send("POST", "/v1/jobs", json={})
    assert server.seen[-1][2]["authorization"].endswith(SECRET)
    assert SECRET not in caplog.text + repr(lost.value) + repr(link) + repr(vars(link))


def test_a_key_that_is_not_there_is_named_and_nothing_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, _ = connection(server.address, monkeypatch)
    monkeypatch.delenv("FAR_KEY")
    with pytest.raises(SettingsError, match="the key of far: the variable FAR_KEY is not set"):
        link.send("GET", "/")
    assert server.seen == []
