"""What a storyboard says of texts that were translated: each original beside its English words."""

from typing import Final

from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of

SHEET: Final = "sheet"
"""First part of the field of a character or a place; its name is the rest."""
_OF_SHOTS = ("storyboard", "shots")


class TranslatedText(Frozen):
    """A text of a brief besides its own words."""

    field: str
    """Such as `style`, `storyboard.1` for the first shot by hand, `shots.2.wish` for the wish for
    shot 2, or `sheet.fox` for the looks of the fox."""
    original: str
    english: str
    language: str = ""
    """ISO 639-1; empty if it is that of the whole translation."""
    translator: str = ""
    """Empty if it is that of the whole translation."""
    asked: str = ""
    """What the translator was given, if that is not `original`: with marks in the place of the
    looks of characters and places."""

    @property
    def title(self) -> str:
        """What the text is, in words for an editor."""
        return title_of(self.field)


class Translation(Frozen):
    """A brief with texts in another language."""

    language: str
    """ISO 639-1, such as `th`."""
    original: str
    """The brief's own words."""
    english: str
    """The same as `original` if these were not translated: they are in English, or shots by hand
    replace them."""
    translator: str
    """Name and revision of the model. Empty if no text was translated for this storyboard: all
    `others` were translated for an earlier one."""
    others: tuple[TranslatedText, ...] = ()

    @property
    def is_of_prompt(self) -> bool:
        """Whether the brief's own words were translated."""
        return self.english != self.original

    @property
    def translators(self) -> tuple[str, ...]:
        """All models that translated, without repetition."""
        names = (self.translator, *(item.translator for item in self.others))
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Under which the bucket keeps its texts."""
        own = translation_digest(self.translator, self.language, self.original)
        others = (
            translation_digest(
                item.translator or self.translator,
                item.language or self.language,
                item.asked or item.original,
            )
            for item in self.others
        )
        return (own, *others)


def translation_digest(translator: str, language: str, original: str) -> Digest:
    """Identity of the translation of one text, under which the bucket keeps it."""
    return digest_of(["translation/1", translator, language, original])


def title_of(field: str) -> str:
    """What a text of a brief is, in words for an editor. `field` as in `TranslatedText`."""
    kind, _, rest = field.partition(".")
    if kind == SHEET:
        return f"the looks of {rest}"
    if kind not in _OF_SHOTS:
        return field
    number, _, part = rest.partition(".")
    titles = {
        "": f"the words of shot {number}",
        "wish": f"the wish for shot {number}",
        "size": f"the size of shot {number}",
        "camera": f"the camera of shot {number}",
    }
    return titles.get(part, field)
