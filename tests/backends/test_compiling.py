"""Compilation of a transformer's blocks: once for each shape, and never the reason of a failure."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

from pipelines.backends import compiling
from pipelines.backends.compiling import CompiledBlocks
from pipelines.backends.wan import session
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.errors import GenerationError
from pipelines.schema.computation import Computation
from pipelines.schema.presets import Preset
from pipelines.schema.request import Continuation
from tests.backends.host import ArrayMedia, MemoryHost, digest
from tests.backends.wan_models import (
    backend_of,
    clip_of,
    fresh_host,
    generate,
    options_of,
    picture,
    request_for,
    same,
    tiny_models,
)

__all__ = ["fresh_host", "tiny_models"]  # fixtures

A = digest("a")


@pytest.fixture(autouse=True)
def no_code_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets is gone after it."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")


class Transformer:
    """Notes that its blocks were to be compiled."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def compile_repeated_blocks(self, **how: Any) -> None:
        self.asked.append(how)


@pytest.fixture
def stances(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How torch's compiler was told to behave, in order; nothing is known to be compiled."""
    seen: list[str] = []

    @contextmanager
    def stance(name: str) -> Iterator[None]:
        seen.append(name)
        yield

    monkeypatch.setattr(torch.compiler, "set_stance", stance)
    monkeypatch.setattr(compiling, "_compiled", {})
    return seen


def blocks_of(mode: Any, kind: str = "small") -> CompiledBlocks:
    return CompiledBlocks(mode, [Transformer()], kind)


def enter(blocks: CompiledBlocks, shape: object) -> None:
    with blocks.code_for(shape):
        pass


def test_blocks_are_compiled_whole_for_fixed_shapes_and_not_at_all_when_off() -> None:
    compiled, left = Transformer(), Transformer()
    CompiledBlocks("auto", [compiled], "small")
    CompiledBlocks("off", [left], "small")
    assert compiled.asked == [{"fullgraph": True, "dynamic": False, "backend": "inductor"}]
    assert left.asked == []


def test_only_a_warmed_shape_runs_compiled_code_and_nothing_compiles_in_a_run(
    stances: list[str],
) -> None:
    blocks = blocks_of("auto")
    enter(blocks, "480p")
    assert not blocks.wants("480p")
    assert blocks.warm("480p", lambda: None)
    enter(blocks, "480p")
    enter(blocks, "720p")
    assert stances == ["force_eager", "eager_on_recompile", "force_eager"]


def test_a_shape_is_compiled_once_in_a_process_for_all_models_of_its_kind(
    stances: list[str],
) -> None:
    assert stances == []
    steps: list[str] = []
    first, later, other = blocks_of("on"), blocks_of("on"), blocks_of("on", kind="large")
    assert first.wants("480p")
    first.warm("480p", lambda: steps.append("first"))
    assert not later.wants("480p")
    assert later.warm("480p", lambda: steps.append("later"))
    assert other.wants("480p")
    assert steps == ["first"]


def test_off_warms_nothing_and_leaves_the_compiler_alone(stances: list[str]) -> None:
    blocks = blocks_of("off")
    assert not blocks.warm("480p", lambda: pytest.fail("a step was made"))
    assert not blocks.wants("480p")
    enter(blocks, "480p")
    assert stances == []


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RuntimeError("Failed to find C compiler. Please specify"), "find C compiler"),
        (ImportError("cannot import name 'triton_key'"), "'triton_key'"),
        (
            torch._dynamo.exc.BackendCompilerFailed(None, RuntimeError("CUDA error: image"), None),
            "CUDA error: image",
        ),
    ],
    ids=lambda item: type(item).__name__ if isinstance(item, Exception) else "",
)
def test_a_compilation_that_fails_is_logged_and_the_shape_runs_as_without(
    error: Exception, cause: str, stances: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise error

    blocks = blocks_of("on")
    assert not blocks.warm("480p", fail)
    assert "not compiled for 480p, which runs as without" in caplog.text
    assert cause in caplog.text
    assert not blocks.wants("480p")  # and is not tried again
    enter(blocks, "480p")
    assert stances == ["force_eager"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        GenerationError("the attention function broke the device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_memory_and_device_report_while_compiling_is_raised(
    error: Exception, stances: list[str]
) -> None:
    def fail() -> None:
        raise error

    blocks = blocks_of("on")
    with pytest.raises(type(error)):
        blocks.warm("480p", fail)
    assert blocks.wants("480p")
    assert stances == []


PRESET = Preset(
    name="tiny",
    title="Tiny",
    backend="wan-t2v-14b",
    size=request_for("wan-t2v-14b").size,
    frames=5,
    options=options_of("wan-t2v-14b"),
)


def test_a_session_warms_a_preset_with_one_step_of_its_shape(
    fresh_host: MemoryHost, stances: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int, int]] = []

    class Noted(WanDenoiser):
        def _denoise(self, job: Job, plan: MemoryPlan, report: Any) -> torch.Tensor:
            made.append((str(job.size), job.frames, job.options.steps))
            return super()._denoise(job, plan, report)

    monkeypatch.setattr(session, "WanDenoiser", Noted)
    # Tracing real blocks takes long; a slow test does it.
    monkeypatch.setattr(WanTransformer3DModel, "compile_repeated_blocks", lambda _, **__: None)
    backend = backend_of("wan-t2v-14b", fresh_host)
    with backend.open() as opened:
        assert not opened.warm(PRESET)  # type: ignore[attr-defined]
        fresh_host.compile = "auto"
        assert opened.warm(PRESET)  # type: ignore[attr-defined]
        assert opened.warm(PRESET)  # type: ignore[attr-defined]
    assert made == [(str(PRESET.size), 5, 1)]
    clips = [clip_of(backend, request_for("wan-t2v-14b", frames=frames)) for frames in (5, 9)]
    assert stances == ["eager_on_recompile", "force_eager"]
    said = [clip.computation for clip in clips]
    assert said == [
        Computation(attention="native", compiled=compiled) for compiled in (True, False)
    ]


@pytest.mark.parametrize(
    ("name", "inputs", "warmed"),
    [
        ("wan-t2v-1.3b", ["continuation"], [0]),  # VACE has one shape for both
        ("wan-ti2v-5b", [], [0, 1]),
        ("wan-t2v-1.3b", [], [0]),
        ("wan-i2v-a14b", ["first_frame"], [1]),
    ],
)
def test_chunks_that_go_on_use_the_code_that_was_compiled_while_nothing_ran(
    name: str,
    inputs: list[str],
    warmed: list[int],
    fresh_host: MemoryHost,
    stances: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []

    class Noted(WanDenoiser):
        def _denoise(self, job: Job, plan: MemoryPlan, report: Any) -> torch.Tensor:
            begun.append(len(job.given.beginning))
            return super()._denoise(job, plan, report)

    monkeypatch.setattr(session, "WanDenoiser", Noted)
    for kind in (WanTransformer3DModel, WanVACETransformer3DModel):
        monkeypatch.setattr(kind, "compile_repeated_blocks", lambda _, **__: None)
    fresh_host.compile = "auto"
    backend = backend_of(name, fresh_host, *inputs)
    preset = PRESET.model_copy(update={"frames": 9, "options": options_of(name)})
    with backend.open() as opened:
        assert opened.warm(preset)  # type: ignore[attr-defined]
    assert begun == warmed
    if not backend.continues:  # type: ignore[attr-defined]
        return  # VACE makes the chunks that go on
    frames = backend.definition.capabilities.overlap
    media = ArrayMedia(overlaps={A: [picture(1)] * frames})
    goes_on = request_for(name, 9, [Continuation(chunk=A, frames=frames)])
    made = clip_of(backend, goes_on, media).computation
    assert made == Computation(attention="native", compiled=True)
    assert stances == ["eager_on_recompile"]


def test_a_shape_that_was_compiled_once_is_compiled_before_its_first_clip_in_later_processes(
    stances: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process is ended after a silence; the compiler reads its code from the disk."""

    def in_a_new_process(mode: str = "auto", **facts: str) -> CompiledBlocks:
        monkeypatch.setattr(compiling, "_compiled", {})
        monkeypatch.setattr(compiling, "device_facts", lambda _: facts)
        return CompiledBlocks(mode, [Transformer()], "small", tmp_path)  # type: ignore[arg-type]

    folders: list[str | None] = []
    first = in_a_new_process()
    assert not first.wants("480p")
    assert first.warm("480p", lambda: folders.append(os.environ.get("TORCHINDUCTOR_CACHE_DIR")))
    assert folders == [str(tmp_path / "code")]
    assert not first.wants("480p")
    later = in_a_new_process()
    assert (later.wants("480p"), later.wants("720p")) == (True, False)
    assert later.warm("480p", lambda: None)
    assert not later.wants("480p")
    assert not in_a_new_process("off").wants("480p")
    assert not in_a_new_process(driver="another").wants("480p")

    def fail() -> None:
        raise RuntimeError("the compiler failed")

    assert not in_a_new_process().warm("480p", fail)
    assert not in_a_new_process().wants("480p")
    assert stances == []


def test_layers_in_8_bits_are_not_loaded_for_a_compilation_that_does_not_come(
    fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 14 billion parameters takes minutes, for which a run may have to wait."""
    fresh_host.compile = "auto"
    monkeypatch.setattr(session, "WanDenoiser", lambda *_: pytest.fail("the model was loaded"))
    options = options_of("wan-t2v-14b", weights="fp8")
    with backend_of("wan-t2v-14b", fresh_host).open() as opened:
        assert not opened.warm(PRESET.model_copy(update={"options": options}))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_compiled_blocks_of_a_tiny_model_make_the_same_pixels_with_one_compilation(
    fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """dynamo traces the real blocks whole; a compiler that emits code is left out."""
    monkeypatch.setattr(compiling, "_COMPILER", "eager")
    monkeypatch.setattr(compiling, "_compiled", {})
    backend, request = backend_of("wan-t2v-14b", fresh_host), request_for("wan-t2v-14b")
    expected = generate(backend, request)
    fresh_host.release("video")
    fresh_host.compile = "on"
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    assert same(generate(backend, request), expected)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs >= 1
    assert same(generate(backend, request), expected)
    assert counters["stats"]["unique_graphs"] == graphs
