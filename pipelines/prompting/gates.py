"""Checks a written sentence before the video model reads it.

The limits are those that separated good from bad shots of a 270M model on ten briefs. A sentence
that fails is asked for again with another seed.
"""

import re
from collections.abc import Sequence

from pipelines.prompting.subjects import new_subjects
from pipelines.prompting.texts import TEMPLATES

MIN_WORDS, MAX_WORDS = 4, 60
MIN_ASCII_SHARE = 0.95
MIN_PLAIN_SHARE = 0.9
"""Share of letters and common marks in the text, and share of words with a vowel."""
MAX_LETTERS = 24
"""Letters of the longest word."""
MAX_REPEATED_TRIGRAMS = 0.15
MAX_OVERLAP = 0.6
"""Jaccard overlap of the words with those of an earlier shot."""

_META = re.compile(
    r"\b(here is|here's|sure[,!]|as an ai|shot \d|in this (video|shot|scene)|prompt:|idea:"
    r"|camera:|sentence|instruction)",
    re.IGNORECASE,
)
_FIXED = (
    re.compile(
        r"\b(?:red|green|blue|yellow|purple|violet|orange|white|black|gr[ea]y|brown|pink|gold|golden"
        r"|silver|turquoise|crimson|scarlet|navy|beige|magenta|cyan"
        r"|rainbows?|(?:multi)?colou?r(?:s|ed|ful))\b"
    ),
    re.compile(r"\b(?:left|right|up|down|(?:up|down|left|right|back)wards|top|bottom)\b"),
)
"""Colours and directions. If the brief names one, the enhancer must not add another one: the video
model would show that instead."""
_EXAMPLE_WORDS = frozenset({"lighthouse", "violin", "musician", "neon", "strings"})
"""Words of our own few-shot examples. In an answer they show that the model copied."""
_COPIED = 5
"""Words in a row that an answer has in common with our few-shot examples."""


def fault_of(words: str, idea: str, earlier: Sequence[str]) -> str:
    """Why `words`, the model's continuation, are refused; empty if they pass."""
    tokens = re.findall(r"[^\W_]+", words.lower())
    if not MIN_WORDS <= len(tokens) <= MAX_WORDS:
        return f"{len(tokens)} words instead of {MIN_WORDS} to {MAX_WORDS}"
    if sum(character.isascii() for character in words) < MIN_ASCII_SHARE * len(words):
        return "not written in English letters"
    if not _looks_like_words(words, tokens):
        return "not made of words"
    if _META.search(words):
        return "talks about the task instead of the shot"
    brief = idea.lower()
    if copied := _copied(words, brief):
        return f"copied {copied!r} from the examples"
    if other := added_fixed_word(words, brief):
        return f"says {other!r}, which the brief does not"
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    if trigrams and 1 - len(set(trigrams)) / len(trigrams) > MAX_REPEATED_TRIGRAMS:
        return "repeats itself"
    if any(_overlap(tokens, other) > MAX_OVERLAP for other in earlier):
        return "repeats an earlier shot"
    if added := new_subjects(words, [idea]):
        return f"adds {' and '.join(added)}, which the brief does not have"
    return ""


def added_fixed_word(words: str, given: str) -> str:
    """A colour that `words` name and `given` does not, though it names another one; or such a
    direction. Empty if there is none."""
    for fixed in _FIXED:
        known = set(fixed.findall(given.lower()))
        if known and (other := sorted(set(fixed.findall(words.lower())) - known)):
            return str(other[0])
    return ""


def _copied(words: str, brief: str) -> str:
    """What `words` have of our examples, and the brief has not; empty if there is nothing."""
    tokens, given = (set(re.findall(r"[^\W_]+", text.lower())) for text in (words, brief))
    leaked = set(_EXAMPLE_WORDS & tokens - given)
    leaked = leaked or _runs(words) & _runs(TEMPLATES["completion"]) - _runs(brief)
    return min(leaked, default="")


def _runs(text: str) -> set[str]:
    """Each _COPIED words in a row, in lower case."""
    tokens = re.findall(r"[^\W_]+", text.lower())
    return {" ".join(tokens[start : start + _COPIED]) for start in range(len(tokens) - _COPIED + 1)}


def _looks_like_words(text: str, tokens: Sequence[str]) -> bool:
    plain = sum(character.isalnum() or character in " ,.;:'’-" for character in text)
    pronounceable = sum(bool(re.search("[aeiouy]|^.$|^[0-9]+$", token)) for token in tokens)
    longest = max(map(len, tokens))
    return (
        plain >= MIN_PLAIN_SHARE * len(text)
        and pronounceable >= MIN_PLAIN_SHARE * len(tokens)
        and longest <= MAX_LETTERS
    )


def _overlap(tokens: Sequence[str], other: str) -> float:
    mine, theirs = set(tokens), set(re.findall(r"[^\W_]+", other.lower()))
    return len(mine & theirs) / len(mine | theirs)
