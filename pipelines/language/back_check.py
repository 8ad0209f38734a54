"""What a translation must keep, and whether it did: numbers, names and quoted words.

Nobody here can tell whether a translation is right. These checks find what goes wrong most: words
that are left out or repeated, numbers that change, and an answer in another language.
"""

import re
import unicodedata
from collections import Counter
from itertools import pairwise

from pipelines.language.detect import LATIN, QUOTED, language_of
from pipelines.schema.languages import ENGLISH

MIN_ENGLISH = 0.95
"""Share of ASCII letters outside of quoted words."""
MAX_REPEATED = 0.4
"""Share of word pairs that came before. A model that turns in circles has more."""
MAX_GROWTH = 8
"""English words for each three letters of the original, and as many for the text as a whole, that a
translation never has."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9&.'-]*[A-Za-z0-9]|[A-Z]")
"""A word in Latin letters."""
_IN_WORDS = {
    "zero": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
}


def plain_digits(text: str) -> str:
    """`text` with the digits of every script as 0 to 9."""
    return "".join(
        str(unicodedata.digit(char))
        if char.isdigit() and unicodedata.decimal(char, -1) >= 0
        else char
        for char in text
    )


def quoted_in(text: str) -> list[str]:
    """Texts in quotation marks, without these."""
    return [found[0][1:-1].strip() for found in QUOTED.finditer(text) if found[0][1:-1].strip()]


def names_in(text: str, language: str) -> list[str]:
    """Words that must be the same in English: those in Latin letters of a text in another script;
    of a text in Latin letters, those with a digit or capitals only, such as `BTS` or `iPhone15`."""
    words = _NAME.findall(QUOTED.sub(" ", plain_digits(text)))
    if language not in LATIN:
        return words
    return [word for word in words if any(map(str.isdigit, word)) or _is_all_capitals(word)]


def fault_of_translation(original: str, english: str, language: str) -> str:
    """Why `english` is no translation of `original`; empty if it may be one."""
    quoted = quoted_in(original)
    for text in quoted:
        if text not in english:
            return f"the quoted words {text!r:.60} are lost"
    rest = QUOTED.sub(" ", english)
    words = re.findall(r"[^\W\d_]+", rest)
    if not words and not quoted:
        return "it says nothing"
    letters = [character for character in rest if character.isalpha()]
    if sum(character.isascii() for character in letters) < MIN_ENGLISH * len(letters):
        return "it is not written in English letters"
    if lost := _lost_number(original, english):
        return f"the number {lost} is lost"
    for name in names_in(original, language):
        if name.casefold() not in english.casefold():
            return f"the name {name!r:.60} is lost"
    if english.strip() == original.strip() or language_of(english) != ENGLISH:
        return "it is not in English"
    return _fault_of_shape(original, [word.lower() for word in words])


def _fault_of_shape(original: str, words: list[str]) -> str:
    """Whether it turns in circles, or is far longer than what it translates."""
    pairs = [*pairwise(words)]
    if len(pairs) > 3 and 1 - len(set(pairs)) / len(pairs) > MAX_REPEATED:
        return "it repeats itself"
    spoken = sum(character.isalpha() for character in original)
    if len(words) > MAX_GROWTH + MAX_GROWTH * spoken / 3:
        return f"it has {len(words)} words, far more than the original"
    return ""


def _lost_number(original: str, english: str) -> str:
    """The first number of `original` that `english` has less often; `three` counts as 3."""
    found = Counter(_NUMBER.findall(plain_digits(english)))
    found.update(
        _IN_WORDS[word] for word in re.findall("[a-z]+", english.lower()) if word in _IN_WORDS
    )
    wanted = Counter(_NUMBER.findall(plain_digits(original)))
    return next((number for number, count in wanted.items() if found[number] < count), "")


def _is_all_capitals(word: str) -> bool:
    return len(word) > 1 and word.isupper()
