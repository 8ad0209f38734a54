"""Phrases within the words of a shot: one in the place of another."""

import re
from collections.abc import Mapping

_BEGINS = re.compile(r"(?:^|[.!?:]\s+)$")
"""What stands before the first word of a sentence."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese: no spaces stand between their words."""
_SIGNS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3"
)
"""Vowels and tones of theirs that belong to the letter before them."""
_LETTER = rf"[^\W{_UNSPACED}]"
"""Of a script with spaces between words."""


def whole(phrase: str) -> str:
    """A pattern for `phrase` as whole words. Beside letters of a script without spaces nobody can
    tell where a word ends, so there it is found wherever it stands."""
    return rf"(?<!{_LETTER}){re.escape(phrase)}(?![{_SIGNS}])(?!{_LETTER})"


def capital(phrase: str) -> str:
    """`phrase` with a capital letter at its beginning."""
    return phrase[:1].upper() + phrase[1:]


def begins_sentence(before: str) -> bool:
    """Whether a word behind `before` is the first one of a sentence."""
    return bool(_BEGINS.search(before))


def with_phrases(words: str, swaps: Mapping[str, str], *, foreign: bool = False) -> str:
    """`words` with the values of `swaps` in the place of its keys.

    A key is found as a whole word, also with a capital. The phrase in its place gets a capital
    where the key had one. A `foreign` key may be in a script without capitals, so the phrase in its
    place gets one at the beginning of a sentence.
    """
    longest_first = sorted(filter(None, swaps), key=len, reverse=True)
    forms = {form: old for old in longest_first for form in (old, capital(old))}
    if not forms:
        return words
    pattern = "|".join(map(whole, forms))

    def swap(found: re.Match[str]) -> str:
        new, begins = swaps[forms[found.group()]], begins_sentence(words[: found.start()])
        return capital(new) if (begins if foreign else found.group() not in swaps) else new

    return re.sub(pattern, swap, words)
