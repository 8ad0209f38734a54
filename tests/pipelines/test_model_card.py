"""The part of the model card that says the scores."""

import json

import pytest

from pipelines.training.card import BEGIN, END, with_scores
from tests.conftest import REPOSITORY

MODEL = REPOSITORY / "infra" / "models" / "tiny_wan"
SCORES = json.loads((MODEL / "card" / "scorecard.json").read_text())


def test_the_card_says_what_the_scorecard_found() -> None:
    card = (MODEL / "README.md").read_text(encoding="utf-8")
    assert card == with_scores(card, SCORES)


def test_other_scores_make_another_card_and_leave_the_rest_alone() -> None:
    card = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    first = with_scores(card, SCORES)
    other = with_scores(first, SCORES | {"continuation": SCORES["continuation"] | {"joins": 47}})
    assert "Continuation, 47 joins" in other
    assert other.replace("47 joins", f"{SCORES['continuation']['joins']} joins", 1) == first
    assert first.startswith("before\n")
    assert first.endswith("\nafter\n")
    assert "old" not in first


def test_a_card_without_a_place_for_the_scores_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the scores; add the lines"):
        with_scores(f"{BEGIN}\n", SCORES)
