"""Translates the texts of a brief. A translation is checked, and one that fails is not used."""

import json
import re
from collections.abc import Iterator, Sequence
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
    """What became of one text."""

    english: str
    translator: str
    """Name and revision."""
    fault: str = ""
    """Why the translation cannot be used, if it cannot."""


def translated(
    texts: Sequence[str], language: str, translators: Sequence[Translator]
) -> list[Translated]:
    """Each of `texts` by the first of `translators` whose translation passes the checks. If none
    does, `fault` says what is wrong with the last one."""
    found = [Translated("", "", "there is no translator")] * len(texts)
    for translator in translators:
        left = [number for number, item in enumerate(found) if item.fault]
        if not left:
            break
        waiting = iter(left)
        try:
            for english, fault in _checked([texts[n] for n in left], language, translator):
                reason = f"{translator.name}: {fault}" if fault else ""
                found[next(waiting)] = Translated(english, translator.name, reason)
        except EnhancerError as error:
            for number in waiting:
                found[number] = Translated("", translator.name, f"{translator.name}: {error}")
    return found


def refused(language: str, fault: str) -> BriefError:
    """The error of a brief with a text that must be translated and was not, because of `fault`."""
    return BriefError(
        f"the brief is in {NAMES.get(language, language)}, and its translation cannot be used "
        f"({fault}); write it in English or in other words, or set its language to "
        f"'{AS_WRITTEN}' to go on with your own words"
    )


def _checked(
    texts: Sequence[str], language: str, translator: Translator
) -> Iterator[tuple[str, str]]:
    """Each translation, and why it fails the checks or nothing. Raises EnhancerError.

    Quoted words are replaced by marks first, and put back afterwards. A text that fails the checks
    is translated once more by its sentences and the parts between quoted words.
    """
    plain = [plain_digits(text) for text in texts]
    marked = [_marked(text) for text in plain]
    found = translator.translate([text for text, _ in marked], language)
    for text, english, (_, quoted) in zip(plain, found, marked, strict=True):
        whole = _tidy(_unmarked(english, quoted))
        fault = fault_of_translation(text, whole, language)
        if fault:
            whole = _by_parts(text, language, translator)
            fault = fault_of_translation(text, whole, language)
        yield whole, f"{fault}: {whole[:80]!r}" if fault else ""


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
