"""Finds subjects that a writer added: persons, animals, body parts and things that no brief names.

A video model shows every noun that it reads. The demo writer put "hands on the ground" behind "an
orange circle moves right", and hands lay beside the circle.

The nouns are those of WordNet 3.0, in nouns.txt. What is not in that file is permitted: light,
weather, times of day, landscape, plants, buildings, furniture, cameras, colours, shapes, materials.

Measured on sentences of the demo writer that passed all other checks, and that a person had read
first (tests/fixtures/added-subjects.jsonl): of 99 about 25 briefs that this search was not made
with, it found all 12 with a new subject, and refused 11 of the other 87. After repairs that these
11 suggested, of all 321 it finds 39 of 43, and refuses 7 of the other 278.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Literal, cast, get_args

NounKind = Literal["person", "animal", "body", "meal", "clothing", "thing"]
"""Sections of nouns.txt. `meal`: food, drinks and what they are served in."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_NOUN = _words(
    "s a an the this that these those some any many few no each every another its his her their "
    "our your my of with in on at by for from into onto over under above below behind beside near "
    "between through across around against along like and or two three four five six seven eight "
    "nine ten several"
)
"""A word that may be a verb is a noun if one of the two words before it is one of these; `s` is the
end of a genitive."""
_PRONOUNS = _words("he she his her hers him who whose they their someone everyone nobody")
_LIKE_BEINGS = _words(
    "robot doll puppet statue figure snowman scarecrow barista dragon unicorn mermaid fairy elf "
    "ghost angel monster alien zombie phoenix"
)
"""What has a body and is no person or animal in WordNet."""
_ANYBODY = _words("person people someone somebody man woman human individual")
"""What any person may be called."""
_WITH_MEALS = _words("restaurant cafe kitchen bakery market bar picnic cook cooks chef")
_IDIOMS = re.compile(
    r"\b(?:to|of|by|catch(?:es|ing)?|meets?) the (?:naked |human )?eyes?\b|\bbird'?s[- ]eye\b"
    r"|\b(?:by|at|on|in) hand\b|\bface to face\b|\bon (?:foot|horseback)\b|\bhead(?:s|ing) \w+"
    r"|\b(?:foot|feet|head|face|heart|mouth|arms?|neck|skin|flesh|hands?) of (?:an?|the)\b"
    r"|\b(?:foot|feet) (?:away|from|high|tall|above|below|long|wide|deep)\b"
    r"|\b(?:curtain|blanket|carpet|ribbon|ball|web|veil|shell|hint)s? of\b"
)
"""Phrases with a noun that is not shown."""
_ENDING = re.compile("(?<=[a-z]{3})(?:erm[ae]n|ings?|e?ers?|ors?|ery|eries|ists?|ians?|e?s|e)$")
_PLURALS = (
    (re.compile("men$"), "man"),
    (re.compile("ies$"), "y"),
    (re.compile("ves$"), "f"),
    (re.compile("ves$"), "fe"),
    (re.compile("s$"), ""),
    (re.compile("(?<=[sxzoh])es$"), ""),
)


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

    Implied are: a more general or special word for what is there (`mammal` of an elephant), words
    of its family (`fishermen` of fishing), the body of a person or animal, a person's clothes,
    parts of a thing, food and tableware beside food. The nouns are returned in lower case as they
    stand in `words`, each once, in their order.
    """
    known = _Allowed.of(allowed)
    found = (token for token, noun in _nouns_in(words) if not known.implies(token, noun))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Allowed:
    """What the allowed texts have."""

    tokens: frozenset[str]
    nouns: tuple[Noun, ...]
    has_being: bool
    """A person, an animal, or something that looks like one."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Allowed":
        tokens = frozenset(token for text in texts for token, _ in _tokens(text))
        bases = {_base(token) for token in tokens}
        nouns = tuple(
            _lexicon().nouns[base] for base in sorted(bases - _PRONOUNS) if base in _lexicon().nouns
        )
        is_named = any(re.search(r"[a-z,] [A-Z][a-z]+", text) for text in texts)  # as Anna is
        being = bool(bases & (_PRONOUNS | _LIKE_BEINGS | _lexicon().beings)) or is_named
        being = being or any(noun.kind in ("person", "animal") for noun in nouns)
        return cls(tokens, nouns, being)

    def implies(self, token: str, noun: Noun) -> bool:
        base = _base(token)
        if {token, base, f"{token}s"} & self.tokens:
            return True
        if any(noun.is_related_to(other) for other in self.nouns):
            return True
        if any(_stem(base) == _stem(other) or _is_kind_of(other, base) for other in self.tokens):
            return True
        kinds = {other.kind for other in self.nouns}
        if self.tokens & _WITH_MEALS:
            kinds.add("meal")
        match noun.kind:
            case "body":
                return self.has_being
            case "person":
                return _has_group(self.nouns) or (base in _ANYBODY and "person" in kinds)
            case "clothing":
                return "person" in kinds or bool(self.tokens & _PRONOUNS)
            case "meal":
                return "meal" in kinds
            case _:
                return noun.is_part and "thing" in kinds


