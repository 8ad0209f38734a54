"""`GET /runs/{run}/storyboard`: the draft that a run asks about, for programs that edit it."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from infra.apps.gateway.access import Approver, gateway_of
from infra.apps.gateway.problems import REFUSALS, ProblemError
from pipelines.documents.draft import Draft, DraftShot
from pipelines.planning.edits import own_looks
from pipelines.schema.storyboard import ShotSource

router = APIRouter(tags=["Runs"])


class DraftedShot(BaseModel):
    """A shot as it would be filmed."""

    number: int = Field(description="What `drafted` of an edited shot names.")
    prompt: str = Field(description="Without the brief's style, which is added later.")
    seconds: float
    chunks: int = Field(description="Its length: a shot lasts for whole chunks.")
    seed: int
    size: str
    camera: str
    source: ShotSource = Field(description="Who wrote the words.")
    note: str = Field(description="Why the words are not the model's first answer.")
    shows: tuple[str, ...] = Field(description="Entries of the sheet whose looks it repeats.")
    still_path: str = Field(description="Address of its picture (PNG); empty if it has none.")

    @classmethod
    def of(cls, shot: DraftShot) -> "DraftedShot":
        """With the address of its still."""
        names = set(cls.model_fields) - {"still_path"}
        still = f"/{shot.still.key}" if shot.still else ""
        return cls(**shot.model_dump(include=names), still_path=still)


class DraftedEntry(BaseModel):
    """A character or a place of the draft."""

    name: str
    appearance: str = Field(
        description="As written; every shot that shows it repeats it in English."
    )
    kind: Literal["character", "place"]


class DraftedStoryboard(BaseModel):
    """The storyboard that a run asks about."""

    shots: tuple[DraftedShot, ...]
    sheet: tuple[DraftedEntry, ...]
    chunk_seconds: float = Field(
        description="Seconds by which a further chunk makes the video longer; 0: not known."
    )
    english: str = Field(description="The brief in English, if it was translated.")
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, draft: Draft) -> "DraftedStoryboard":
        """What a person may change of it."""
        return cls(
            shots=tuple(map(DraftedShot.of, draft.shots)),
            sheet=tuple(DraftedEntry(**entry.model_dump()) for entry in own_looks(draft)),
            chunk_seconds=draft.chunk_seconds,
            english=draft.translation.english if draft.translation else "",
            warnings=draft.warnings,
        )


@router.get("/runs/{run}/storyboard", responses=REFUSALS)
async def storyboard(request: Request, run: UUID, client: Approver) -> DraftedStoryboard:
    """The storyboard that a run asks about: what `POST /runs/{run}/answer` may change."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client)
    draft = await gateway.runs.draft(run) if view.waiting_for == "storyboard" else None
    if draft is None:
        raise ProblemError(
            409,
            "not_waiting",
            f"the run is {view.state} and asks about no storyboard; `waiting_for` of the run says "
            "when it does",
        )
    return DraftedStoryboard.of(draft)
