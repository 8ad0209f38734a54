"""What a prompt about coloured shapes on plain backgrounds asks for, word by word."""

import re

from pipelines.training.captions import (
    HELD_OUT_TEMPLATES,
    PARTIAL,
    PLAIN_FORMS,
    TEMPLATES,
    VERBS,
)
from pipelines.training.places import PLAIN
from pipelines.training.words import FILLERS, HELD_OUT_FILLERS, WORDS
from pipelines.training.world import COLOURS, SHAPES, WAYS, Scene

_VALUES = {
    "background": tuple(PLAIN),  # before the colours: `dark blue` is no blue shape
    "colour": tuple(COLOURS),
    "thing": SHAPES,
    "movement": tuple(WAYS),
}
_SENTENCES = " ".join(
    (*TEMPLATES, *HELD_OUT_TEMPLATES, *PLAIN_FORMS, *(text for text, _ in PARTIAL))
)
_AROUND = {"an", "the", "to", *(verb for forms in VERBS for verb in forms)} | set(
    re.findall(r"\w+", re.sub(r"{\w*}", " ", _SENTENCES))
)
"""Words of the captions that say nothing about the scene."""


def scene_in(caption: str) -> Scene | None:
    """What a caption of this world says; an attribute that it leaves out reads "".

    None for a text of another world: one that has any word which the captions do not have, names
    two values of one attribute, or says nothing that moves or stands before a background.
    """
    text = f" {caption.casefold()} "
    for phrase in (*FILLERS, *HELD_OUT_FILLERS):
        text = text.replace(f" {phrase}", " ")
    found: dict[str, str] = {}
    for attribute, values in _VALUES.items():
        phrases = sorted(
            ((words, value) for value in values for words in WORDS[value]),
            key=lambda item: -len(item[0]),  # `from right to left` before `right`
        )
        named = set()
        for words, value in phrases:
            text, times = re.subn(rf"\b{re.escape(words)}\b", " ", text)
            named |= {value} if times else set()
        if len(named) > 1:
            return None
        found[attribute] = named.pop() if named else ""
    scene = Scene(**found)
    is_ours = (scene.thing or scene.colour) and (scene.movement or scene.background)
    return scene if is_ours and set(re.findall(r"\w+", text)) <= _AROUND else None
