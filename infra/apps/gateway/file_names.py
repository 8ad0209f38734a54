"""Readable names of downloads: `red-fox-trots-through-the-snow-1a2b3c4d.mp4`."""

import unicodedata
from urllib.parse import quote

_LONGEST = 60
"""Characters of the words in a name. Each may take 4 bytes, and file systems end at 255."""
_ID = 8
"""Characters of the content id that keep two videos of the same words apart."""
_LETTERS = frozenset("LMN")
"""Unicode's letters, marks and digits. Thai writes vowels and tones as marks, which `\\w` lacks."""


def readable_name(prompt: str, name: str) -> str:
    """A name for the file `name` (`<content-id>[-contact].<suffix>`) from the words of its brief.

    Words that do not fit are left out whole, except a first one that is too long by itself.
    """
    stem, _, suffix = name.rpartition(".")
    cid, _, part = stem.partition("-")
    chosen: list[str] = []
    for word in _words(prompt):
        if len("-".join([*chosen, word])) > _LONGEST:
            chosen = chosen or [word[:_LONGEST]]
            break
        chosen.append(word)
    return "-".join(filter(None, (*chosen, cid[:_ID], part))) + f".{suffix}"


def disposition(name: str, *, attachment: bool) -> str:
    """The header Content-Disposition for a file of that name (RFC 6266, RFC 8187).

    A name with other than ASCII letters is there twice: in UTF-8, and as the letters that are ASCII
    for programs that read no other.
    """
    plain = "-".join(filter(None, name.encode("ascii", "ignore").decode().split("-")))
    value = f'{"attachment" if attachment else "inline"}; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"


def _words(text: str) -> list[str]:
    """The words of a text in small letters, without any other character."""
    normal = unicodedata.normalize("NFC", text).lower()
    kept = (mark if unicodedata.category(mark)[0] in _LETTERS else " " for mark in normal)
    return "".join(kept).split()
