"""Jobs beside the main thread: their order, their errors, and what is left when a run ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

import pytest
from prefect.exceptions import TerminationSignal

from pipelines.errors import GenerationError, StoreError
from tasks.background import Background, Inbox


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [one.name for one in threading.enumerate() if one.name.startswith("background")] == []


def first_of(inbox: Inbox[str]) -> str:
    return next(inbox)


def nothing(_: object) -> None: ...


def give(background: Background, work: Callable[[Inbox[str]], str], item: str = "a") -> None:
    """Start a job with one item."""
    with background.job(work, nothing) as inbox:
        inbox.put(item)


def until_stopped(background: Background, begun: threading.Event) -> Callable[[Inbox[str]], str]:
    """A job that goes on until it is told to stop."""

    def work(inbox: Inbox[str]) -> str:
        next(inbox)
        begun.set()
        while True:
            background.go_on()

    return work


def test_jobs_are_done_in_order_by_one_thread_and_seen_in_the_main_one() -> None:
    done: list[tuple[str, bool]] = []
    threads: set[int] = set()

    def work(inbox: Inbox[str]) -> str:
        threads.add(threading.get_ident())
        return next(inbox).upper()

    def see(made: str) -> None:
        done.append((made, threading.current_thread() is threading.main_thread()))

    with Background() as background:
        for name in "abc":
            with background.job(work, see) as inbox:
                inbox.put(name)
        background.wait()
    assert done == [("A", True), ("B", True), ("C", True)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_job_knows_the_context_of_its_start() -> None:
    run = ContextVar("run", default="none")
    seen: list[str] = []
    with Background() as background:
        run.set("the flow run")
        with background.job(lambda inbox: next(inbox) + run.get(), seen.append) as inbox:
            inbox.put("in ")
    assert seen == ["in the flow run"]


def test_the_main_thread_goes_on_beside_a_job_or_waits_for_it_as_asked() -> None:
    release = threading.Event()

    def held(inbox: Inbox[str]) -> str:
        release.wait(60)
        return next(inbox)

    with Background() as background:
        give(background, held)
        assert background.unfinished == 1
        release.set()
    seen: list[str] = []
    with Background(beside=False) as background:
        with background.job(first_of, seen.append) as inbox:
            inbox.put("a")
        assert (seen, background.unfinished) == (["a"], 0)


def test_no_more_items_wait_than_there_is_room_for() -> None:
    produced = taken = 0
    waiting: list[int] = []

    def work(inbox: Inbox[int]) -> int:
        nonlocal taken
        for _ in inbox:
            taken += 1
            waiting.append(produced - taken)
        return taken

    with Background() as background, background.job(work, nothing, room=3) as inbox:
        for item in range(50):
            inbox.put(item)
            produced += 1
    assert (produced, taken) == (50, 50)
    assert max(waiting) <= 3


def test_waiting_leaves_as_many_jobs_as_asked() -> None:
    release = threading.Event()
    seen: list[str] = []

    def held(inbox: Inbox[str]) -> str:
        name = next(inbox)
        if name == "b":
            release.wait(60)
        return name

    with Background() as background:
        for name in "ab":
            with background.job(held, seen.append) as inbox:
                inbox.put(name)
        background.wait(left=1)
        assert (seen, background.unfinished) == (["a"], 1)
        release.set()
    assert seen == ["a", "b"]


def failing(error: BaseException) -> Callable[[Inbox[str]], str]:
    def work(inbox: Inbox[str]) -> str:
        next(inbox)
        raise error

    return work


def ended(background: Background) -> None:
    """Wait until the first job has ended, without seeing how."""
    background._jobs[0].made.exception()


def test_an_error_of_a_job_is_raised_by_the_next_look_and_once() -> None:
    error = StoreError("the store is full")
    with Background() as background:
        give(background, failing(error))
        ended(background)
        with pytest.raises(StoreError) as raised:
            background.check()
        assert raised.value is error
        background.check()
        background.wait()


def test_an_error_that_a_backend_could_take_for_its_own_is_left_to_waiting() -> None:
    with Background() as background:
        give(background, failing(MemoryError("host")))
        ended(background)
        background.check()
        with pytest.raises(MemoryError, match="host"):
            background.wait()


def test_the_end_of_the_block_raises_the_error_of_the_last_job() -> None:
    def run() -> None:
        with Background() as background:
            give(background, failing(StoreError("full")))

    with pytest.raises(StoreError, match="full"):
        run()


def test_items_for_a_job_that_failed_are_dropped_so_that_nobody_waits_for_room() -> None:
    with Background() as background:
        with background.job(failing(StoreError("full")), nothing, room=1) as inbox:
            for item in range(9):
                inbox.put(str(item))
        with pytest.raises(StoreError):
            background.wait()


def test_an_error_while_the_items_are_made_is_the_error_of_the_job_too() -> None:
    error = GenerationError("memory ran out")
    seen: list[BaseException] = []

    def work(inbox: Inbox[str]) -> str:
        try:
            return "".join(inbox)
        except GenerationError as raised:
            seen.append(raised)
            raise

    def run() -> None:
        with Background() as background, background.job(work, nothing, room=5) as inbox:
            inbox.put("a")
            raise error

    with pytest.raises(GenerationError) as raised:
        run()
    assert seen == [error] == [raised.value]


def test_a_failed_run_still_finishes_the_job_that_has_all_its_items() -> None:
    release, done = threading.Event(), threading.Event()

    def work(inbox: Inbox[str]) -> str:
        name = next(inbox)
        release.wait(60)
        done.set()
        return name

    def run() -> None:
        with Background() as background:
            give(background, work)
            with background.job(first_of, nothing):
                release.set()
                raise GenerationError("the next chunk is black")

    with pytest.raises(GenerationError):
        run()
    assert done.is_set()


def test_the_second_error_of_a_failed_run_is_logged_and_does_not_hide_the_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def run() -> None:
        with Background() as background:
            give(background, failing(StoreError("full")))
            raise GenerationError("black")

    with pytest.raises(GenerationError):
        run()
    assert caplog.messages == ["a job in the background failed as well: full"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), TerminationSignal(signal=signal.SIGTERM)], ids=repr
)
def test_a_stopped_run_gives_its_jobs_up(error: BaseException) -> None:
    begun, later = threading.Event(), threading.Event()

    def never(inbox: Inbox[str]) -> str:
        later.set()
        return next(inbox)

    def run() -> None:
        with Background() as background:
            give(background, until_stopped(background, begun))
            give(background, never)
            begun.wait(60)
            raise error

    with pytest.raises(type(error)):
        run()
    assert begun.is_set()
    assert not later.is_set()


@pytest.mark.parametrize("own", [True, False], ids=["main thread", "another thread"])
def test_a_signal_reaches_a_main_thread_that_waits_for_a_job(own: bool) -> None:
    """As a cancel does: Prefect's handler raises in the main thread. Which thread gets the signal
    is for the kernel to choose."""

    def stop(*_: object) -> None:
        raise TerminationSignal(signal=signal.SIGTERM)

    def run() -> None:
        with Background() as background:

            def work(inbox: Inbox[str]) -> str:
                next(inbox)
                chosen = threading.main_thread() if own else threading.current_thread()
                assert chosen.ident is not None
                signal.pthread_kill(chosen.ident, signal.SIGUSR1)
                while True:
                    background.go_on()

            give(background, work)
            background.wait()

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(TerminationSignal):
            run()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_before_the_items_come_leaves_no_job_waiting_for_them() -> None:
    waiting = threading.Event()
    blocks: list[AbstractContextManager[Inbox[str]]] = []

    def work(inbox: Inbox[str]) -> str:
        waiting.set()
        return next(inbox)

    def run() -> None:
        with Background() as background:
            # Its exit is never called: a signal may come right after the start of the job.
            blocks.append(background.job(work, nothing))
            blocks[0].__enter__()
            waiting.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert waiting.is_set()
