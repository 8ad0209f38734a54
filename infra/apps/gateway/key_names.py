"""Names of API keys: none that a reader could take for another one."""

import unicodedata

from pipelines.errors import BriefError

RESERVED = ("operator", "this machine", "nobody")
_LONGEST = 60
_LATIN_LOOKALIKES = {"CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU"}
"""Scripts with letters that look like Latin ones, which no normalisation knows."""


def check_name(name: str) -> None:
    """Raises BriefError if no key can have that name."""
    if not name or len(name) > _LONGEST or not name.isprintable() or not _letters(name):
        raise BriefError(f"the name {name!r:.70} cannot be used; take 1 to 60 plain characters")
    if any(_letters(name) == _letters(taken) for taken in RESERVED):
        raise BriefError(f"the name {name!r} is reserved, or looks like one that is; take another")
    scripts = {unicodedata.name(letter, "").split(" ")[0] for letter in name if letter.isalpha()}
    if "LATIN" in scripts and scripts & _LATIN_LOOKALIKES:
        raise BriefError(
            f"the name {name!r} mixes letters of {' and '.join(sorted(scripts))} that look alike; "
            "take those of one alphabet"
        )


def same_name(one: str, other: str) -> bool:
    """Whether they differ in nothing but case, spaces and forms of letters."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    """As NFKC and case folding have it; folding can undo the normal form, so twice."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return " ".join(unicodedata.normalize("NFKC", text).split())


def _letters(name: str) -> str:
    """The letters and digits alone, without accents."""
    text = unicodedata.normalize("NFKD", _folded(name))
    return "".join(letter for letter in text if letter.isalnum())
