"""Translates the texts of a brief. A translation is checked, and one that fails is not used."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Protocol, TypeGuard

from pipelines.errors import BriefError, EnhancerError
from pipelines.language.back_check import fault_of_translation, plain_digits
from pipelines.language.detect import QUOTED
from pipelines.prompting.instruct import Instruction, InstructModel
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.text import without_control_tokens

_PROMPT = resources.files("pipelines.language") / "translate.txt"
_TEXT = _PROMPT.read_text(encoding="utf-8")
MAX_ANSWER = 2_000
"""Characters of a translation, which a grammar can count."""
_LEAST_TOKENS, _TOKENS_A_LETTER = 64, 0.8
"""Room for an answer: English has about four letters in a token, and two to three letters for one
of Thai or Chinese."""
_SEED = 20_000


class Translator(Protocol):
    """Who translates into English."""

    @property
    def name(self) -> str:
        """Name and revision."""

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        """The `texts` in English, unchecked. Raises EnhancerError if there is no answer."""


def can_translate(model: object) -> TypeGuard[InstructModel]:
    """Whether `model` follows instructions. A base model that is asked like one does not."""
    return getattr(model, "kind", "") == "instruct" and hasattr(model, "structured")


class InstructTranslator:
    """The language model that writes the shots, if it follows instructions."""

    def __init__(self, model: InstructModel) -> None:
        self._model = model

    @property
    def name(self) -> str:
        return self._model.name

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        return [self._translated(text, language) for text in texts]

    def _translated(self, text: str, language: str) -> str:
        """Raises EnhancerError, also for an answer that is no JSON."""
        room = _LEAST_TOKENS + int(_TOKENS_A_LETTER * len(text))
        data = {"language": NAMES.get(language, language), "text": text}
        longest = min(MAX_ANSWER, 100 + 3 * len(text))
        asked = Instruction(_TEXT, data, _schema(longest), _SEED, room)
        answer = self._model.structured(asked)
        try:
            return str(json.loads(answer)["english"])
        except (ValueError, KeyError, TypeError) as error:
            raise EnhancerError(f"the translation is no JSON: {answer[:80]!r}") from error


def _schema(longest: int) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"english": {"type": "string", "minLength": 1, "maxLength": longest}},
        "required": ["english"],
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Translated:
    """Texts in English, in the order of the originals."""

    texts: tuple[str, ...]
    translator: str


def translated(
    texts: Sequence[str], language: str, translators: Sequence[Translator]
) -> Translated:
    """The `texts` by the first of `translators` whose work passes the checks.

    Raises BriefError, with what is wrong with the last one and the remedy, if none does.
    """
    fault = "there is no translator"
    for translator in translators:
        try:
            return Translated(_checked(texts, language, translator), translator.name)
        except EnhancerError as error:
            fault = f"{translator.name}: {error}"
    raise BriefError(
        f"the brief is in {NAMES.get(language, language)}, and its translation cannot be used "
        f"({fault}); write it in English or in other words, or set its language to "
        f"'{AS_WRITTEN}' to go on with your own words"
    )


def _checked(texts: Sequence[str], language: str, translator: Translator) -> tuple[str, ...]:
    """The translations. Raises EnhancerError for one that fails the checks twice.

    Quoted words are replaced by marks first, and put back afterwards. A translator that loses a
    mark is given the parts between the quoted words.
    """
    plain = [plain_digits(text) for text in texts]
    marked = [_marked(text) for text in plain]
    found = translator.translate([text for text, _ in marked], language)
    checked = []
    for text, english, (_, quoted) in zip(plain, found, marked, strict=True):
        whole = _tidy(_unmarked(english, quoted))
        if fault_of_translation(text, whole, language):
            whole = _by_parts(text, language, translator)
        if fault := fault_of_translation(text, whole, language):
            raise EnhancerError(f"{fault}: {whole[:80]!r}")
        checked.append(whole)
    return tuple(checked)


def _by_parts(text: str, language: str, translator: Translator) -> str:
    """The translation of `text`, sentence by sentence and around its quoted words."""
    parts = [part for part in re.split(r"(?<=[.!?…\n])\s+", text) if part.strip()]
    pieces: list[str] = []
    for part in parts:
        before = 0
        for quoted in QUOTED.finditer(part):
            pieces += [part[before : quoted.start()], quoted[0]]
            before = quoted.end()
        pieces.append(part[before:])
    spoken = [piece for piece in pieces if _is_spoken(piece)]
    english = iter(translator.translate(spoken, language) if spoken else [])
    return _tidy(" ".join(next(english) if _is_spoken(piece) else piece for piece in pieces))


def _is_spoken(piece: str) -> bool:
    """Whether it is to be translated: it has a letter and is not quoted."""
    return any(map(str.isalpha, piece)) and not QUOTED.fullmatch(piece)


def _marked(text: str) -> tuple[str, list[str]]:
    """`text` with `"Q1"`, `"Q2"` in the place of quoted words, and these."""
    quoted: list[str] = []

    def mark(found: re.Match[str]) -> str:
        quoted.append(found[0])
        return f'"Q{len(quoted)}"'

    return QUOTED.sub(mark, text), quoted


def _unmarked(english: str, quoted: Sequence[str]) -> str:
    for number, words in reversed([*enumerate(quoted, start=1)]):
        parts = re.split(f'"?\\bQ ?{number}\\b"?', english)
        english = words.join(parts)
    return english


def _tidy(text: str) -> str:
    return without_control_tokens(" ".join(text.split()))
