"""Which device a run gets: one card, the one that was asked for, and never the CPU in silence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infra.adapters.device import choice, nvml
from infra.adapters.disk import exclusive
from infra.adapters.settings import Settings
from infra.apps.doctor import examine
from infra.apps.worker.main import serve, worker_id
from pipelines.errors import SettingsError
from pipelines.schema.names import GPU_POOL, STUDIO_POOL
from tests.conftest import slow
from tests.support.fake_gpu import FakeCard, environment, install, install_nvml


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with environment(REELWRIGHT_DATA_DIR=str(tmp_path / "data")):
        yield


def settings(**values: str) -> Settings:
    os.environ.update({f"REELWRIGHT_{name.upper()}": value for name, value in values.items()})
    return Settings.load()


def visible() -> tuple[str | None, str | None]:
    return os.environ.get("CUDA_DEVICE_ORDER"), os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.parametrize(
    ("before", "gpu", "after"),
    [
        ({}, "", ("PCI_BUS_ID", "0")),
        ({}, "1", ("PCI_BUS_ID", "1")),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, "", ("PCI_BUS_ID", "2")),
        (
            {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"},
            "",
            ("PCI_BUS_ID", "1"),
        ),
        ({"CUDA_VISIBLE_DEVICES": "GPU-5f"}, "", ("PCI_BUS_ID", "GPU-5f")),
        ({"CUDA_VISIBLE_DEVICES": "MIG-7c,MIG-8d"}, "", ("PCI_BUS_ID", "MIG-7c")),
        ({"CUDA_VISIBLE_DEVICES": ""}, "", ("PCI_BUS_ID", "")),
        ({"CUDA_VISIBLE_DEVICES": "2,3"}, "0", ("PCI_BUS_ID", "0")),
        ({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, "1", ("PCI_BUS_ID", "1")),
    ],
)
def test_a_process_and_its_children_see_one_card(
    before: dict[str, str], gpu: str, after: tuple[str | None, str | None]
) -> None:
    os.environ.update(before)
    found = settings(gpu=gpu) if gpu else settings()
    for _ in range(2):  # the worker, then the process of the run that inherits its environment
        choice.see_one_card(found.compute, os.environ)
        assert visible() == after
    told = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after[1]


def test_a_run_on_the_cpu_leaves_the_cards_alone() -> None:
    choice.see_one_card(settings(device="cpu").compute, os.environ)
    assert visible() == (None, None)


def test_with_a_gpu_auto_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCard())
    assert choice.choose(settings()) == choice.Device("cuda")


@pytest.mark.parametrize(
    ("built", "driver", "cards", "entry", "reason"),
    [
        (None, True, (0,), "0", "this torch is built without CUDA"),
        ("13.2", True, (0,), "", "CUDA_VISIBLE_DEVICES= hides it"),
        ("13.2", False, (0,), "0", "no NVIDIA driver is loaded"),
        ("13.2", True, (0,), "1", "the number 1 is asked for, and this machine has 1,"),
        (
            "13.2",
            True,
            (0,),
            "0",
            "the driver is loaded, but CUDA 13.2 does not start: nvidia-smi must show a CUDA "
            "version of 13.0 or newer",
        ),
    ],
)
def test_auto_without_a_gpu_is_the_cpu_and_says_why(
    built: str | None,
    driver: bool,
    cards: tuple[int, ...],
    entry: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "version"
    if driver:
        file.touch()
    monkeypatch.setattr(choice, "DRIVER", file)
    install_nvml(monkeypatch, FakeCard(), minors=cards)
    os.environ["CUDA_VISIBLE_DEVICES"] = entry
    found = choice.choose(settings())
    assert found.kind == "cpu"
    assert found.reason.startswith(f"torch finds no GPU: {reason}")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("1", "the card 1 is in MIG mode, and CUDA finds no part of it; nvidia-smi -L lists"),
        ("MIG-7c", "CUDA_VISIBLE_DEVICES names the MIG device MIG-7c, and CUDA has none"),
    ],
)
def test_a_card_in_parts_that_cuda_does_not_find_is_an_error_that_says_how_to_name_one(
    entry: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(choice, "DRIVER", tmp_path)
    install_nvml(monkeypatch, FakeCard(), minors=(0, 1), split=(1,))
    os.environ["CUDA_VISIBLE_DEVICES"] = entry
    with pytest.raises(SettingsError, match=rf"{reason}.*set CUDA_VISIBLE_DEVICES to one"):
        choice.choose(settings(device="cuda"))


@pytest.mark.parametrize("name", ["MIG-7c", "GPU-5f"])
def test_a_name_where_the_number_of_a_card_is_expected_is_an_error_with_a_remedy(name: str) -> None:
    with pytest.raises(
        SettingsError,
        match=rf"REELWRIGHT_GPU={name}: .* number is expected; give .* to CUDA_VISIBLE",
    ):
        settings(gpu=name)


def test_runs_on_two_parts_of_one_card_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCard())
    install_nvml(monkeypatch, FakeCard(), split=(0,))
    files(tmp_path, 0)
    monkeypatch.setattr(choice, "_DEVICES", tmp_path)
    found = []
    for entry in ("MIG-7c", "MIG-7c", "MIG-GPU-5f/1/0"):
        os.environ["CUDA_VISIBLE_DEVICES"] = entry
        found.append(choice.device_lock(settings()))
    assert holds_off(found[0], found[1])
    assert not holds_off(found[0], found[2])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"device": "cuda"}, "REELWRIGHT_DEVICE=cuda"),
        ({"gpu": "0"}, "REELWRIGHT_GPU=0"),
        ({"device": "auto", "gpu": "1"}, "REELWRIGHT_GPU=1"),
    ],
)
def test_a_gpu_that_is_demanded_and_missing_is_an_error_with_a_remedy(
    values: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=rf"{named}, but torch finds no GPU.*DEVICE=cpu"):
        choice.choose(settings(**values))


@pytest.mark.parametrize("probe", ["raise SystemExit(3)", slow(choice._PROBE)])
def test_a_worker_without_the_gpu_it_should_have_takes_no_runs(
    probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow one asks torch, in a process of its own."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(choice, "_PROBE", probe)
    os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"  # nobody listens there
    settings(device="cuda")
    with pytest.raises(SettingsError, match="torch finds no GPU"):
        serve(GPU_POOL, cold=False, limit=0)


def test_a_worker_that_may_use_the_cpu_is_not_held_up_by_a_look_for_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[object] = []
    monkeypatch.setattr(choice.subprocess, "run", lambda *given, **_: looks.append(given))
    for values in ({}, {"device": "auto"}, {"device": "cpu", "gpu": "3"}):
        choice.require_gpu(settings(**values))
    assert looks == []


def files(folder: Path, *minors: int) -> None:
    for minor in minors:
        (folder / f"nvidia{minor}").touch()


def locks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *gpus: str) -> list[Path]:
    """The lock of each GPU, in processes with an environment of their own."""
    monkeypatch.setattr(choice, "_DEVICES", tmp_path)
    found = []
    for gpu in gpus:
        with environment(REELWRIGHT_DATA_DIR=str(tmp_path / "data")):
            found.append(choice.device_lock(settings(gpu=gpu)))
    return found


def holds_off(held: Path, wanted: Path) -> bool:
    """Whether one who holds the lock `held` lets another one wait for `wanted`."""

    def wait() -> None:
        raise BlockingIOError

    with exclusive(held, wait):
        try:
            with exclusive(wanted, wait):
                return False
        except BlockingIOError:
            return True


def test_runs_wait_for_each_other_on_one_card_and_not_on_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCard())
    install_nvml(monkeypatch, FakeCard(), minors=(1, 0))
    files(tmp_path, 0, 1)
    first, again, second = locks(monkeypatch, tmp_path, "0", "0", "1")
    assert [first.name, second.name] == ["nvidia1", "nvidia0"]  # by the driver's minor numbers
    assert holds_off(first, again)
    assert not holds_off(first, second)


def test_the_lock_of_a_card_named_by_its_uuid_is_the_card_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCard())
    install_nvml(monkeypatch, FakeCard(), minors=(0, 3))
    files(tmp_path, 0, 3)
    monkeypatch.setattr(choice, "_DEVICES", tmp_path)
    os.environ["CUDA_VISIBLE_DEVICES"] = "GPU-1"
    assert choice.device_lock(settings()) == tmp_path / "nvidia3"


def test_without_nvml_the_index_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCard())
    files(tmp_path, 0, 1)
    first, second = locks(monkeypatch, tmp_path, "0", "1")
    assert [first, second] == [tmp_path / "nvidia0", tmp_path / "nvidia1"]


def test_without_device_files_the_lock_lies_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeCard())
    first, again, second = locks(monkeypatch, tmp_path, "0", "0", "1")
    assert first.parent == tmp_path / "data"
    assert holds_off(first, again)
    assert not holds_off(first, second)


def test_on_the_cpu_the_lock_lies_in_the_data_directory(tmp_path: Path) -> None:
    assert choice.device_lock(settings(device="cpu")) == tmp_path / "data" / "device.lock"


def test_workers_of_several_gpus_have_locks_and_names_of_their_own() -> None:
    assert worker_id(GPU_POOL, settings()) == "rtx-5090"
    assert worker_id(GPU_POOL, settings(gpu="0")) == "rtx-5090"
    assert worker_id(GPU_POOL, settings(gpu="1")) == "rtx-5090-gpu1"
    assert worker_id(STUDIO_POOL, settings(gpu="1")) == "studio"


def test_a_second_worker_on_the_same_gpu_is_refused_and_one_on_another_gpu_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.environ["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    monkeypatch.setattr("infra.apps.worker.main.require_gpu", _passes)
    folder = tmp_path / "data" / "workers"
    folder.mkdir(parents=True)
    with exclusive(folder / "rtx-5090-gpu1.lock", lambda: None):
        settings(gpu="1")
        with pytest.raises(SettingsError, match=r"rtx-5090 on GPU 1.*another --gpu"):
            serve(GPU_POOL, cold=False, limit=0)
        settings(gpu="2")
        with pytest.raises(_PassedError):
            serve(GPU_POOL, cold=False, limit=0)
    assert visible() == ("PCI_BUS_ID", "2")


class _PassedError(Exception):
    """The worker has its lock and looks for its GPU."""


def _passes(_: Settings) -> None:
    raise _PassedError


def device_line() -> tuple[bool, str]:
    line = next(finding for finding in examine(settings()) if finding.name == "device")
    return line.good, line.text


def test_doctor_says_what_the_plans_count_with(monkeypatch: pytest.MonkeyPatch) -> None:
    card = install(monkeypatch, FakeCard(others=3_000_000_000))
    good, text = device_line()
    assert good
    assert "RTX 5090, 34.2 GB; 22.0 GB may be used (REELWRIGHT_GPU_MEMORY_GB=22)" in text
    assert "21.5 GB are free" in text
    card.total = 16_000_000_000
    assert "16.0 GB may be used" in device_line()[1]
    assert "the card decides" in device_line()[1]


def test_doctor_says_why_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    good, text = device_line()
    assert good
    assert "need a GPU (torch finds no GPU: " in text
    settings(device="cuda")
    assert device_line()[0] is False


def test_nvml_that_is_not_installed_or_finds_no_driver_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(nvml, "_library", nvml.load)
    assert (nvml.count(), nvml.card("0"), nvml.tree_bytes("0")) == (None, None, None)
    install_nvml(monkeypatch, FakeCard())

    def no_driver() -> None:
        raise sys.modules["pynvml"].NVMLError("Driver Not Loaded")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlInit", no_driver)
    assert (nvml.count(), nvml.card("0"), nvml.tree_bytes("0")) == (None, None, None)


def test_a_card_that_is_not_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, FakeCard(), minors=(4,))
    assert nvml.card("0") == nvml.Card("Card 0", 4)
    assert nvml.card("1") is None
