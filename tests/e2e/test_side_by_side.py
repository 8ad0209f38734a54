"""A chunk is stored while the next one is made: the same objects, and nothing is lost or claimed.

The backend is the example's. It runs no model, so that a test can hold the device or the store at
any point.
"""

import dataclasses
import gc
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.context import TaskRunContext
from prefect.exceptions import TerminationSignal

import tasks.context
import tasks.stage_costs
from examples.gradient_backend import GRADIENT, GradientBackend, GradientSession
from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from pipelines.backends.base import Frame, GeneratedClip, InputMedia, StepReport
from pipelines.backends.registry import registered
from pipelines.documents.manifest import Manifest, StoredObject
from pipelines.errors import StoreError
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.request import ClipRequest
from tasks.background import Background
from tasks.progress import listening
from tests.conftest import slow

Run = Callable[..., Manifest]
BRIEF: dict[str, Any] = {"prompt": "two colours", "preset": "gradient", "enhance": False}
THREE = BRIEF | {"seconds": 6}
PATIENCE = 60.0
"""Seconds; a test that waits so long for the other side fails."""


@dataclass
class Device:
    """What the backend was asked for, and what a test wants to happen meanwhile."""

    asked: int = 0
    finished: int = 0
    frames: list[list["weakref.ref[Frame]"]] = field(default_factory=list)
    during: dict[int, Callable[[], None]] = field(default_factory=dict)
    """Called after the first step of that chunk."""


class Held(GradientSession):
    """The example's session; a test may hold it."""

    def __init__(self, device: Device) -> None:
        super().__init__(GRADIENT)
        self._device = device

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        device = self._device
        device.asked += 1
        device.frames.append([])
        clip = super().generate(request, media, lambda *_: None)
        return dataclasses.replace(clip, frames=self._drawn(clip, on_step, device.asked))

    def _drawn(self, clip: GeneratedClip, on_step: StepReport, number: int) -> Iterator[Frame]:
        for index, frame in enumerate(clip.frames):
            self._device.frames[number - 1].append(weakref.ref(frame))
            yield frame
            if index == 0 and number in self._device.during:
                self._device.during[number]()
            on_step(index + 1, 24)
        self._device.finished += 1


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()

    class Backend(GradientBackend):
        @contextmanager
        def open(self) -> Iterator[Held]:
            yield Held(device)

    definition = dataclasses.replace(GRADIENT, create=lambda *_: Backend(definition))
    with registered(definition):
        yield device
    assert [one.name for one in threading.enumerate() if one.name.startswith("background")] == []


@dataclass
class Puts:
    """The objects that were put into the bucket, in order, and what happens before each."""

    keys: list[ObjectKey] = field(default_factory=list)
    tasks: list[tuple[str, str]] = field(default_factory=list)
    """Name and state of the task run that puts each."""
    before: Callable[[ObjectKey], None] = lambda _: None

    @property
    def clips(self) -> list[ObjectKey]:
        return [key for key in self.keys if is_clip(key)]


def is_clip(key: ObjectKey) -> bool:
    return key.startswith("chunks/") and key.endswith(".mp4")


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> Puts:
    puts, real = Puts(), ObjectStore.put_file

    def put_file(self: ObjectStore, key: ObjectKey, path: Path, content_type: str) -> StoredObject:
        puts.before(key)
        context = TaskRunContext.get()
        run = context.task_run if context else None
        puts.tasks.append((run.name, run.state_name or "") if run else ("", ""))
        stored = real(self, key, path, content_type)
        puts.keys.append(key)
        return stored

    monkeypatch.setattr(ObjectStore, "put_file", put_file)
    return puts


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Background]:
    """The backgrounds of the runs."""
    found: list[Background] = []

    def make(**values: bool) -> Background:
        found.append(Background(**values))
        return found[-1]

    monkeypatch.setattr(tasks.context, "Background", make)
    return found


