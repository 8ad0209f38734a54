"""The demo model keeps what its card promises."""

import json

import pytest

from pipelines.training.scorecard import scorecard
from tests.conftest import REPOSITORY

CHECKPOINT = REPOSITORY / "infra" / "models" / "tiny_wan"


@pytest.mark.slow
def test_the_model_still_does_what_its_card_says() -> None:
    """Within four prompts of a hundred: other processors round differently."""
    promised = json.loads((CHECKPOINT / "card" / "scorecard.json").read_text())
    found = scorecard(CHECKPOINT)
    for length in ("17 frames", "33 frames"):
        for attribute, share in promised[length]["all"].items():
            assert found[length]["all"][attribute] >= share - 0.04
    jump = promised["continuation"]["median_jump"]
    assert found["continuation"]["median_jump"] <= jump + 0.4


def test_the_card_promises_what_was_asked_of_it() -> None:
    card = json.loads((CHECKPOINT / "card" / "scorecard.json").read_text())
    for length in ("17 frames", "33 frames"):
        scores, control = card[length]["all"], card[length]["control: another prompt"]
        assert scores["background"] >= 0.97
        assert scores["colour"] >= 0.95
        assert scores["direction"] >= 0.93
        assert scores["shape"] >= 0.75
        assert control["shape"] <= 0.4
    continuation = card["continuation"]
    assert continuation["joins"] == 48
    assert continuation["median_jump"] <= 2
    assert continuation["share_above_4_px"] <= 0.1
    assert continuation["colour_in_last_chunk"] >= 0.95


def test_the_checkpoint_is_small() -> None:
    size = sum(path.stat().st_size for path in CHECKPOINT.rglob("*") if path.is_file())
    assert size <= 12e6
