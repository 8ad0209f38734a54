"""Each catalog has every message of the code and no other one, with the same fields."""

import re
import string

import pytest
from babel.messages.catalog import Message as Entry
from babel.messages.pofile import read_po
from pydantic import ValidationError

from infra.apps.gateway.languages.catalog import LANGUAGES, LOCALES, Sentence, said
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import sentences
from tests.languages.messages import messages

CODES = [path.stem for path in LOCALES.glob("*.po")]


def entries(code: str) -> dict[tuple[str, str], Entry]:
    with (LOCALES / f"{code}.po").open("rb") as file:
        return {(item.context or "", str(item.id)): item for item in read_po(file) if item.id}


def fields(text: str) -> set[str]:
    """`%(count)s` and `{0}` of a text."""
    return set(re.findall(r"%\(\w+\)s|\{\d\}", text))


def test_there_is_thai() -> None:
    assert LANGUAGES.names == {"en": "English", "th": "ไทย"}


@pytest.mark.parametrize("code", CODES)
def test_a_catalog_has_every_message_of_the_code_and_no_other_one(code: str) -> None:
    """`python -m tests.languages` adds and removes them."""
    found = entries(code)
    needed = messages()
    assert sorted(needed.keys() - found.keys()) == []
    assert sorted(found.keys() - needed.keys()) == []


@pytest.mark.parametrize("code", CODES)
def test_every_message_is_translated(code: str) -> None:
    """An empty or fuzzy entry would be shown in English."""
    found = entries(code).values()
    assert [item.id for item in found if not item.string or item.fuzzy] == []


@pytest.mark.parametrize("code", CODES)
def test_a_translation_has_no_field_that_its_text_does_not_have(code: str) -> None:
    for item in entries(code).values():
        assert fields(str(item.string)) <= fields(str(item.id)), item.id
        assert str(item.id).count("<code>") == str(item.string).count("<code>"), item.id


def test_thai_is_written_in_thai_letters() -> None:
    for item in entries("th").values():
        if any(character in string.ascii_lowercase for character in str(item.id)):
            assert re.search("[\u0e00-\u0e7f]", str(item.string)), item.id


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed 7 is outside -1 to 5", {0: "7", 1: "5"}),
        ("seed  is outside -1 to ", {0: "", 1: ""}),
        ("seed 7 is outside -1", None),
        ("a seed 7 is outside -1 to 5", None),
    ],
)
def test_a_sentence_is_found_by_the_words_between_its_values(
    text: str, values: dict[int, str] | None
) -> None:
    assert Sentence.of("seed {0} is outside -1 to {1}", "").values_in(text) == values


def test_a_text_of_several_sentences_is_translated_sentence_by_sentence() -> None:
    with pytest.raises(ValidationError) as caught:
        Brief.model_validate({"prompt": "", "seconds": 7000, "approval": "maybe", "steps": "many"})
    english = sentences(caught.value)
    thai = said(english, "th")
    for words in ("is outside", "say in a sentence", "input should be", "the preset's"):
        assert words in english
        assert words not in thai
    for value in ("seconds", "7000", "'maybe'", "'many'", "steps"):
        assert value in thai


def test_what_is_not_known_stays_as_it_is() -> None:
    for text in ("a fox runs: about the moon", "", "; ", "ลูกบอลสีแดง", "the", "x" * 5_000):
        assert said(text, "th") == text
    assert said("the preset 'a' makes videos only, no pictures; ask for a video", "en").endswith(
        "ask for a video"
    )


def test_a_text_of_a_stranger_takes_no_more_look_ups_than_a_sentence_of_ours() -> None:
    """Every joint of a text may be the end of a sentence."""
    catalog = LANGUAGES.catalog("th")
    seen: dict[str, object] = {}
    catalog._reading("; a: b. " * 400, seen, 0)  # type: ignore[arg-type]
    assert len(seen) <= 502
