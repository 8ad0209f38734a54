"""The language of a text, told by its script, and for Latin letters by their frequencies.

A short text in Latin letters is hard to tell. Where the detector is not sure, the text counts as
English: an English brief must never be refused or translated. With SURE, none of 60 English briefs
of three to ten words was taken for another language, and 31 of 39 in nine other ones were found
(py3langid 0.4.0); the others are named by the brief's field `language`.
"""

import re
from functools import lru_cache
from typing import Protocol

from pipelines.schema.languages import AS_WRITTEN, AUTO, ENGLISH

SURE = 0.9
"""Probability from which a text in Latin letters is not English."""
LEAST_WORDS = 3
"""Of a text in Latin letters whose language is looked for."""
FOREIGN_SHARE = 0.3
"""Share of letters in another script from which a text is not English; quoted words do not
count."""
LATIN = (
    *("de", "fr", "es", "it", "pt", "nl", "pl", "sv"),
    *("da", "fi", "cs", "hu", "ro", "tr", "id", "vi"),
)
"""Languages in Latin letters that are told apart."""
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("th", "\u0e00-\u0e7f"),
    ("lo", "\u0e80-\u0eff"),
    ("my", "\u1000-\u109f"),
    ("km", "\u1780-\u17ff"),
    ("ja", "\u3040-\u30ff"),
    ("ko", "\u1100-\u11ff\uac00-\ud7af"),
    ("zh", "\u3400-\u9fff\U00020000-\U0002ffff"),
    ("hi", "\u0900-\u097f"),
    ("bn", "\u0980-\u09ff"),
    ("ta", "\u0b80-\u0bff"),
    ("he", "\u0590-\u05ff"),
    ("ar", "\u0600-\u06ff\u0750-\u077f"),
    ("el", "\u0370-\u03ff"),
    ("ru", "\u0400-\u04ff"),
)
"""The most frequent language of each script. Kana stand before Han: a Japanese text has both."""
_OF_SCRIPT = tuple((code, re.compile(f"[{letters}]")) for code, letters in _SCRIPTS)
_ENGLISH_ONLY = re.compile(r"\b(?:the|with|and|through|from|into|across|around|while)\b", re.I)
"""Words of no other language in LATIN. They spare most English briefs the detector."""
QUOTED = re.compile(r'"[^"]*"|“[^”]*”|«[^»]*»|「[^」]*」|„[^“”]*[“”]|‘[^’]*’')
"""Words in quotation marks, which are shown or said as they are."""


class _Ranking(Protocol):
    def rank(self, text: str) -> list[tuple[str, float]]:
        """The languages with their probabilities, the most probable one first."""


def language_of(text: str, asked: str = AUTO) -> str:
    """The ISO 639-1 code of the language of `text`; `en` if it has none.

    `asked` is the brief's field `language`. With `as-written` every text counts as English. If it
    names a language in Latin letters, texts in that script are of it, unless they are English
    rather.
    """
    if asked in (AS_WRITTEN, ENGLISH):
        return ENGLISH
    words = QUOTED.sub(" ", text)
    latin = sum(character.isalpha() and character < "\u0250" for character in words)
    # With their vowel signs and tone marks, which are no letters for Unicode.
    found = {code: len(script.findall(words)) for code, script in _OF_SCRIPT}
    foreign = sum(found.values())
    if not latin + foreign:
        return ENGLISH
    if foreign >= FOREIGN_SHARE * (latin + foreign):
        return _of_scripts(found, asked)
    if asked in LATIN:
        return asked if _is_rather(words, asked) else ENGLISH
    return _in_latin_letters(words)


def _of_scripts(counts: dict[str, int], asked: str) -> str:
    """The language of the script that has the most letters."""
    if counts["ja"]:  # Han beside kana
        counts["ja"] += counts.pop("zh", 0)
    code = max(counts, key=lambda item: counts[item])
    return asked if asked not in (AUTO, *LATIN) else code


def _in_latin_letters(text: str) -> str:
    if len(text.split()) < LEAST_WORDS or _ENGLISH_ONLY.search(text):
        return ENGLISH
    code, probability = _detector().rank(text)[0]
    return code if probability >= SURE else ENGLISH


def _is_rather(text: str, code: str) -> bool:
    """Whether `text` is in `code` rather than in English."""
    known = dict(_detector().rank(text))
    return known[code] > known[ENGLISH]


@lru_cache(maxsize=1)
def _detector() -> _Ranking:
    """The model of frequencies, 4.5 MB; reading it takes half a second of a processor."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    made = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    made.set_languages([ENGLISH, *LATIN])
    found: _Ranking = made
    return found
