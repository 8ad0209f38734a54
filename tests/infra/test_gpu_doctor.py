"""`doctor --gpu`: what it says about a card, and what it measures, here on a CPU."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from infra.apps.cli import app
from infra.apps.doctor import Finding
from infra.apps.gpu import card, report
from infra.apps.gpu.card import examine_card, runs_on
from infra.apps.gpu.presets import Measured, Outcome
from infra.apps.gpu.report import BASIS, examine_gpu
from pipelines.backends.base import BackendDefinition
from pipelines.backends.driver import driver_version
from pipelines.backends.measuring import ClipCost
from pipelines.backends.registry import definitions, presets, registered
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.random_weights import EncoderShape, WanShape, write_wan
from pipelines.schema.presets import Preset
from pipelines.schema.sizes import Size
from tasks.rates import kept_rates
from tests.support.fake_gpu import FakeCard, install, install_nvml

SHAPE = WanShape(2, 24, 64, 2, 32, 8, 1, EncoderShape(2, 8, 64, 1))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, demo_models: Path) -> Settings:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(demo_models))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # what a choice of the card sets is undone
    return Settings.load()


def small(definition: BackendDefinition, **changes: object) -> BackendDefinition:
    """The same with one small preset and models of random weights that are tiny."""

    def write(name: str, folder: Path, device: str) -> None:
        write_wan(folder, SHAPE, device)

    options = WanOptions(steps=4, guidance=5.0, flow_shift=3.0)
    preset = Preset(
        name="small",
        title="Small",
        backend=definition.name,
        size=Size(64, 64),
        frames=5,
        options=options,
    )
    return replace(definition, presets=(preset,), random_model=write, **changes)


def examined(settings: Settings, definition: BackendDefinition) -> Finding:
    said: list[str] = []
    with registered(definition):
        (found,) = examine_gpu(settings, {definition.name: definition}, said.append, on_cpu=True)
    return found


def test_an_installed_backend_is_measured_and_its_speed_is_kept(settings: Settings) -> None:
    demo = definitions()["wan-demo"]
    before = kept_rates(settings, demo, "cpu")
    found = examined(settings, demo)
    assert found.good
    title, head, row = found.text.splitlines()
    assert title == "Reelwright Tiny Wan, for a CPU"
    assert head.split()[:2] == ["preset", "fits"]
    assert row.split()[:2] == ["demo", "yes"]
    assert "resident" in row
    after = kept_rates(settings, demo, "cpu")
    assert after.basis == BASIS
    assert 0 < after.chunk != before.chunk
    assert (after.shot, after.upscale) == (before.shot, before.upscale)


def test_a_backend_that_is_not_installed_is_measured_with_random_weights(
    settings: Settings,
) -> None:
    found = examined(settings, small(definitions()["wan-t2v-1.3b"]))
    assert found.good
    assert "not installed: random weights of its size" in found.text
    assert "small" in found.text
    assert not found.needed
    assert kept_rates(settings, definitions()["wan-t2v-1.3b"], "cpu").basis == BASIS
    assert list((settings.paths.data_dir / "scratch").glob("run-*")) == []


def test_what_is_not_installed_and_of_unknown_size_is_said_with_a_remedy(
    settings: Settings,
) -> None:
    found = examined(settings, definitions()["wan-t2v-14b"])
    assert (found.good, found.needed) == (False, False)
    assert "run: reelwright models download t2v-14B" in found.text


def test_a_preset_that_does_not_fit_is_not_tried(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DeviceHost, "free_bytes", lambda _: 1_000_000)
    found = examined(settings, small(definitions()["wan-t2v-1.3b"]))
    assert not found.good
    assert found.text.splitlines()[2].split()[:2] == ["small", "no"]
    assert "GB, 0.0 can be used" in found.text
    assert not (settings.paths.data_dir / "rates").exists()


def test_ten_seconds_are_as_many_chunks_as_they_need() -> None:
    cost = ClipCost(7.0, 6.0, 0.5, 12, "resident")
    video = Outcome(presets()["video_fast"], 16, 10, 10, cost)
    assert video.film_seconds == 10 * 7.0  # 160 frames in chunks of 17
    assert Outcome(presets()["image_fast"], 16, 10, 10, cost).film_seconds is None
    assert Outcome(presets()["video_fast"], 16, 10, 10).film_seconds is None
    assert (video.fits, Outcome(presets()["video_fast"], 16, 11, 10).fits) == (True, False)


def test_without_a_gpu_the_command_says_so_and_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    answers = []
    for device in ("auto", "cuda", "cpu"):
        monkeypatch.setenv("REELWRIGHT_DEVICE", device)
        done = CliRunner().invoke(app, ["doctor", "--gpu"])
        assert done.exit_code == 1
        answers.append(done.output)
    assert all(answer.startswith("FAIL gpu ") for answer in answers)
    assert "nvidia-smi" in answers[0]
    assert "driver" in answers[1]
    assert "set it to auto or cuda" in answers[2]


def test_without_a_gpu_the_card_s_line_says_what_hides_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("REELWRIGHT_DEVICE", "auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (found,) = examine_card(DeviceHost(Settings.load()))
    assert not found.good
    assert "CUDA_VISIBLE_DEVICES=-1 hides it" in found.text
    assert "nvidia-smi" not in found.text


class Card:
    name = "NVIDIA GeForce RTX 5090"
    total_memory = 34_190_000_000
    major, minor = 12, 0


@pytest.fixture
def fake_card(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> DeviceHost:
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (12, 0))
    return DeviceHost(Settings.load())


def test_a_torch_that_was_not_built_for_the_card_is_a_fault(
    fake_card: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    gpu, build = examine_card(fake_card)
    assert gpu.good
    assert gpu.text.startswith("NVIDIA GeForce RTX 5090, 34.2 GB, compute capability 12.0, driver")
    assert not build.good
    assert "built for sm_80, sm_90, and this card is sm_120" in build.text


def test_a_warm_process_that_holds_the_card_is_said(
    fake_card: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no run, so the measurement does not wait for it; its memory is missing."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, "infra.apps.worker.child", "models"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as warm:  # type: ignore[call-overload]
        warm.stdout.readline()  # then it has its command line
        held = FakeCard(children={warm.pid: 6_100_000_000, 2: 1_000_000_000})
        install(monkeypatch, held)
        install_nvml(monkeypatch, held)
        text = card._memory(fake_card)
        assert f"a warm process of a worker (pid {warm.pid}) holds 6.1 GB, until" in text
        assert "REELWRIGHT_WORKER_IDLE_SECONDS" in text
        assert text.count("holds") == 1
        install_nvml(monkeypatch, FakeCard())
        assert "holds" not in card._memory(fake_card)
        warm.communicate()


@pytest.mark.parametrize(
    ("setting", "compiled", "lines"),
    [
        ("auto", (False, False), ["without compiled code: a, b", "a warm process compiles"]),
        ("auto", (True, True), ["with compiled code: a, b"]),
        ("on", (True, False), ["with compiled code: a", "without compiled code: b"]),
        ("off", (False, False), ["without compiled code: a, b"]),
    ],
)
def test_the_report_says_what_was_measured_with_compiled_code(
    setting: str,
    compiled: tuple[bool, bool],
    lines: list[str],
    fake_card: DeviceHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REELWRIGHT_COMPILE", setting)
    base = presets()["video_fast"]
    outcomes = tuple(
        Outcome(
            base.model_copy(update={"name": name}),
            16,
            10,
            10,
            ClipCost(7.0, 6.0, 0.5, 12, "resident", compiled=code),
        )
        for name, code in zip("ab", compiled, strict=True)
    )
    measured = Measured(definitions()["wan-t2v-1.3b"], False, outcomes)
    said = report._about_code(measured, DeviceHost(Settings.load()))
    assert len(said) == len(lines)
    assert all(part in line for part, line in zip(lines, said, strict=True))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    assert report._about_code(measured, DeviceHost(Settings.load())) == []


def test_an_error_of_cuda_is_a_fault_and_no_crash(
    fake_card: DeviceHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> object:
        raise RuntimeError("CUDA error: unknown error")

    monkeypatch.setattr(torch.cuda, "get_device_properties", broken)
    (found,) = examine_card(fake_card)
    assert (found.name, found.good) == ("gpu", False)
    assert "CUDA error: unknown error" in found.text


@pytest.mark.parametrize(
    ("built_for", "runs"),
    [
        (["sm_120"], True),
        (["sm_120a"], True),
        (["sm_90", "compute_90"], True),
        (["sm_80", "sm_90"], False),
        (["sm_121"], False),
        (["compute_121"], False),
        ([], False),
    ],
)
def test_code_runs_on_its_own_generation_and_intermediate_code_on_later_ones(
    built_for: list[str], *, runs: bool
) -> None:
    assert runs_on((12, 0), built_for) is runs
    assert runs_on((8, 9), ["sm_80"])


def test_the_driver_s_version_is_read_from_its_module(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert driver_version(file) == "unknown"
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
        "GCC version:  gcc version 12.3.0\n"
    )
    assert driver_version(file) == "580.65.06"


def test_bfloat16_and_memory_are_examined_on_any_device(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = DeviceHost(settings)
    assert "works" in card._bfloat16(host)
    assert "can be used by Reelwright now" in card._memory(host)
    monkeypatch.setattr(card, "_OFF", 1e-9)
    with pytest.raises(Exception, match="more than rounding explains"):
        card._bfloat16(host)
