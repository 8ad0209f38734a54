"""Websockets to remote backends, against a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from infra.adapters.remote import listening
from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.remote.access import Listening
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import UnavailableError
from tests.support.fake_comfyui import FakeComfy, Job, fake_comfyui

JOB = Job("mine", 0, {}, "me")


@pytest.fixture
def server() -> Iterator[FakeComfy]:
    with fake_comfyui() as running:
        yield running


def connection(server: FakeComfy, key: str = "") -> HttpConnection:
    config = RemoteConfig(name="box", kind="comfyui", address=server.url, key=key)
    return HttpConnection(config, breaker=Breaker(), pause=lambda _: None)


def until(found: Callable[[], bool]) -> None:
    """Wait for another thread; a test that waits in vain fails at its time-out."""
    while not found():
        Event().wait(0.01)


def test_texts_are_kept_in_order_and_pictures_are_thrown_away(server: FakeComfy) -> None:
    box = connection(server)
    assert isinstance(box, Listening)
    listener = box.listen("/ws", query={"clientId": "me"})
    heard: list[str] = []
    until(lambda: bool(heard.extend(listener.texts()) or heard))
    for number in range(3):
        server.say(JOB, "progress", {"value": number})
    until(lambda: bool(heard.extend(listener.texts()) or len(heard) == 4))
    assert [text.split('"value": ')[-1] for text in heard[1:]] == ["0}}", "1}}", "2}}"]
    assert list(listener.texts()) == []
    listener.close()


def test_the_key_is_sent(server: FakeComfy, tmp_path: Path) -> None:
    server.key = "the-secret"
    with pytest.raises(UnavailableError, match="no websocket can be had") as caught:
        connection(server).listen("/ws")
    assert "the-secret" not in str(caught.value)
    (tmp_path / "key").write_text("the-secret")
    connection(server, f"file:{tmp_path / 'key'}").listen("/ws").close()


def test_a_connection_that_breaks_is_told(server: FakeComfy) -> None:
    listener = connection(server).listen("/ws", query={"clientId": "me"})
    until(lambda: bool(listener.texts()))
    server.hang_up()
    with pytest.raises(UnavailableError, match="the websocket is closed"):
        until(lambda: bool(listener.texts()))


def test_a_listener_that_nobody_asks_is_closed(
    server: FakeComfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its run was interrupted: a process that lives on must not keep it for ever."""
    monkeypatch.setattr(listening, "_FORGOTTEN", 0.0)
    listener = connection(server).listen("/ws")
    with pytest.raises(UnavailableError, match="the websocket is closed"):
        until(lambda: bool(listener.texts()))
