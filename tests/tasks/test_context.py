"""What a run needs is looked for before anything starts."""

from pathlib import Path

import pytest

from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.errors import WeightsError
from tasks.context import check_surroundings, models_of
from tests.e2e.tiny_studio import install_tiny


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
