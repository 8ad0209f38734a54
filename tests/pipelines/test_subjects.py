"""A subject that a writer added is found, and what follows from the brief is no new subject."""

import json
from importlib import resources

import pytest

from pipelines.prompting.gates import fault_of
from pipelines.prompting.subjects import new_subjects
from tests.conftest import REPOSITORY

SENTENCES = REPOSITORY / "tests" / "fixtures" / "added-subjects.jsonl"
"""Sentences that passed all checks of version 0.5, with the brief. A person read each one and said
whether it adds a subject, before the search for new subjects saw it."""


@pytest.mark.parametrize(
    ("brief", "words", "found"),
    [
        ("an orange circle moves right", "hands on the ground", ["hands"]),
        ("a red fox in the snow", "long fur, and a hat.", ["hat"]),
        ("a white circle moves left", "the shadow of a car in front of it.", ["car"]),
        ("a yellow square glides", "its wings sweep over the rocks", ["wings"]),
        ("a green triangle drifts", "the green triangle’s head is tilted", ["head"]),
        ("a yellow tram climbs a street", "surrounded by a crowd of people", ["crowd", "people"]),
        ("a black horse gallops", "the breeze carries away two fishes", ["fishes"]),
        (
            "a lion sleeps under a tree",
            "knives and wolves and women",
            ["knives", "wolves", "women"],
        ),
        ("a quiet village", "the cook looks at the stew", []),
    ],
)
def test_what_the_brief_does_not_have_is_found(brief: str, words: str, found: list[str]) -> None:
    assert new_subjects(words, [brief]) == found


@pytest.mark.parametrize(
    ("brief", "words"),
    [
        ("an orange circle moves right", "slowly over the ground in soft evening light and rain"),
        ("an orange circle moves right", "the camera follows it past trees, walls and a lamp"),
        ("a red fox in the snow", "its paws sink in, its tail and its fur are white"),
        ("an elephant", "a huge mammal with large ears"),
        ("a day in a fishing village", "the fishermen come home"),
        ("a potter shapes a vase", "a pot on the ground"),
        ("a steam train crosses a bridge", "its wheels and its engine in the smoke"),
        ("a spaceship lands", "the ship glides through the dark"),
        ("a man reads", "his hands, his coat and his face in the light"),
        ("a waiter in a restaurant", "the food is warm and fresh"),
        ("a surfer on a wave", "her hands high in the air"),
        ("Anna and Ben walk home", "their faces in the sun"),
        ("a football team celebrates", "the players hug"),
        ("a harbour", "clearly visible to the naked eye"),
        ("a hill", "a house at the foot of the hill, a hand-painted wall"),
        ("two children fly a kite", "the kites dance"),
    ],
)
def test_what_follows_from_the_brief_is_permitted(brief: str, words: str) -> None:
    assert new_subjects(words, [brief]) == []


def test_every_allowed_text_counts() -> None:
    words = "a girl with a basket walks past a dog"
    assert new_subjects(words, ["a market"]) == ["girl", "basket", "dog"]
    assert new_subjects(words, ["a market", "a girl with a woven basket"]) == ["dog"]


def test_of_sentences_that_a_person_read_nearly_all_are_told_right() -> None:
    read = [json.loads(line) for line in SENTENCES.read_text(encoding="utf-8").splitlines()]
    refused = {
        number for number, item in enumerate(read) if new_subjects(item["words"], [item["brief"]])
    }
    added = {number for number, item in enumerate(read) if item["added"]}
    assert len(read) > 300
    assert len(refused & added) >= 0.9 * len(added)
    assert len(refused - added) <= 0.03 * len(read)


def test_a_sentence_with_a_new_subject_is_refused_with_the_reason() -> None:
    fault = fault_of("slowly, with two hands on the ground", "an orange circle moves right", [])
    assert fault == "adds hands, which the brief does not have"


def test_a_sentence_of_our_examples_is_refused_unless_the_brief_has_it() -> None:
    words = "white waves climbing the black rocks in the rain"
    assert fault_of(words, "a shop sign", []).startswith("copied 'waves climbing the black")
    assert fault_of(words, "white waves climbing the black rocks", []) == ""


def test_the_nouns_have_the_notice_of_their_source() -> None:
    text = (resources.files("pipelines.prompting") / "nouns.txt").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in text
    assert "THIS SOFTWARE AND DATABASE IS PROVIDED" in text
