"""How much memory the device is said to have, and what keeps the models within it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infra.adapters.device import cache, memory
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from pipelines.schema.memory import DEVICE_CONTEXT, GB
from tests.support.fake_gpu import (
    RTX_4090,
    RTX_5090,
    FakeCard,
    environment,
    install,
    install_nvml,
)


@pytest.fixture
def child() -> Iterator[int]:
    """The pid of a child process of this one."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process.pid


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCard]:
    """A card of 32 GiB with nothing on it but our CUDA context, without NVML."""
    with environment():
        yield install(monkeypatch, FakeCard())
        cache.release_all()


@pytest.fixture
def host(card: FakeCard, monkeypatch: pytest.MonkeyPatch) -> DeviceHost:
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cuda")
    return DeviceHost(Settings.load())


class Model:
    """A model that is on the card until it is closed."""

    def __init__(self, card: FakeCard, size: int) -> None:
        self._card, self._size = card, size
        card.allocate(size)

    def close(self) -> None:
        self._card.free(self._size)
        self._card.empty_cache()


class ForeignModel:
    """A model in a process of its own."""

    def __init__(self, card: FakeCard, pid: int, size: int) -> None:
        self._card, self._pid = card, pid
        card.children[pid] = size

    def close(self) -> None:
        self._card.children.pop(self._pid)


def test_a_host_s_page_cache_counts_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9000 kB\nMemFree: 100 kB\nMemAvailable:    7000 kB\nCached: 1 kB\n")
    monkeypatch.setattr(memory, "_MEMORY", file)
    assert memory.host_bytes() == 7000 * 1024


