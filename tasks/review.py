"""Review of a storyboard by a person, who may edit it and look at it again before it is filmed.

Each look is a draft of its own: a run of `draft-storyboard`, which makes stills of what changed and
finds the others in the bucket.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.route import Route
from pipelines.errors import BriefError, RejectedError
from pipelines.planning.edits import edited, own_looks, settled
from pipelines.schema.shots import EditedEntry, EditedShot
from tasks.approval import SILENCE, STORYBOARD, Answer, accept, ask, silence
from tasks.artifacts import describe_draft, show_draft
from tasks.dispatch import is_deployed, purpose_of


class StoryboardAnswer(Answer):
    """The same about a storyboard, whose shots may be edited."""

    decision: Literal["approve", "reject", "revise"] = Field(  # type: ignore[assignment]
        "approve",
        title="Decision",
        description="'revise' makes stills of what changed below, and asks again.",
    )
    shots: list[EditedShot] = Field(
        default_factory=list,
        title="Shots",
        description="Change, add, remove or reorder shots. A shot lasts for whole chunks.",
    )
    sheet: list[EditedEntry] = Field(
        default_factory=list,
        title="Characters and places",
        description="How they look, in every shot that shows them.",
    )


@dataclass(frozen=True)
class Review:
    """How far the approval of a storyboard is."""

    brief: Brief
    """With the edits up to now."""
    needs_draft: bool
    """Whether a draft of it must be made, and somebody asked about it."""
    round: int = 1
    """Number of that draft."""


def begin_review(brief: Brief) -> Review:
    """The review of a brief's storyboard, which is over at once if the brief asks for none. Outside
    a studio no approval is asked for."""
    return Review(brief, needs_draft=brief.approval in (STORYBOARD, "both") and is_deployed())


def approve_storyboard(review: Review, draft: Draft, route: Route) -> Review:
    """Suspend the run until a person answers about the draft. Returns the review with the person's
    edits. It needs another draft if the person wants to see what became of them.

    A flow that runs again after an answer comes here with the same drafts in the same order, and
    finds each answer under its key. A draft of another candidate is another question. Edits that
    break a rule are handed back with what is wrong.

    Raises RejectedError if the person rejects the draft, or leaves edits uncorrected until the time
    to answer is over, and SettingsError if a setting is invalid.
    """
    show_draft(draft)
    brief = settled(review.brief, draft)
    key = purpose_of(STORYBOARD, route.turn, review.round)
    words = describe_draft(draft, route, silence(brief))
    given, sheet, problem = drafted_shots(draft), drafted_sheet(draft), ""
    for attempt in itertools.count(1):
        form = StoryboardAnswer.with_initial_data(
            description=f"{problem}{words}", shots=given, sheet=sheet
        )
        answer = ask(form, brief, key if attempt == 1 else f"{key}-corrected-{attempt}")
        accept(answer)
        try:
            result = edited(brief, draft, answer.shots, answer.sheet)
        except BriefError as error:
            if answer.by == SILENCE:
                # Nobody saw the film without the edits, so it is not made.
                raise RejectedError(f"{answer.reason}; {error}") from error
            given, sheet = answer.shots, answer.sheet
            problem = f"**This cannot be made, please change it:** {error}.\n\n"
            continue
        if answer.decision == "revise":
            return Review(result, needs_draft=True, round=review.round + 1)
        return Review(result, needs_draft=False, round=review.round)
    raise AssertionError("the loop has no end")


def drafted_shots(draft: Draft) -> list[EditedShot]:
    """The shots of `draft` as a person hands them back who changes nothing."""
    return [
        EditedShot(
            prompt=shot.prompt,
            seed=shot.seed,
            chunks=shot.chunks,
            size=shot.size,
            camera=shot.camera,
            drafted=shot.number,
        )
        for shot in draft.shots
    ]


def drafted_sheet(draft: Draft) -> list[EditedEntry]:
    """The characters and places of `draft` as a person hands them back who changes nothing."""
    return [EditedEntry(name=entry.name, appearance=entry.appearance) for entry in own_looks(draft)]
