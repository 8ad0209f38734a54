"""The storyboard: the shots of a brief, and where the words of each came from."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

ShotSource = Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
"""`llm`: first answer passed every gate; `llm-retry`: a later seed did; `template`: none did,
or the model could not be asked; `brief`: the brief's own words; `editor`: written by hand;
`continued`: the words of the shot before, which goes on."""


class Shot(BaseModel):
    """One idea, one camera. `prompt` is what Wan reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    camera: str
    prompt: str
    source: ShotSource
    note: str = ""
    """Why the words are not the model's first answer, for the manifest."""


class Storyboard(BaseModel):
    """The shots in order, with the writer that made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[Shot, ...]
    writer: str
    """Name and revision of the language model, or `none`."""
    written: int
    """Shots written in this run; the others were found in the bucket."""