@pytest.mark.parametrize(
    "text", [None, "", "MemFree: 100 kB\n", "MemAvailable:\n", "MemAvailable: x"]
)
def test_without_the_kernel_s_estimate_unused_pages_count(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(memory, "_MEMORY", file)
    pages = {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert memory.host_bytes() == 3 * 4096


@pytest.mark.parametrize("total", [RTX_5090, RTX_4090], ids=["32 GiB", "24 GiB"])
def test_an_empty_card_gives_the_limit_less_our_context(card: FakeCard, total: int) -> None:
    card.total = total
    assert memory.account(22).available == 22 * GB - DEVICE_CONTEXT
    assert memory.account(0).available == total - DEVICE_CONTEXT


def test_a_card_that_is_smaller_than_the_limit_is_the_limit(card: FakeCard) -> None:
    card.total = 16 * GB
    assert memory.account(22).limit == 16 * GB


def test_what_other_programs_take_counts_only_where_it_leaves_less_than_the_limit(
    card: FakeCard,
) -> None:
    card.others = 5 * GB
    assert memory.account(22).available == 22 * GB - DEVICE_CONTEXT  # 34 - 5 GB would be there
    card.total = RTX_4090
    assert memory.account(22).available == RTX_4090 - 5 * GB - card.context


def test_what_torch_keeps_in_reserve_can_be_had_and_what_tensors_use_cannot(card: FakeCard) -> None:
    card.allocate(15 * GB)
    card.free(12 * GB)
    assert card.reserved == 15 * GB
    assert memory.account(22).available == 22 * GB - DEVICE_CONTEXT - 3 * GB
    card.others = card.mem_get_info()[0]  # nothing is left but the reserve
    assert memory.account(22).available == 12 * GB


def test_nvml_tells_the_context_and_the_children_exactly(
    card: FakeCard, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nvml(monkeypatch, card)
    card.children[child], card.others = 5 * GB, 1 * GB
    card.allocate(3 * GB)
    found = memory.account(22)
    assert found.outside == card.context + 5 * GB
    assert found.available == 22 * GB - 3 * GB - card.context - 5 * GB
    assert found.torch_limit == 22 * GB - card.context - 5 * GB


def test_in_another_process_namespace_the_children_are_taken_at_their_estimate(
    card: FakeCard, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nvml(monkeypatch, card, visible_pids=False)
    card.children[child] = 5 * GB
    memory.count_child("enhancer", 4 * GB)
    assert memory.account(22).outside == DEVICE_CONTEXT + 4 * GB
    memory.forget_child("enhancer")
    assert memory.account(22).outside == DEVICE_CONTEXT


@pytest.mark.parametrize("total", [RTX_5090, RTX_4090], ids=["32 GiB", "24 GiB"])
def test_torch_refuses_what_exceeds_the_limit_though_the_card_has_it(
    host: DeviceHost, card: FakeCard, total: int
) -> None:
    card.total = total
    host.resident("video", ("a",), lambda: Model(card, 3 * GB), 3 * GB)
    left = host.free_bytes()
    card.allocate(left - GB // 100)
    with pytest.raises(torch.OutOfMemoryError):
        card.allocate(GB // 50)
    assert card.mem_get_info()[0] > GB // 50
    assert card.reserved + card.context <= 22 * GB


def test_the_limit_holds_before_the_first_model_is_on_the_card(
    host: DeviceHost, card: FakeCard
) -> None:
    shares: list[float] = []

    def load() -> Model:
        shares.extend(card.shares)
        return Model(card, GB)

    host.resident("video", ("a",), load, GB)
    assert shares == [(22 * GB - DEVICE_CONTEXT) / RTX_5090]


def test_the_limit_is_a_setting(
    card: FakeCard, monkeypatch: pytest.MonkeyPatch, host: DeviceHost
) -> None:
    monkeypatch.setenv("REELWRIGHT_GPU_MEMORY_GB", "12")
    assert DeviceHost(Settings.load()).free_bytes() == 12 * GB - DEVICE_CONTEXT
    assert host.free_bytes() == 22 * GB - DEVICE_CONTEXT


def test_models_make_room_by_the_limit_and_not_by_the_card(
    host: DeviceHost, card: FakeCard
) -> None:
    host.resident("video", ("a",), lambda: Model(card, 12 * GB), 12 * GB)
    host.resident("upscaler", ("b",), lambda: Model(card, 9 * GB), 9 * GB)
    assert cache.is_resident("video", ("a",))
    host.resident("upscaler", ("c",), lambda: Model(card, 10 * GB), 10 * GB)
    assert not cache.is_resident("video", ("a",))  # 12 + 10 GB are on a card of 34, but not of 22


@pytest.mark.parametrize(("size", "stays"), [(5 * GB, False), (GB // 10, True)])
def test_a_model_beside_the_card_moves_nothing_on_it_and_stays_if_it_is_small_for_the_host(
    size: int, *, stays: bool, host: DeviceHost, card: FakeCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "host_bytes", lambda: 30 * GB)
    host.resident("video", ("a",), lambda: Model(card, 21 * GB), 21 * GB)
    with host.lent("enhancer", ("b",), lambda: Model(card, 0), 0, beside=size):
        assert cache.is_resident("video", ("a",))
        assert memory.account(22).outside == DEVICE_CONTEXT
    assert cache.is_resident("enhancer", ("b",)) is stays


def test_a_model_in_another_process_finds_what_torch_kept_in_reserve(
    host: DeviceHost, card: FakeCard, child: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_nvml(monkeypatch, card)
    card.total = RTX_4090
    card.allocate(20 * GB)
    card.free(18 * GB)  # a clip is done; the driver gives 4.9 GB to others
    assert card.mem_get_info()[0] < 5 * GB
    key = ("mistral",)
    with host.lent("enhancer", key, lambda: ForeignModel(card, child, 5 * GB), 5 * GB):
        assert card.mem_get_info()[0] > 17 * GB
        assert host.free_bytes() == 22 * GB - 2 * GB - 5 * GB - card.context
    assert not card.children
    assert host.free_bytes() == 22 * GB - 2 * GB - card.context


def test_a_small_model_in_another_process_stays_and_counts(
    host: DeviceHost, card: FakeCard, child: int
) -> None:
    key, size = ("gemma",), GB // 4
    with host.lent("enhancer", key, lambda: ForeignModel(card, child, size), size):
        pass
    assert cache.is_resident("enhancer", key)
    host.resident("video", ("a",), lambda: Model(card, GB), GB)
    assert card.share == (22 * GB - DEVICE_CONTEXT - size) / RTX_5090


def test_a_model_that_was_loaded_before_the_small_one_is_held_to_what_is_left_too(
    host: DeviceHost, card: FakeCard, child: int
) -> None:
    video, size = ("a",), GB // 4

    def use() -> None:
        host.resident("video", video, lambda: Model(card, GB), GB)

    use()
    assert card.share == (22 * GB - DEVICE_CONTEXT) / RTX_5090
    with host.lent("enhancer", ("gemma",), lambda: ForeignModel(card, child, size), size):
        pass
    use()
    assert card.share == (22 * GB - DEVICE_CONTEXT - size) / RTX_5090
