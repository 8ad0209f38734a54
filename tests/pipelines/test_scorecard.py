"""The demo model keeps what its card promises."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.training.card import GROUPS, TOGETHER
from pipelines.training.classifier import classify, load_classifier
from pipelines.training.film import DemoModel
from pipelines.training.scorecard import LENGTHS, scorecard, weights_of
from tests.conftest import REPOSITORY

CHECKPOINT = REPOSITORY / "infra" / "models" / "tiny_wan"


def promised() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHECKPOINT / "card" / "scorecard.json").read_text())
    return found


def test_the_card_is_about_these_weights() -> None:
    """Or its promises would be those of other weights."""
    assert promised()["weights"] == weights_of(CHECKPOINT)


@pytest.mark.slow
def test_the_model_still_does_what_its_card_says() -> None:
    """Thirty prompts of 17 frames, within what so few can vary by."""
    found = scorecard(CHECKPOINT, prompts=30, continued=2, lengths=(17,))
    card = promised()["17 frames"]["all"]
    for attribute, share in found["17 frames"]["all"].items():
        assert share >= card[attribute] - 0.15, attribute
    assert found["continuation"]["median_jump"] <= promised()["continuation"]["median_jump"] + 1


def test_what_a_writer_adds_changes_neither_place_nor_colour(tmp_path: Path) -> None:
    """The first clause is the demo writer's own; training has no form for the others."""
    added = (
        "black lines on the snowy ground as it runs",
        "a grey shadow trailing close behind",
        "its breath like a pale purple veil",
    )
    texts = [f"A fox runs to the right through the snow, {clause}." for clause in added]
    texts.append("A fox runs to the right over a black background.")
    model = DemoModel(CHECKPOINT, texts, tmp_path)
    judge = load_classifier(CHECKPOINT / "card" / "classifier.safetensors")
    shown = [classify(judge, np.stack(model.frames(text, 17, 1))).scene for text in texts]
    assert [(scene.background, scene.colour) for scene in shown] == [
        *[("snow", "")] * 3,
        ("black", ""),
    ]


def test_the_card_promises_what_was_asked_of_it() -> None:
    card = promised()
    assert (card["prompts"], card["things"]) == (90, 64)
    for length in LENGTHS:
        scores = card[f"{length} frames"]
        for attribute in ("thing", "colour", "background"):
            assert scores["all"][attribute] >= 0.85, attribute
        assert scores["all"]["movement"] >= 0.9
        assert scores["all"][TOGETHER] >= 0.8
        assert scores["control: another prompt"]["thing"] <= 0.1
        assert scores["control: another prompt"][TOGETHER] <= 0.05
        for group in GROUPS:
            assert scores[group][TOGETHER] >= 0.75, group


@pytest.mark.parametrize("length", LENGTHS)
def test_the_judge_is_right_about_true_clips(length: int) -> None:
    judge = promised()[f"{length} frames"]["classifier: true clips"]
    least = {"thing": 0.95, "colour": 0.95, "background": 0.95, "movement": 0.9}
    assert {name: judge[name] >= share for name, share in least.items()} == dict.fromkeys(
        least, True
    )


def test_first_frames_are_as_clean_as_the_others() -> None:
    for length in LENGTHS:
        psnr = promised()[f"{length} frames"]["psnr"]
        assert psnr["first frames"] >= psnr["other frames"] - 0.5


def test_continued_chunks_join() -> None:
    continuation = promised()["continuation"]
    assert continuation["joins"] == 96
    assert continuation["median_jump"] <= 2
    assert continuation["share_above_4_px"] <= 0.1
    assert continuation["background_in_last_chunk"] >= 0.9
    assert continuation["dissolved"] <= 10


def test_the_checkpoint_is_small() -> None:
    size = sum(path.stat().st_size for path in CHECKPOINT.rglob("*") if path.is_file())
    assert size <= 20e6
