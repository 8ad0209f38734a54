"""What a run needs is looked for before anything starts."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import tasks.chunks
from infra.adapters.settings import Settings
from pipelines.backends.base import ENCODED_ON_CPU
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import DeviceRecord
from pipelines.errors import SettingsError, WeightsError
from tasks.chunks import prepare_backend
from tasks.context import RunContext, check_surroundings, models_of
from tests.e2e.tiny_studio import install_tiny
from tests.support.fake_gpu import FakeCard, environment, install
from tests.support.published import film_of


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return Settings.load()


def test_everything_that_is_missing_is_named_with_one_command(settings: Settings) -> None:
    brief = Brief(prompt="x", preset="video_best_turbo", upscale=2)
    with pytest.raises(WeightsError) as refusal:
        check_surroundings(brief, settings)
    assert str(refusal.value).endswith(f"download {' '.join(models_of(brief))}")
    assert models_of(brief) == (
        *("t2v-A14B", "lightning-t2v-A14B-high", "lightning-t2v-A14B-low"),
        *("mistral-7b", "realesrgan-x4plus"),
    )
    assert not (settings.paths.data_dir).exists()


@pytest.mark.parametrize("lora", ["", "of-somebody"])
def test_a_lora_that_is_missing_is_named_before_anything_starts(
    settings: Settings, tmp_path: Path, lora: str
) -> None:
    install_tiny(tmp_path / "models", "t2v-1.3B")
    preset = "video_fast" if lora else "video_turbo"
    brief = Brief(prompt="x", preset=preset, lora=lora, enhance=False)
    with pytest.raises(WeightsError, match=lora or "self-forcing-t2v-1.3B"):
        check_surroundings(brief, settings)


def test_a_run_that_has_everything_is_let_through(settings: Settings, tmp_path: Path) -> None:
    install_tiny(tmp_path / "models", "t2v-1.3B")
    check_surroundings(Brief(prompt="x", preset="video_fast", enhance=False), settings)


def device_of(brief: Brief) -> DeviceRecord:
    with ExitStack() as stack:
        return RunContext(brief, Settings.load(), stack).device_record


def test_the_manifest_s_device_says_why_a_film_for_a_gpu_is_made_on_the_cpu(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_tiny(tmp_path / "models", "t2v-1.3B")
    brief = Brief(prompt="x", preset="video_fast", enhance=False)
    asked = DeviceRecord(kind="cpu", reason="REELWRIGHT_DEVICE=cpu", for_gpu=True)
    assert device_of(brief) == asked
    monkeypatch.setenv("REELWRIGHT_DEVICE", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with environment():
        found = device_of(brief)
    assert (found.kind, found.for_gpu) == ("cpu", True)
    assert found.reason.startswith("torch finds no GPU: ")


def test_the_manifest_names_the_gpu(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_tiny(tmp_path / "models", "t2v-1.3B")
    monkeypatch.setenv("REELWRIGHT_DEVICE", "auto")
    install(monkeypatch, FakeCard())
    with environment():
        found = device_of(Brief(prompt="x", preset="video_fast", enhance=False))
    assert found == DeviceRecord(kind="cuda", name="NVIDIA GeForce RTX 5090", for_gpu=True)


def test_what_stood_in_beside_a_gpu_is_said_once_on_the_page_and_in_the_manifest(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts, when memory ran out: while they are encoded, and not at the end only."""
    install_tiny(tmp_path / "models", "t2v-1.3B")
    monkeypatch.setenv("REELWRIGHT_DEVICE", "auto")
    install(monkeypatch, FakeCard())
    shown: list[tuple[str, ...]] = []
    monkeypatch.setattr(tasks.chunks, "show_stand_ins", shown.append)
    brief = Brief(prompt="x", seconds=1, preset="video_fast", enhance=False)
    with environment(), ExitStack() as stack:
        context = RunContext(brief, Settings.load(), stack)
        host = context.host
        assert host is not None

        class Session:
            def prepare(self, _: object) -> None:
                host.stood_in(ENCODED_ON_CPU)
                host.stood_in(ENCODED_ON_CPU)

        monkeypatch.setattr(RunContext, "session", Session())
        monkeypatch.setattr(RunContext, "store", SimpleNamespace(head=lambda _: None))
        prepare_backend.fn(film_of(brief).plan, context)
        record = context.device_record
    assert shown == [(ENCODED_ON_CPU,)]
    assert (record.kind, record.notices) == ("cuda", (ENCODED_ON_CPU,))


def test_a_gpu_that_is_demanded_and_missing_is_said_before_files_are_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with environment(), pytest.raises(SettingsError, match="torch finds no GPU"):
        check_surroundings(Brief(prompt="x", preset="video_fast"), Settings.load())
