"""The storyboard: the shots of a brief, and the source of each shot's words."""

from typing import Literal

from pipelines.schema.frozen import Frozen

ShotSource = Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
"""`llm`: the first answer passed all checks. `llm-retry`: an answer with a later seed passed.
`template`: no answer passed, or the model failed. `brief`: the brief's own words. `editor`: an
editor wrote them. `continued`: the words of the previous shot, which this one continues."""
Cause = Literal["", "refused", "failed"]
"""Why the template wrote a shot. `refused`: the model answered, and no answer passed the checks.
`failed`: the model gave no answer, because it did not load, hung or crashed."""


class Shot(Frozen):
    """One idea and one camera. `prompt` is the text that the video model reads."""

    number: int
    camera: str
    prompt: str
    source: ShotSource
    note: str = ""
    """Why the words are not the model's first answer, for the manifest."""
    cause: Cause = ""
    """Empty unless `source` is `template`."""


class Storyboard(Frozen):
    """The shots in order, with the prompt enhancer that wrote them."""

    shots: tuple[Shot, ...]
    enhancer: str
    """Name and revision of the language model, or `none`."""
    written: int
    """Shots that the model wrote in this run; the others were found in the bucket, or the template
    wrote them."""
    notices: tuple[str, ...] = ()
    """Warnings about how they were written, for the manifest."""
