"""The draft: a storyboard with a still of each shot, for a person to look at."""

from pydantic import BaseModel, ConfigDict

from pipelines.schema.brief import Brief
from pipelines.schema.manifest import StoredObject
from pipelines.schema.plan import Estimate
from pipelines.schema.shots import PICK, HandShot, ShotOverride


class DraftShot(BaseModel):
    """A shot as it would be made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    prompt: str
    """Without the brief's style, which is added to whatever an editor writes here."""
    seconds: float
    still: StoredObject
    """PNG; a shot that continues shows the still of the one that it goes on from."""


class Draft(BaseModel):
    """What `draft-storyboard` hands over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: tuple[DraftShot, ...]
    estimate: Estimate


def edited(brief: Brief, draft: Draft, shots: list[HandShot]) -> Brief:
    """`brief` with what an editor changed of its draft; another number of shots replaces it.

    Raises ValueError, from the schema, if the result is no brief.
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