def waiting_for(event: threading.Event) -> Callable[[ObjectKey], None]:
    def before(_: ObjectKey) -> None:
        assert event.wait(PATIENCE)

    return before


def bucket(store: ObjectStore) -> dict[str, str]:
    """The sha256 of every object; a manifest holds times, so only its key counts."""
    found = {}
    for key in store.list_keys():
        head = store.head(key)
        assert head is not None
        found[key] = "" if "manifest" in key else head.sha256
    return found


def without_times(manifest: Manifest) -> dict[str, Any]:
    values = manifest.model_dump(mode="json", exclude={"created", "stages", "estimate", "route"})
    assert manifest.route is not None
    values["route"] = [item.preset for item in manifest.route.candidates]
    values["run"]["seconds"] = 0
    for record in (*values["chunks"], *values["segments"]):
        record["seconds"] = 0
    return values


@pytest.mark.parametrize("joins", ["continue", slow("crossfade")])
def test_every_object_is_the_same_as_one_after_the_other(
    joins: str, in_process: Run, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the demo model and its upscaler; a join that jumps is made again, as it was."""
    results = []
    chosen: list[bool] = []

    def make(*, forced: bool, beside: bool = False) -> Background:
        chosen.append(beside)
        return Background(beside=forced)

    for forced in (False, True):
        monkeypatch.setattr(tasks.context, "Background", partial(make, forced=forced))
        manifest = in_process(
            prompt="a red fox in the snow",
            **{"seconds": 1, "frames": 9, "steps": 1, "upscale": 2, "joins": joins},
            enhance=False,
        )
        assert manifest.run.chunks_made == len(manifest.chunks) >= 2
        results.append((bucket(store), without_times(manifest)))
        for key in store.list_keys():
            store.delete(key)
    release_all()
    assert results[0] == results[1]
    assert len(results[0][0]) > 10
    assert not any(chosen)  # the processor that makes the chunks has no time beside


def test_a_chunk_is_stored_while_the_next_one_is_made(
    in_process: Run,
    device: Device,
    puts: Puts,
    opened: list[Background],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, storing = threading.Event(), threading.Event()
    clock = [0.0]
    monkeypatch.setattr(tasks.stage_costs, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def pass_time() -> None:
        assert storing.wait(PATIENCE), "chunk 1 was not being stored while chunk 2 was made"
        clock[0] += 1000
        begun.set()

    def hold(key: ObjectKey) -> None:
        if is_clip(key) and not puts.clips:
            storing.set()
            assert begun.wait(PATIENCE), "chunk 2 was not begun before chunk 1 was stored"

    device.during[2] = pass_time
    puts.before = hold
    manifest = in_process(**THREE)
    assert manifest.run.chunks_made == 3
    assert opened[-1].beside
    # The time in which both happened is counted once.
    assert sum(stage.seconds for stage in manifest.stages) == 1000


def test_a_chunk_is_stored_last_after_its_files_and_by_its_own_running_task(
    in_process: Run, device: Device, puts: Puts
) -> None:
    manifest = in_process(**THREE, joins="continue")
    chunks = [item.digest for item in manifest.chunks]
    expected = [
        key
        for digest in chunks
        for key in (ObjectKey.overlap(digest), ObjectKey.takes(digest), ObjectKey.chunk(digest))
    ]
    made = [key for key in puts.keys if key.startswith("chunks/")]
    assert made == expected
    names = [f"chunk-{number}" for number in range(1, len(chunks) + 1) for _ in range(3)]
    assert puts.tasks[: len(expected)] == [(name, "Running") for name in names]


def test_nothing_is_reported_as_made_before_it_is_stored_and_progress_never_goes_back(
    in_process: Run, device: Device, puts: Puts
) -> None:
    reports: list[tuple[float, str, int]] = []

    def listen(progress: Progress) -> None:
        if progress.stage == "chunks":
            reports.append((progress.done, progress.detail, len(puts.clips)))

    stepped = threading.Event()
    device.during[2] = stepped.set
    puts.before = waiting_for(stepped)
    with listening(listen):
        in_process(**THREE)
    assert [done for done, _, _ in reports] == sorted(done for done, _, _ in reports)
    made = [(done, clips) for done, detail, clips in reports if detail.endswith(": made")]
    assert [done for done, _ in made] == [1, 2, 3]
    assert all(clips >= done for done, clips in made)
    assert all(clips >= int(done) for done, _, clips in reports)


def test_the_frames_of_one_chunk_wait_at_most(in_process: Run, device: Device, puts: Puts) -> None:
    alive: dict[int, list[int]] = {}

    def count(number: int) -> None:
        gc.collect()
        alive[number] = [
            sum(one() is not None for one in frames) for frames in device.frames[: number - 1]
        ]

    for number in range(1, 6):
        device.during[number] = partial(count, number)
    in_process(**BRIEF | {"seconds": 10})
    assert sorted(alive) == [1, 2, 3, 4, 5]
    for number, counts in alive.items():
        assert set(counts[:-1]) <= {0}, f"at chunk {number}, frames of earlier ones: {counts}"
    gc.collect()
    assert not any(one() is not None for frames in device.frames for one in frames)


@pytest.mark.expects_errors("the store is full")
def test_a_chunk_that_cannot_be_stored_ends_the_run_at_the_next_step(
    in_process: Run, device: Device, puts: Puts, store: ObjectStore, opened: list[Background]
) -> None:
    def fail(key: ObjectKey) -> None:
        if is_clip(key) and len(puts.clips) == 1:
            raise StoreError(f"{key}: the store is full")

    def until_failed() -> None:
        with suppress(StoreError):
            opened[-1]._jobs[0].made.result(PATIENCE)

    puts.before, device.during[3] = fail, until_failed
    with pytest.raises(StoreError, match="the store is full"):
        in_process(**THREE)
    assert (device.asked, device.finished) == (3, 2)
    assert [key for key in store.list_keys("chunks/") if is_clip(key)] == puts.clips
    assert store.list_keys("videos/") == []

    puts.before, device.during = lambda _: None, {}
    again = in_process(**THREE)
    assert [chunk.made for chunk in again.chunks] == [False, True, True]


@pytest.mark.expects_errors("the device failed")
def test_a_run_that_fails_still_stores_the_chunk_before(
    in_process: Run, device: Device, puts: Puts, store: ObjectStore
) -> None:
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        raise ValueError("the device failed")

    device.during[2] = fail
    puts.before = waiting_for(failed)
    with pytest.raises(ValueError, match="the device failed"):
        in_process(**THREE)
    device.during = {}
    assert [chunk.made for chunk in in_process(**THREE).chunks] == [False, True, True]


@pytest.mark.expects_errors("aborted by a termination signal")
def test_a_cancel_ends_the_storing_too_and_the_next_run_goes_on(
    in_process: Run, device: Device, puts: Puts, store: ObjectStore, opened: list[Background]
) -> None:
    """The files beside a clip may be there without it: the chunk is then made again.

    Prefect raises in the main thread, and then gives the signal to the handler before its own.
    """
    storing = threading.Event()

    def hold(key: ObjectKey) -> None:
        if len(puts.clips) == 1:  # the first file of chunk 2
            storing.set()
            while opened[-1]._signal is None:
                time.sleep(0.01)

    def cancel() -> None:
        assert storing.wait(PATIENCE)
        os.kill(os.getpid(), signal.SIGTERM)

    puts.before, device.during[3] = hold, cancel
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(TerminationSignal):
            in_process(**THREE)
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert [key for key in store.list_keys("chunks/") if is_clip(key)] == puts.clips[:1]
    assert len(puts.keys) == 4  # three of chunk 1, and the file that was on its way

    puts.before, device.during = lambda _: None, {}
    again = in_process(**THREE)
    assert [chunk.made for chunk in again.chunks] == [False, True, True]
    assert device.asked == 3 + 2
