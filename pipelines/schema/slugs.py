"""A brief's words as a name: `red-fox-trots-through-the-snow`."""

import unicodedata

LONGEST = 40
"""Characters of a name, so that it fits a line of a list."""
_LETTERS = frozenset("LMN")
"""Unicode's letters, marks and digits. Thai writes vowels and tones as marks."""
_ARTICLES = frozenset({"a", "an", "the"})


def slug(text: str, longest: int = LONGEST) -> str:
    """The words of `text` in small letters, joined by hyphens, at most `longest` characters.

    Words that do not fit are left out whole, except a first one that is too long by itself. An
    English article at the beginning is left out. Empty for a text without a letter or digit.
    """
    normal = unicodedata.normalize("NFC", text).lower()
    kept = (mark if unicodedata.category(mark)[0] in _LETTERS else " " for mark in normal)
    words = "".join(kept).split()
    if len(words) > 1 and words[0] in _ARTICLES:
        words = words[1:]
    chosen: list[str] = []
    for word in words:
        if len("-".join([*chosen, word])) > longest:
            break
        chosen.append(word)
    return "-".join(chosen) if chosen else "".join(words[:1])[:longest]
