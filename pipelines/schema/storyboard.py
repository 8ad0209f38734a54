"""The storyboard: the shots of a brief, and the source of each shot's words."""

from typing import Literal

from pipelines.schema.frozen import Frozen

ShotSource = Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
"""`llm`: the first answer passed all checks. `llm-retry`: an answer with a later seed passed.
`template`: no answer passed, or the model failed. `brief`: the brief's own words. `editor`: an
editor wrote them. `continued`: the words of the previous shot, which this one continues."""


class Shot(Frozen):
    """One idea and one camera. `prompt` is the text that the video model reads."""

    number: int
    camera: str
    prompt: str
    source: ShotSource
    note: str = ""
    """Why the words are not the model's first answer, for the manifest."""


class Storyboard(Frozen):
    """The shots in order, with the prompt enhancer that wrote them."""

    shots: tuple[Shot, ...]
    enhancer: str
    """Name and revision of the language model, or `none`."""
    written: int
    """Shots written in this run; the others were found in the bucket."""
    notices: tuple[str, ...] = ()
    """Warnings about how they were written, for the manifest."""
