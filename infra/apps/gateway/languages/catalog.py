"""Messages in other languages than English, from one `.po` file a language.

The key of a message is its English text. A text that has no translation stays English. The files
are read as they are, so an installed package needs no compiled ones.

A page knows its own texts. Sentences of errors and of runs come from other processes, in English
and with values filled in: "seed 7 is outside -1 to 5". Their entries have the context `sentence`
and numbered fields ("seed {0} is outside -1 to {1}"), and are found by the words between these.
"""

import re
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
"""What joins several sentences, or a name and a sentence, in the order in which they are tried."""


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


class Catalog:
    """The messages of one language."""

    def __init__(self, path: Path) -> None:
        """Raises OSError if the file cannot be read."""
        with path.open("rb") as file:
            entries = [item for item in read_po(file, locale=path.stem) if item.id and item.string]
        self._messages: dict[str | tuple[str, str], str] = {}
        self._said: dict[str, str] = {}
        sentences: list[Sentence] = []
        for entry in entries:
            key, text = entry.id, entry.string
            if isinstance(key, tuple) or not isinstance(text, str):
                text = text[-1] if isinstance(text, tuple) else str(text)
                self._messages |= dict.fromkeys(key, text)
            elif entry.context != SENTENCE:
                self._messages[key] = text
            elif _FIELD.search(key):
                sentences.append(Sentence.of(key, text))
            else:
                self._said[key] = text
        # The more words it has, the surer it is.
        self._sentences = sorted(sentences, key=lambda item: -sum(map(len, item.words)))

    def gettext(self, text: str) -> str:
        """A text of a page."""
        return self._messages.get(text, text)

    def said(self, text: str) -> str:
        """A sentence of an error or of a run, with its values. One that is not known stays as it
        is."""
        return self._said_at(text, 0) if len(text) <= MAX_SENTENCE else text

    def _said_at(self, text: str, depth: int) -> str:
        if text in self._said:
            return self._said[text]
        if depth > _MAX_DEPTH or len(text) < 3:
            return text
        for sentence in self._sentences:
            values = sentence.values_in(text)
            if values is not None:
                filled = {key: self._said_at(value, depth + 1) for key, value in values.items()}
                return _FIELD.sub(lambda field: filled[int(field[1])], sentence.translation)
        return self._parts_said(text, depth)

    def _parts_said(self, text: str, depth: int) -> str:
        """`text` in two parts, of which one at least is known; else as it is."""
        for joint in _JOINTS:
            head, found, rest = text.partition(joint)
            if found and rest:
                parts = self._said_at(head, depth + 1), self._said_at(rest, depth + 1)
                if parts != (head, rest):
                    return joint.join(parts)
        small = text[0].lower() + text[1:]  # pydantic's sentences begin with a capital, or not
        return self._said[small] if small in self._said else text


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
