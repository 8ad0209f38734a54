"""The draft: a storyboard with a still of each shot, which a person may approve or edit."""

from pydantic import BaseModel, ConfigDict

from pipelines.documents.manifest import StoredObject
from pipelines.documents.stored_brief import StoredBrief
from pipelines.schema.plan import Estimate
from pipelines.schema.shots import PICK
from pipelines.schema.storyboard import Sheet, ShotSource
from pipelines.schema.translation import Translation


class DraftShot(BaseModel):
    """A shot as it would be made. Fields with a default are missing in drafts of versions up to
    0.4.0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    prompt: str
    """Without the brief's style, which is added to what an editor writes here."""
    seconds: float
    still: StoredObject | None = None
    """PNG. A shot that continues another one has the still of that one. None if it would have to be
    paid for."""
    seed: int = PICK
    """Of its first chunk, so that it keeps its take at another place of the video."""
    chunks: int = 1
    size: str = ""
    camera: str = ""
    source: ShotSource = "editor"
    note: str = ""
    """Why the words are not the model's first answer."""
    shows: tuple[str, ...] = ()
    """Names of entries of the sheet whose appearance its words repeat."""


class Draft(BaseModel):
    """The result of `draft-storyboard`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[DraftShot, ...]
    estimate: Estimate
    warnings: tuple[str, ...] = ()
    """What stood in for a model or the device."""
    without_stills: str = ""
    """Why shots have no still; empty if all have one."""
    brief: StoredBrief | None = None
    """The brief that it is a draft of, with the edits of earlier drafts. None if a version up to
    0.4.0 made it."""
    sheet: Sheet = Sheet()
    translation: Translation | None = None
    chunk_seconds: float = 0.0
    """Seconds by which a further chunk makes the video longer; 0 if it is not known."""
