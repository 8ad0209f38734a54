"""The draft: a storyboard with a still of each shot, which a person may approve."""

from pydantic import BaseModel, ConfigDict

from pipelines.documents.brief import Brief
from pipelines.documents.manifest import StoredObject
from pipelines.schema.plan import Estimate
from pipelines.schema.shots import PICK, HandShot, ShotOverride
from pipelines.schema.storyboard import Translation


class DraftShot(BaseModel):
    """A shot as it would be made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    prompt: str
    """Without the brief's style, which is added to what an editor writes here."""
    seconds: float
    still: StoredObject | None = None
    """PNG. A shot that continues another one has the still of that one. None if it would have to be
    paid for."""


class Draft(BaseModel):
    """The result of `draft-storyboard`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[DraftShot, ...]
    estimate: Estimate
    warnings: tuple[str, ...] = ()
    """What stood in for a model or the device."""
    without_stills: str = ""
    """Why shots have no still; empty if all have one."""
    translation: Translation | None = None
    """Of the brief, if it was not written in English."""


def edited(brief: Brief, draft: Draft, shots: list[HandShot]) -> Brief:
    """`brief` with an editor's changes to its draft.

    If the number of shots differs, the edited shots become the brief's shots by hand. Raises
    ValueError if the result is no valid brief.
    """
    values = brief.model_dump(mode="json")
    if len(shots) != len(draft.shots):
        values |= {"storyboard": [shot.model_dump() for shot in shots], "shots": []}
        return Brief.model_validate(values)
    overrides = {item.shot: item for item in brief.shots}
    for shot, wanted in zip(draft.shots, shots, strict=True):
        before = overrides.get(shot.number, ShotOverride(shot=shot.number))
        words = wanted.prompt if wanted.prompt != shot.prompt else before.prompt
        seed = wanted.seed if wanted.seed != PICK else before.seed
        if words or seed != PICK:
            overrides[shot.number] = ShotOverride(shot=shot.number, prompt=words, seed=seed)
    ordered = sorted(overrides.values(), key=lambda item: item.shot)
    return Brief.model_validate(values | {"shots": [item.model_dump() for item in ordered]})
