"""Messages in other languages than English, from one `.po` file a language.

The key of a message is its English text. A text that has no translation stays English. The files
are read as they are, so an installed package needs no compiled ones.

A page knows its own texts. Sentences of errors and of runs come from other processes, in English
and with values filled in: "seed 7 is outside -1 to 5". Their entries have the context `sentence`
and numbered fields ("seed {0} is outside -1 to {1}"), and are found by the words between these.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from babel import Locale
from babel.messages.pofile import read_po

ENGLISH = "en"
SENTENCE = "sentence"
"""Context of the entries that are found by the words between their fields."""
LOCALES = Path(__file__).parent / "locales"
MAX_SENTENCE = 4_000
"""Characters of the longest text that is looked up; longer ones are no sentences of ours."""
_MAX_DEPTH = 8
"""A value may be a sentence itself, whose value may be one; a text may be several sentences."""
_FIELD = re.compile(r"\{(\d+)\}")
_JOINTS = ("; ", ": ", ". ")
"""What joins several sentences, or a name and a sentence."""
_MAX_HALVES = 8
"""Places of one joint where a text is tried to be two."""
_MAX_READINGS = 500
"""Parts of one text that are looked up: nobody keeps the gateway busy with a text of joints."""


@dataclass(frozen=True)
class Sentence:
    """A sentence with fields, and its translation."""

    words: tuple[str, ...]
    """The text before, between and after the fields."""
    fields: tuple[int, ...]
    translation: str

    @classmethod
    def of(cls, text: str, translation: str) -> "Sentence":
        """The entry `text`, whose fields are written as `{0}`."""
        parts = _FIELD.split(text)
        return cls(tuple(parts[::2]), tuple(int(number) for number in parts[1::2]), translation)

    def values_in(self, text: str) -> dict[int, str] | None:
        """What stands in the place of the fields; None if `text` is another sentence.

        Each part is looked for once, from the left. A regular expression would try all places, and
        a text of a stranger could keep it busy for minutes.
        """
        first, last = self.words[0], self.words[-1]
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        values: dict[int, str] = {}
        begin = len(first)
        for field, after in zip(self.fields[:-1], self.words[1:-1], strict=True):
            found = text.find(after, begin, end)
            if found < 0:
                return None
            values[field] = text[begin:found]
            begin = found + len(after)
        values[self.fields[-1]] = text[begin:end]
        return values

    @property
    def letters(self) -> int:
        """How many it has besides its fields."""
        return sum(map(len, self.words))

    def filled(self, values: Mapping[int, "_Reading"]) -> str:
        """The translation with `values` in the place of its fields."""
        return _FIELD.sub(lambda field: values[int(field[1])].text, self.translation)


class Catalog:
    """The messages of one language."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file cannot be read."""
        with path.open("rb") as file:
            entries = [item for item in read_po(file, locale=path.stem) if item.id and item.string]
        self._messages: dict[str, str] = {}
        self._said: dict[str, str] = {}
        sentences: list[Sentence] = []
        for entry in entries:
            key, text = str(entry.id), str(entry.string)
            if entry.context != SENTENCE:
                self._messages[key] = text
            elif _FIELD.search(key):
                sentences.append(Sentence.of(key, text))
            else:
                self._said[key] = text
        # The more words it has, the surer it is.
        self._sentences = sorted(sentences, key=lambda item: -item.letters)

    def gettext(self, text: str) -> str:
        """A text of a page."""
        return self._messages.get(text, text)

    def said(self, text: str) -> str:
        """A sentence of an error or of a run, with its values. One that is not known stays as it
        is."""
        return self._reading(text, {}, 0).text if len(text) <= MAX_SENTENCE else text

    def _reading(self, text: str, seen: dict[str, "_Reading"], depth: int) -> "_Reading":
        """The reading of `text` that explains most of its letters."""
        if text in seen or depth > _MAX_DEPTH or len(seen) > _MAX_READINGS or not text:
            return seen.get(text, _Reading(text, 0))
        found = seen[text] = self._exact(text) or _Reading(text, 0)
        if found.known == len(text):
            return found
        for sentence in self._sentences:
            values = sentence.values_in(text)
            if values is not None:
                parts = {key: self._reading(part, seen, depth + 1) for key, part in values.items()}
                known = sentence.letters + sum(part.known for part in parts.values())
                begins = bool(sentence.words[0])
                if (known, begins) > (found.known, found.begins):
                    found = _Reading(sentence.filled(parts), known, begins)
        for head, joint, rest in _halves(text):
            first, second = (self._reading(part, seen, depth + 1) for part in (head, rest))
            if first.known + second.known > found.known:
                found = _Reading(first.text + joint + second.text, first.known + second.known)
        seen[text] = found
        return found

    def _exact(self, text: str) -> "_Reading | None":
        """A sentence without fields. Those of pydantic begin with a capital, or not."""
        for way in (text, text[0].lower() + text[1:]):
            if way in self._said:
                return _Reading(self._said[way], len(text))
        return None


@dataclass(frozen=True)
class _Reading:
    """A translation of a text."""

    text: str
    known: int
    """Letters of the English text that an entry has; the others are values, or not known."""
    begins: bool = False
    """Whether the first word is an entry's own. Of two readings, that is the surer one."""


def _halves(text: str) -> Iterator[tuple[str, str, str]]:
    """The ways to read `text` as two, with what joins them."""
    for joint in _JOINTS:
        place = text.find(joint, 1)
        for _ in range(_MAX_HALVES):
            if place < 0 or place + len(joint) >= len(text):
                break
            yield text[:place], joint, text[place + len(joint) :]
            place = text.find(joint, place + 1)


class _English(Catalog):
    """Texts as the code has them."""

    def __init__(self) -> None:
        """Reads nothing."""

    def gettext(self, text: str) -> str:
        return text

    def said(self, text: str) -> str:
        return text


class Languages:
    """The languages that there are."""

    @cached_property
    def names(self) -> dict[str, str]:
        """Each language by its code (ISO 639-1), as its speakers call it. English is the first."""
        codes = [ENGLISH, *sorted(path.stem for path in LOCALES.glob("*.po"))]
        return {code: str(Locale(code).get_language_name(code)) for code in codes}

    @lru_cache(maxsize=32)  # noqa: B019 (there is one of it)
    def catalog(self, code: str) -> Catalog:
        """The messages of `code`, which is one of `names`."""
        return _English() if code == ENGLISH else Catalog(LOCALES / f"{code}.po")


LANGUAGES = Languages()


@lru_cache(maxsize=2_000)
def said(text: str, language: str) -> str:
    """A sentence of an error or of a run in `language`; in English if it has no translation."""
    return LANGUAGES.catalog(language).said(text)