def _has_group(nouns: Iterable[Noun]) -> bool:
    """Whether one of them is a group of persons, such as a team."""
    person = _lexicon().nouns["person"].path[-1]
    return any(noun.kind == "person" and noun.path[-1] != person for noun in nouns)


def _nouns_in(text: str) -> Iterator[tuple[str, Noun]]:
    """The nouns of the text, in lower case."""
    nouns = _lexicon().nouns
    before: tuple[str, ...] = ()
    for token, is_last in _tokens(_IDIOMS.sub(" ", text.lower())):
        noun = nouns.get(_base(token)) if is_last else None
        if noun and (not noun.is_often_verb or _BEFORE_NOUN.intersection(before)):
            yield token, noun
        before = (*before[-1:], token)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Words in lower case. Of those with hyphens (`hand-painted`) only the last part may be a
    noun."""
    for match in re.finditer(r"[a-z]+(?:-[a-z]+)*", text.lower()):
        *first, last = match[0].split("-")
        yield from ((part, False) for part in first)
        yield last, True


def _stem(token: str) -> str:
    """A word without an English ending, so that words of one family agree: `fishing`, `fishermen`;
    `pot`, `potter`."""
    stem = _ENDING.sub("", token)
    is_doubled = len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls"
    return stem[:-1] if is_doubled else stem


def _is_kind_of(token: str, base: str) -> bool:
    """Whether `token` ends with `base`, as `spaceship` with `ship`."""
    return len(base) > 3 and token.removesuffix("s").endswith(base)


def _base(token: str) -> str:
    """The singular, if nouns.txt has it; else the word."""
    known = _lexicon()
    if token in known.nouns or token in known.beings:
        return token
    if token in known.plurals:
        return known.plurals[token]
    for ending, end in _PLURALS:
        singular = ending.sub(end, token)
        if singular != token and (singular in known.nouns or singular in known.beings):
            return singular
    return token.removesuffix("s") if token.removesuffix("s") in _LIKE_BEINGS else token


@dataclass
class _Lexicon:
    """What nouns.txt has."""

    nouns: dict[str, Noun] = field(default_factory=dict)
    beings: set[str] = field(default_factory=set)
    """Words that may mean a person or an animal; of an added text that is not certain enough."""
    plurals: dict[str, str] = field(default_factory=dict)
    """Irregular ones, with their words."""


@cache
def _lexicon() -> _Lexicon:
    found = _Lexicon()
    section = ""
    path: list[int] = []
    text = (resources.files(__package__) / "nouns.txt").read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif section == "plurals":
            many, one = line.split()
            found.plurals[many] = one
        elif section == "beings":
            found.beings.update(line.split())
        elif section in get_args(NounKind):
            depth = len(line) - len(line.lstrip(" "))
            path = [number, *path[len(path) - depth + 1 :]]
            kind = cast(NounKind, section)
            for word in line.split():
                noun = Noun(kind, "*" in word, "~" in word, tuple(path))
                found.nouns[word.lstrip("*~")] = noun
    return found
