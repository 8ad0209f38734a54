"""Phrases in the words of shots are found as whole words, also where words have no spaces."""

import pytest

from pipelines.documents.brief import Brief
from pipelines.language.brief_texts import foreign_texts
from pipelines.schema.phrases import with_phrases

FOX = "จิ้งจอกสีแดง"


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (f"{FOX}วิ่งในหิมะ", "A red foxวิ่งในหิมะ"),
        (f"ในหิมะ {FOX} วิ่ง", "ในหิมะ a red fox วิ่ง"),
        (f"{FOX}่วิ่ง", f"{FOX}่วิ่ง"),  # a tone belongs to the letter before it
    ],
)
def test_looks_are_found_between_words_without_spaces(words: str, result: str) -> None:
    assert with_phrases(words, {FOX: "a red fox"}, foreign=True) == result


def test_english_looks_beside_such_words_follow_the_sheet() -> None:
    assert with_phrases("A red foxวิ่ง", {"a red fox": "a blue fox"}) == "A blue foxวิ่ง"
    assert with_phrases("a red foxglove", {"a red fox": "a blue fox"}) == "a red foxglove"


def test_a_mark_stands_for_the_looks_of_the_sheet_in_a_thai_shot() -> None:
    brief = Brief.model_validate(
        {
            "prompt": "x",
            "storyboard": [{"prompt": f"{FOX}วิ่งในหิมะตอนกลางคืน"}],
            "sheet": [{"name": "fox", "appearance": FOX}],
        }
    )
    (shot,) = [item for item in foreign_texts(brief) if item.field == "storyboard.1"]
    assert shot.looks == (FOX,)
    assert FOX not in shot.text
    assert shot.written == f"{FOX}วิ่งในหิมะตอนกลางคืน"
