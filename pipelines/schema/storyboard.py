"""The storyboard: the shots of a brief, and the source of each shot's words."""

from typing import Literal

from pipelines.schema.frozen import Frozen
from pipelines.schema.translation import Translation

ShotSource = Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
"""`llm`: the first answer passed all checks. `llm-retry`: an answer with a later seed passed.
`template`: no answer passed, or the model failed. `brief`: the brief's own words. `editor`: an
editor wrote them. `continued`: the words of the previous shot, which this one continues."""
Cause = Literal["", "refused", "failed"]
"""Why another strategy than the asked one, or the template, wrote a shot. `refused`: the model
answered, and no answer passed the checks. `failed`: the model gave no answer, because it did not
load, hung or crashed."""

Strategy = Literal["complete", "direct", "none"]
"""Who wrote the words. `complete`: a base model continued the brief's own words. `direct`: an
instruct model wrote outline, sheet and shots. `none`: the template, the brief or an editor."""


class SheetEntry(Frozen):
    """A character or a place. Each shot that shows it repeats `appearance` word for word, because
    the video model knows nothing of the other shots."""

    name: str
    """As the storyboard's other parts call it; it never reaches the video model."""
    appearance: str


class Sheet(Frozen):
    """Who and what the film shows more than once."""

    characters: tuple[SheetEntry, ...] = ()
    places: tuple[SheetEntry, ...] = ()


class ShotPlan(Frozen):
    """The parts of a shot that the strategy `direct` writes. Code makes the prompt of them."""

    beat: str
    size: str
    """Such as `wide shot`."""
    camera_move: str
    """Such as `static` or `slow pan left`."""
    subject: str
    action: str
    """One, which fits the shot's seconds."""
    setting: str
    light: str
    palette: str
    shows: tuple[str, ...] = ()
    """Names of entries of the sheet."""


class Shot(Frozen):
    """One idea and one camera. `prompt` is the text that the video model reads."""

    number: int
    camera: str
    prompt: str
    source: ShotSource
    strategy: Strategy = "none"
    plan: ShotPlan | None = None
    """None unless the strategy `direct` wrote it."""
    seed: int | None = None
    """Of its take. The shot keeps it at another place of the film, so that another order makes no
    chunk. None: derived from the brief's seed and the number of the chunk."""
    note: str = ""
    """Why the words are not the model's first answer, for the manifest."""
    cause: Cause = ""
    """Empty unless the template, or another strategy than the asked one, wrote it."""

    @property
    def stands_in(self) -> bool:
        """Whether the words are a replacement for what the asked strategy could not write."""
        return self.source == "template" or self.cause != ""


class Storyboard(Frozen):
    """The shots in order, with the prompt enhancer that wrote them."""

    shots: tuple[Shot, ...]
    enhancer: str
    """Name and revision of the language model, or `none`."""
    written: int
    """Shots that the model wrote in this run; the others were found in the bucket, or the template
    wrote them."""
    outline: tuple[str, ...] = ()
    """The beats of the film, if the strategy `direct` wrote them: one for each shot that does not
    continue another one. There are fewer if the model could not write those of the last shots."""
    sheet: Sheet = Sheet()
    story: str = ""
    """Digest from which the bucket's names of outline, sheet and shots are made; empty unless the
    strategy is `direct`."""
    translation: Translation | None = None
    notices: tuple[str, ...] = ()
    """Warnings about how they were written, for the manifest."""
