"""Finds subjects that a writer added: persons, animals, body parts and things that no brief names.

A video model shows every noun that it reads. The demo writer put "hands on the ground" behind "an
orange circle moves right", and a hand lay beside the circle.

The nouns are those of WordNet 3.0, in nouns.txt. What is not in that file is permitted: light,
weather, times of day, landscape, plants, buildings and their parts, furniture, cameras, colours,
shapes, materials.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, cast, get_args


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NounKind = Literal["person", "animal", "body", "food", "clothing", "thing"]
_SHARED = 4
"""Letters at the beginning of two words of one family, such as `fishing` and `fisherman`."""
_IDIOMS = re.compile(
    r"\b(?:to|of|by|catch(?:es|ing)?|meets?) the (?:naked |human )?eyes?\b|\bbird'?s[- ]eye\b"
    r"|\b(?:by|at|on|in) hand\b|\bface to face\b|\bon (?:foot|horseback)\b|\bhead(?:s|ing) \w+"
    r"|\b(?:curtain|blanket|carpet|ribbon|ball|web|veil|shell|hint)s? of\b"
)
"""Phrases with a noun that is not shown."""
_BEFORE_NOUN = _words(
    "s a an the this that these those some any many few no each every another its his her their "
    "our your my of with in on at by for from into onto over under above below behind beside near "
    "between through across around against along like and or two three four five six seven eight "
    "nine ten several"
)
"""A word that may be a verb is a noun if one of the two words before it is one of these; `s` is the
end of a genitive."""
_PRONOUNS = _words("he she his her hers him who whose they their someone nobody everyone")
_ANYBODY = _words("person people someone somebody man woman human individual")
"""What any person may be called."""


@dataclass(frozen=True)
class Noun:
    """A word of nouns.txt."""

    kind: NounKind
    is_part: bool
    is_often_verb: bool
    path: tuple[int, ...]
    """Numbers of its line and of those above it, which are more general."""

    def is_related_to(self, other: "Noun") -> bool:
        """Whether one of both is a case of the other one, or they mean the same."""
        return self.path[0] in other.path or other.path[0] in self.path


def new_subjects(words: str, allowed: Sequence[str]) -> list[str]:
    """Nouns in `words` for subjects that the texts of `allowed` neither have nor imply.

    Implied are: a general or special word for what is there (`mammal` of an elephant), words of its
    family (`fisherman` of fishing), the body of a person or animal, a person's clothes, parts of
    a thing, food beside food. The nouns are returned in lower case as they stand in `words`, each
    once, in their order.
    """
    known = _Allowed.of(allowed)
    found = dict.fromkeys(
        token for token, noun in _nouns_in(words) if not known.implies(token, noun)
    )
    return list(found)


@dataclass(frozen=True)
class _Allowed:
    """What the allowed texts have."""

    tokens: frozenset[str]
    nouns: tuple[Noun, ...]
    has_being: bool
    """A person or an animal."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Allowed":
        tokens = frozenset(token for text in texts for token, _ in _tokens(text))
        found = (noun_of(token) for token in sorted(tokens))
        nouns = tuple(noun for noun in found if noun is not None)
        being = any(noun.kind in ("person", "animal") for noun in nouns)
        return cls(tokens, nouns, being or bool(tokens & _PRONOUNS) or any(map(_has_name, texts)))

    def implies(self, token: str, noun: Noun) -> bool:
        if {token, token.removesuffix("s"), f"{token}s"} & self.tokens or any(
            noun.is_related_to(other) for other in self.nouns
        ):
            return True
        if any(_is_family(_base(token), other) for other in self.tokens):
            return True
        kinds = {other.kind for other in self.nouns}
        match noun.kind:
            case "body":
                return self.has_being
            case "clothing":
                return "person" in kinds or bool(self.tokens & _PRONOUNS)
            case "person":
                return _base(token) in _ANYBODY and "person" in kinds
            case "food":
                return "food" in kinds
            case _:
                return noun.is_part and "thing" in kinds


def noun_of(token: str) -> Noun | None:
    """The entry of a word in lower case, singular or plural; None if nouns.txt does not have it."""
    return _entries()[0].get(_base(token))


def _nouns_in(text: str) -> Iterator[tuple[str, Noun]]:
    """The nouns of the text, as written in lower case."""
    before: tuple[str, ...] = ()
    for token, is_last in _tokens(_IDIOMS.sub(" ", text.lower())):
        noun = noun_of(token) if is_last else None
        if noun and (not noun.is_often_verb or _BEFORE_NOUN.intersection(before[-2:])):
            yield token, noun
        before = (*before[-1:], token)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Words in lower case; of words with hyphens (`hand-painted`) only the last part may be a
    noun."""
    for match in re.finditer(r"[a-z]+(?:-[a-z]+)*", text.lower()):
        *first, last = match[0].split("-")
        yield from ((part, False) for part in first)
        yield last, True


def _has_name(text: str) -> bool:
    """Whether a word within a sentence has a capital letter, as names of persons have."""
    return bool(re.search(r"[a-z,] [A-Z][a-z]+", text))


def _is_family(one: str, other: str) -> bool:
    shared = one[:_SHARED] == other[:_SHARED] and min(len(one), len(other)) >= _SHARED
    return shared or bool(re.fullmatch(rf"{one}[a-z]?(?:ers?|ing|ery)", other))


def _base(token: str) -> str:
    """The singular, if nouns.txt has it; else the word."""
    nouns, plurals = _entries()
    if token in nouns:
        return token
    if token in plurals:
        return plurals[token]
    for end, replacement in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("s", ""), ("es", "")):
        if token.endswith(end) and (singular := token.removesuffix(end) + replacement) in nouns:
            return singular
    return token


@cache
def _entries() -> tuple[dict[str, Noun], dict[str, str]]:
    """The nouns of nouns.txt, and its irregular plurals."""
    nouns: dict[str, Noun] = {}
    plurals: dict[str, str] = {}
    section = ""
    path: list[int] = []
    text = (resources.files(__package__) / "nouns.txt").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "plurals":
            many, one = line.split()
            plurals[many] = one
        elif section in get_args(NounKind):
            depth = len(line) - len(line.lstrip(" "))
            path = [number, *path[len(path) - depth + 1 :]]
            for word in line.split():
                kind = cast(NounKind, section)
                nouns[word.lstrip("*~")] = Noun(kind, "*" in word, "~" in word, tuple(path))
    return nouns, plurals
