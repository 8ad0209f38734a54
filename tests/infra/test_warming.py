"""What a warm process does while it has no run. Backends and the device are fakes here."""

import dataclasses
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from infra.adapters import disk
from infra.adapters.device import cache
from infra.adapters.device.choice import device_lock
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from infra.apps.worker import child, warming
from pipelines.backends.registry import definitions
from pipelines.errors import GenerationError


class Backend:
    """A backend whose session notes the presets that it is warmed for."""

    def __init__(self) -> None:
        self.warmed: list[str] = []
        self.inputs: list[frozenset[str]] = []
        """That it was made for, each time."""
        self.errors: dict[str, Exception] = {}

    def create(self, _: object, inputs: frozenset[str]) -> "Backend":
        self.inputs.append(inputs)
        return self

    def prepare(self, requests: object) -> None: ...

    def generate(self, request: object, media: object, on_step: object) -> None: ...

    def warm(self, preset: Any) -> bool:
        self.warmed.append(preset.name)
        if preset.name in self.errors:
            raise self.errors[preset.name]
        return True

    @contextmanager
    def open(self) -> Iterator["Backend"]:
        yield self


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return Settings.load()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Behind the stand-in and two further definitions, on a host that compiles; all their models
    are installed."""
    backend = Backend()
    stand_in, first, second = list(definitions().values())[:3]
    assert stand_in.stand_in
    fakes = {
        item.name: dataclasses.replace(item, create=backend.create)
        for item in (stand_in, first, second)
    }
    monkeypatch.setattr(warming, "definitions", lambda: fakes)
    monkeypatch.setattr(warming, "state_of", lambda *_: SimpleNamespace(kind="installed"))
    monkeypatch.setattr(DeviceHost, "compile", "auto")
    return backend


def names() -> list[str]:
    """The presets of those definitions but the stand-in's, in the order in which they are
    compiled; those of videos that other models than text's continue are compiled for these too."""
    _, first, second = warming.definitions().values()
    continued = [preset for preset in first.presets if not preset.is_still]
    return [preset.name for preset in (*second.presets, *continued, *first.presets)]


def test_all_presets_are_compiled_one_a_step_and_the_first_backend_last(
    settings: Settings, backend: Backend
) -> None:
    steps = warming.steps(settings)
    for count in range(1, len(names()) + 1):
        next(steps)
        assert backend.warmed == names()[:count]
    assert list(steps) == []


def test_the_stand_in_does_not_take_the_place_of_a_model_for_the_gpu(
    settings: Settings, backend: Backend
) -> None:
    list(warming.steps(settings))
    assert backend.warmed[-1] == definitions()["wan-t2v-1.3b"].presets[-1].name


def test_nothing_is_compiled_on_a_cpu(settings: Settings) -> None:
    assert DeviceHost(settings).compile == "off"
    assert list(warming.steps(settings)) == []


def test_videos_that_other_models_continue_are_compiled_for_before_text_alone(
    settings: Settings, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(warming.steps(settings))
    made = list(zip(backend.warmed, backend.inputs, strict=True))
    text, continued = frozenset({"text"}), frozenset({"text", "continuation"})
    assert made.index(("video_fast", continued)) < made.index(("video_fast", text))
    assert ("image_fast", continued) not in made
    assert [kinds for name, kinds in made if name == "video_14b"] == [text]

    def state_of(_: object, model: Any) -> SimpleNamespace:
        return SimpleNamespace(kind="missing" if model.name == "vace-1.3B" else "installed")

    monkeypatch.setattr(warming, "state_of", state_of)
    backend.inputs.clear()
    list(warming.steps(settings))
    assert set(backend.inputs) == {text}


def test_a_preset_without_its_models_is_passed_over(
    settings: Settings, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "state_of", lambda *_: SimpleNamespace(kind="missing"))
    assert list(warming.steps(settings)) == []
    assert backend.warmed == []


def test_a_device_that_another_process_has_is_left_to_it(
    settings: Settings, backend: Backend
) -> None:
    steps = warming.steps(settings)
    with disk.exclusive(device_lock(settings), lambda: None):
        next(steps)
        next(steps)
        assert backend.warmed == []
    next(steps)
    assert backend.warmed == names()[:1]


def test_a_preset_that_cannot_be_compiled_keeps_none_of_the_others_from_it(
    settings: Settings, backend: Backend
) -> None:
    backend.errors[names()[0]] = GenerationError("its weights are of another model")
    list(warming.steps(settings))
    assert backend.warmed == names()


def test_where_memory_runs_out_all_models_go_and_the_next_preset_is_compiled(
    settings: Settings, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the process: each new one would end in the same way, and none would keep its models."""
    closed: list[str] = []

    class Model:
        def close(self) -> None:
            closed.append("video")

    cache.resident("video", ("a",), Model)
    backend.errors[names()[0]] = torch.OutOfMemoryError("CUDA out of memory")
    list(warming.steps(settings))
    assert backend.warmed == names()
    assert closed == ["video"]
    assert f"nothing is compiled for {names()[0]}: CUDA out of memory" in caplog.text


def test_after_an_error_of_the_device_the_process_ends(
    settings: Settings, backend: Backend
) -> None:
    backend.errors[names()[0]] = torch.AcceleratorError("CUDA error: unspecified launch failure")
    with pytest.raises(SystemExit, match=r"the device reported an error; .*COMPILE=off"):
        list(warming.steps(settings))
    assert backend.warmed == names()[:1]


def test_a_run_that_comes_goes_before_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_PAUSE", 0.0)
    reading, writing = os.pipe()
    done: list[str] = []

    def idle() -> Iterator[None]:
        for word in ("first", "second", "third"):
            done.append(word)
            if word == "second":
                os.write(writing, b'{"flow_run": "a"}\n')
            yield

    with os.fdopen(reading, encoding="utf-8") as stream:
        commands = child.commands_of(stream, idle())
        assert next(commands) == {"flow_run": "a"}
        assert done == ["first", "second"]
        os.write(writing, b'{"flow_run": "b"}\n')
        assert next(commands) == {"flow_run": "b"}
        assert done == ["first", "second"]
        os.close(writing)
        assert list(commands) == []


def test_a_resting_process_does_no_idle_work_before_its_first_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The device was just given back."""
    monkeypatch.setattr(child, "_PAUSE", 0.0)
    reading, writing = os.pipe()
    done: list[str] = []

    def idle() -> Iterator[None]:
        done.append("a step")
        os.write(writing, b'{"flow_run": "b"}\n')
        yield

    with os.fdopen(reading, encoding="utf-8") as stream:
        commands = child.commands_of(stream, idle(), resting=True)
        writer = threading.Timer(0.1, os.write, (writing, b'{"flow_run": "a"}\n'))
        writer.start()
        assert next(commands) == {"flow_run": "a"}
        assert done == []
        assert next(commands) == {"flow_run": "b"}
        assert done == ["a step"]
        writer.join()
        os.close(writing)


def test_memory_that_idle_work_takes_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the worker would call a loaded model a leak, and end the process after the next run."""
    resident = 100

    def steps() -> Iterator[None]:
        nonlocal resident
        for added in (50, 7):
            resident += added
            yield

    monkeypatch.setattr(child, "_rss", lambda: resident)
    idle = child.IdleWork(steps())
    next(idle)
    resident += 1000  # a run comes between two steps
    next(idle)
    assert idle.added == 57


def test_the_resident_memory_is_that_of_this_process() -> None:
    pages = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = int(pages.partition("VmRSS:")[2].split()[0])
    assert child._rss() == pytest.approx(kilobytes * 1024, rel=0.2)
