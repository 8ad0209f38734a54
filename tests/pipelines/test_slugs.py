"""Briefs as names."""

import pytest

from pipelines.schema.slugs import LONGEST, slug


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("A red fox trots", "red-fox-trots"),
        ("the sea", "sea"),
        ("A", "a"),
        ("  Übergröße, 2 cats!  ", "übergröße-2-cats"),
        ("สุนัขจิ้งจอกสีแดง วิ่ง", "สุนัขจิ้งจอกสีแดง-วิ่ง"),
        ("🦊🦊", ""),
        ("", ""),
    ],
)
def test_words_become_a_name(words: str, name: str) -> None:
    assert slug(words) == name


def test_a_long_brief_ends_with_a_whole_word() -> None:
    found = slug("a red fox trots through the deep snow of a northern forest at night")
    assert found == "red-fox-trots-through-the-deep-snow-of-a"
    assert len(found) <= LONGEST


def test_one_endless_word_is_cut() -> None:
    assert slug("x" * 500) == "x" * LONGEST
