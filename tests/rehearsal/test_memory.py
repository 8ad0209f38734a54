"""A rehearsal compares each stage's peak with what its plan counts."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from infra.adapters.device.cache import release_all
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from pipelines.prompting.footprint import writer_footprint
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from tests.rehearsal.memory import Held, StagePeak, StagePeaks, stage_peaks
from tests.rehearsal.writer import write_mistral

MIB = 2**20
SIZE = 48 * MIB
SLACK = 4 * MIB
"""Private bytes that Python and its libraries may add meanwhile."""


class Model:
    """Holds something until it is closed."""

    def __init__(self, held: object) -> None:
        self.held = held

    def close(self) -> None:
        self.held = None


def read(size: int) -> Model:
    """A model of `size` bytes in private memory, which malloc does not take from what it has."""
    held = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    np.frombuffer(held, np.uint8)[:] = 1
    return Model(held)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeviceHost]:
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    release_all()
    yield DeviceHost(Settings.load())
    release_all()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "wan" / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"weight": torch.ones(SIZE // 2, dtype=torch.bfloat16)}, path)
    return path


def test_a_mapped_model_counts_whole_though_none_of_it_was_read(
    host: DeviceHost, weights: Path
) -> None:
    with stage_peaks(weights.parents[1]) as peaks:
        model = host.resident("video", ("a",), lambda: Model(load_file(weights)), SIZE)
        peaks.look()
    (stage,) = peaks.stages
    assert weights.stat().st_size <= stage.measured <= weights.stat().st_size + SLACK
    assert stage.resident < SIZE // 2
    assert model.held


def test_a_model_that_is_read_counts_as_much_as_a_mapped_one(
    host: DeviceHost, tmp_path: Path
) -> None:
    with stage_peaks(tmp_path) as peaks:
        host.resident("video", ("a",), lambda: read(SIZE), SIZE)
        peaks.look()
    (stage,) = peaks.stages
    assert stage.is_as_planned
    assert stage.resident == pytest.approx(SIZE, abs=SLACK)


def test_files_that_are_no_models_do_not_count(
    host: DeviceHost, weights: Path, tmp_path: Path
) -> None:
    with stage_peaks(tmp_path / "other") as peaks:
        host.resident("video", ("a",), lambda: Model(load_file(weights)), SIZE)
        peaks.look()
    assert peaks.stages[0].measured <= SLACK


def test_a_file_that_is_mapped_twice_counts_once(weights: Path) -> None:
    peaks = StagePeaks(weights.parents[1].resolve())
    peaks.begin("video", SIZE)
    peaks.load()
    both = [load_file(weights), load_file(weights)]
    peaks.look()
    assert peaks.stages[0].measured <= weights.stat().st_size + SLACK
    assert len(both) == 2


def test_what_leaves_before_a_model_loads_is_not_taken_from_it(
    host: DeviceHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder goes to make room; its memory is not what the video model began with."""
    monkeypatch.setattr(DeviceHost, "free_bytes", lambda _: 0)
    with stage_peaks(tmp_path) as peaks:
        host.resident("encoder", ("a",), lambda: read(SIZE), SIZE)
        peaks.look()
        host.resident("video", ("b",), lambda: read(SIZE), SIZE)
        peaks.look()
    assert [stage.kind for stage in peaks.stages] == ["encoder", "video"]
    assert all(stage.is_as_planned for stage in peaks.stages)


def test_a_model_that_stays_is_not_counted_for_the_next_one(
    host: DeviceHost, tmp_path: Path
) -> None:
    with stage_peaks(tmp_path) as peaks:
        host.resident("video", ("a",), lambda: read(SIZE), SIZE)
        host.resident("upscaler", ("b",), lambda: read(SIZE // 2), SIZE // 2)
        peaks.look()
        host.resident("upscaler", ("b",), lambda: read(SIZE // 2), SIZE)
    upscaler = peaks.stages[1]
    assert upscaler.measured == pytest.approx(SIZE // 2, abs=SLACK)
    assert upscaler.planned == SIZE  # the most that was said of it


def test_a_stage_is_as_planned_within_ten_per_cent_either_way() -> None:
    def stage(peak: int) -> StagePeak:
        return StagePeak("video", 100, before=Held(private=30, mapped=20), peak=peak)

    assert [stage(peak).measured for peak in (139, 140, 160, 161)] == [89, 90, 110, 111]
    assert all(stage(peak).is_as_planned for peak in (140, 150, 160))
    assert not any(stage(peak).is_as_planned for peak in (139, 161))
    assert not StagePeak("video", 0, peak=100).is_as_planned


def test_the_language_model_is_in_memory_once_on_a_cpu(tmp_path: Path) -> None:
    """Its Q4_K weights are packed anew on processors with AVX2; the file is not kept beside."""
    path = tmp_path / "model.gguf"
    write_mistral(
        path,
        layers=4,
        width=1024,
        hidden=4096,
        heads=8,
        heads_kv=2,
        vocabulary=4000,
        context=2048,
    )
    planned = writer_footprint(path, 2048)
    peaks = StagePeaks(tmp_path.resolve())
    peaks.begin("enhancer", planned.total)
    peaks.load()
    with LlamaEnhancer(path, "test", "instruct", LlamaOptions()) as enhancer:
        placement = enhancer.load()
        peaks.look()
    assert sum(placement.sizes.values()) == pytest.approx(planned.total, rel=0.1)
    python = 100 * MIB  # the child's own libraries, which no plan counts
    assert peaks.stages[0].measured < planned.total + python
    assert LlamaOptions(gpu_layers=-1).maps_file
