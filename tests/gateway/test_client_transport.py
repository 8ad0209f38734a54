"""What the Python client sends again, what it does not, and what it makes of odd answers."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from reelwright.client import Client, NotReachableError, UnexpectedAnswerError
from reelwright.client.transport import Transport
from tests.conftest import REPOSITORY

RUN = {
    "id": "0193d0a2-1f7e-7c4b-9a53-6f0c2f6d8e11",
    "name": "a-run",
    "state": "accepted",
    "of a newer version": True,
}
BUSY = httpx.Response(
    503, headers={"Retry-After": "7"}, json={"error": {"code": "x", "message": "y"}}
)


class Gateway:
    """Answers in order, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.asked: list[httpx.Request] = []
        self.pauses: list[float] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def mocked(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def transport(self, retries: int = 3) -> Transport:
        client = httpx.Client(base_url="http://studio", transport=self.mocked)
        return Transport(client, retries, self.pauses.append)


def test_a_get_is_sent_again_when_the_gateway_is_busy_or_away() -> None:
    gateway = Gateway(BUSY, httpx.ConnectError("refused"), httpx.Response(200, json=RUN))
    assert gateway.transport().send("GET", "/runs/1").json() == RUN
    assert len(gateway.asked) == 3
    assert gateway.pauses[0] == 7  # as the gateway asked
    assert 0.5 <= gateway.pauses[1] <= 1.0


def test_a_start_is_sent_again_under_the_same_idempotency_key() -> None:
    gateway = Gateway(httpx.ReadTimeout("late"), httpx.Response(202, json=RUN))
    with Client("http://studio", "rw_x", transport=gateway.mocked) as client:
        client._transport._sleep = gateway.pauses.append
        assert str(client.start("a fox").id) == RUN["id"]
    first, second = (request.headers["idempotency-key"] for request in gateway.asked)
    assert first == second
    assert gateway.asked[0].headers["authorization"] == "Bearer rw_x"


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.answer("1", "approve"),
        lambda client: client.cancel("1"),
        lambda client: client.delete("1"),
        lambda client: client.test_webhook("cms"),
    ],
    ids=["answer", "cancel", "delete", "test_webhook"],
)
def test_what_must_not_happen_twice_is_sent_once(act: Callable[[Client], object]) -> None:
    gateway = Gateway(httpx.ReadTimeout("late"))
    client = Client("http://studio", "rw_x", transport=gateway.mocked)
    with client, pytest.raises(NotReachableError):
        act(client)
    assert len(gateway.asked) == 1


def test_after_the_last_try_the_gateway_s_own_words_are_raised() -> None:
    gateway = Gateway(*[BUSY] * 3)
    with pytest.raises(Exception, match="y"):
        gateway.transport(retries=2).send("GET", "/runs")
    assert len(gateway.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<h1>Welcome</h1>"),
        httpx.Response(502, html="<h1>Bad Gateway</h1>"),
        httpx.Response(200, json={"id": 1}),
        httpx.Response(400, json=["error"]),
    ],
    ids=["a page", "a proxy's page", "another service", "another error"],
)
def test_what_is_no_gateway_is_said_to_be_none(answer: httpx.Response) -> None:
    gateway = Gateway(answer)
    client = Client("http://studio", "rw_x", retries=0, transport=gateway.mocked)
    with client, pytest.raises(UnexpectedAnswerError):
        client.run("1")


def test_all_pages_of_a_list_are_walked_and_no_more_are_read_than_asked_for() -> None:
    more = {"Link": '</runs?cursor=abc>; rel="next"'}
    gateway = Gateway(
        httpx.Response(200, json=[RUN], headers=more),
        httpx.Response(200, json=[], headers=more),  # a filter may leave nothing of a page
        httpx.Response(200, json=[RUN]),
    )
    with Client("http://studio", "rw_x", transport=gateway.mocked) as client:
        runs = client.runs(campaign="spring")
        next(runs)
        assert len(gateway.asked) == 1
        assert len(list(runs)) == 1
    assert [str(request.url.query.decode()) for request in gateway.asked] == [
        "campaign=spring&limit=100",
        "cursor=abc",
        "cursor=abc",
    ]


class Broken(httpx.SyncByteStream):
    """A body that ends too early."""

    def __iter__(self) -> Iterator[bytes]:
        yield b"the first half"
        raise httpx.ReadError("cut")


def test_a_download_that_breaks_off_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "fox.mp4"
    target.write_bytes(b"whole")
    gateway = Gateway(httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"new"))
    with Client("http://studio", "rw_x", transport=gateway.mocked) as client:
        with pytest.raises(NotReachableError, match="does not answer"):
            client.download("f" * 64, target)
        assert [path.name for path in tmp_path.iterdir()] == ["fox.mp4"]
        assert target.read_bytes() == b"whole"
        assert client.download("f" * 64, target).read_bytes() == b"new"


def test_a_time_without_a_zone_is_refused_before_anything_is_sent() -> None:
    gateway = Gateway()
    client = Client("http://studio", "rw_x", transport=gateway.mocked)
    with client, pytest.raises(ValueError, match="has no time zone"):
        list(client.runs(since=datetime(2026, 11, 1)))
    assert gateway.asked == []


def test_the_key_is_in_no_repr_and_no_error() -> None:
    client = Client("http://127.0.0.1:9", "rw_very-secret", retries=0)
    with client, pytest.raises(NotReachableError) as caught:
        client.me()
    assert (
        "very-secret" not in f"{client!r} {caught.value!r} {caught.value} {caught.value.__cause__}"
    )


def test_importing_the_client_imports_nothing_of_the_studio() -> None:
    code = (
        "import sys, reelwright.client; print([name for name in sys.modules if name.split('.')[0] "
        "in ('infra', 'flows', 'tasks', 'pipelines', 'prefect', 'fastapi', 'torch')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
