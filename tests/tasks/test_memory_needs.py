"""How much room the models of a run are given, and what its estimate says about the host."""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import torch

from infra.adapters.device.choice import Device
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from pipelines.documents.brief import Brief
from pipelines.planning.memory import PROCESS_BYTES
from pipelines.prompting.footprint import writer_footprint
from pipelines.schema.memory import DEVICE_CONTEXT
from pipelines.upscaling.ladder import Way
from tasks.check import footprint_of
from tasks.context import RunContext

GB = 10**9
BRIEF = Brief(prompt="a red fox", preset="demo", upscale=2)


@pytest.fixture
def context(demo_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(demo_models))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return RunContext(BRIEF, Settings.load(), ExitStack())


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the host was told that a model needs, in place of loading it."""
    told: dict[str, int] = {}

    def resident(
        _: DeviceHost, kind: str, __: tuple[str, ...], ___: Callable[[], object], need: int
    ) -> object:
        told[kind] = need
        return None

    @contextmanager
    def lent(
        host: DeviceHost,
        kind: str,
        key: tuple[str, ...],
        load: Callable[[], object],
        need: int,
        *,
        beside: int,
    ) -> Iterator[object]:
        resident(host, kind, key, load, need)
        told[f"{kind} beside"] = beside
        yield load()  # its process starts with the first request

    monkeypatch.setattr(DeviceHost, "resident", resident)
    monkeypatch.setattr(DeviceHost, "lent", lent)
    return told


def on_a_card(
    context: RunContext, monkeypatch: pytest.MonkeyPatch, *, free: int, allocated: int
) -> None:
    """As on a GPU with `free` bytes, beside `allocated` bytes of models of an earlier run."""
    context.device = "cuda"
    monkeypatch.setattr(DeviceHost, "chosen", property(lambda _: Device("cuda")))
    monkeypatch.setattr(DeviceHost, "free_bytes", lambda _: free)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: allocated)


def test_the_writer_gets_room_for_its_context_and_its_buffers(
    context: RunContext, needs: dict[str, int]
) -> None:
    assert context.enhancer_model is not None
    file = context.enhancer_model.path
    entry = MODELS[context.enhancer_model.name].enhancer
    assert entry is not None
    with context.enhancer():
        assert needs["enhancer"] == writer_footprint(file, entry.context).total
    assert needs["enhancer beside"] == 0
    assert needs["enhancer"] > file.stat().st_size + 500_000_000


def test_a_writer_whose_header_is_unreadable_gets_room_for_its_file(
    context: RunContext, tmp_path: Path
) -> None:
    assert context.enhancer_model is not None
    missing = tmp_path / "none.gguf"
    context.enhancer_model = dataclasses.replace(context.enhancer_model, path=missing)
    assert context.writer_bytes == sum(context.enhancer_model.sizes.values())


@pytest.mark.parametrize(("layers", "on_device"), [("0", False), ("-1", True), ("20", True)])
def test_a_writer_without_layers_on_the_gpu_takes_none_of_its_memory(
    layers: str,
    *,
    on_device: bool,
    context: RunContext,
    needs: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No video model leaves for it, and the estimate does not count it."""
    monkeypatch.setenv("REELWRIGHT_LLM_GPU_LAYERS", layers)
    context.settings = Settings.load()
    whole = context.writer_bytes
    on_a_card(context, monkeypatch, free=14 * GB, allocated=7 * GB)
    with context.enhancer():
        pass
    expected = (whole + DEVICE_CONTEXT, 0) if on_device else (0, whole)
    assert (needs["enhancer"], needs["enhancer beside"]) == expected
    assert footprint_of(context).enhancer == expected[0]


def test_the_upscaler_gets_room_for_one_frame_at_a_time(
    context: RunContext, needs: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no video model has to leave for a larger batch."""
    on_a_card(context, monkeypatch, free=20 * GB, allocated=0)
    context.upscaler()
    assert context.upscaler_model is not None
    assert context.upscale_way == Way(4)
    size = BRIEF.resolved_preset().size
    weights = sum(context.upscaler_model.sizes.values())
    assert needs["upscaler"] == weights + Way(1).workspace(size, 4, 2)


def test_loaded_models_count_as_room_for_others(
    context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_card(context, monkeypatch, free=14 * GB, allocated=7 * GB)
    found = footprint_of(context)
    assert (found.room, found.loaded) == (21 * GB, 7 * GB)
    assert (found.base, found.value_bytes, found.way) == (DEVICE_CONTEXT, 2, Way(4))
    assert found.enhancer == context.writer_bytes


def test_on_a_cpu_the_whole_process_counts(context: RunContext) -> None:
    found = footprint_of(context)
    assert (found.base, found.value_bytes, found.way) == (PROCESS_BYTES, 4, Way(1))
    assert found.upscaler > 0
