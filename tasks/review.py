"""Review of a storyboard by a person, who may edit it and look at it again before it is filmed.

Each look is a draft of its own: a run of `draft-storyboard`, which makes stills of what changed and
finds the others in the bucket. If the run falls back to another candidate of its route, the review
begins again with the storyboard as a person left it. The run itself may have begun again meanwhile,
from its first line and with the route as it was kept, so that storyboard lies in the bucket, too.
"""

import itertools
import logging
from dataclasses import dataclass
from typing import Literal

from prefect.runtime import flow_run
from pydantic import Field, ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.parsing import sentences
from pipelines.documents.reviewed import Reviewed
from pipelines.documents.route import Route
from pipelines.documents.stored_brief import StoredBrief
from pipelines.errors import BriefError, CorruptObjectError, RejectedError
from pipelines.language.reviewed_texts import as_reviewed
from pipelines.planning.edits import by_hand, edited, own_looks, settled
from pipelines.planning.other_preset import with_other_preset
from pipelines.schema.keys import ObjectKey
from pipelines.schema.shots import EditedEntry, EditedShot
from tasks.approval import SILENCE, STORYBOARD, Answer, accept, ask, silence
from tasks.artifacts import describe_draft, show_draft
from tasks.dispatch import is_deployed, purpose_of
from tasks.route import routed

_log = logging.getLogger("reelwright.review")


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
    reviewed: Reviewed | None = None
    """What a person decided up to now, about this candidate's storyboard or an earlier one's."""


def begin_review(brief: Brief, route: Route) -> Review:
    """The review of the storyboard that the chosen candidate makes of `brief`. It is over at once
    if the brief asks for none. Outside a studio no approval is asked for.

    After a fallback it begins with the storyboard that a person approved or edited before. Raises
    BriefError if the brief or that storyboard does not fit the candidate, and StoreError if the
    store fails.
    """
    needs_draft = brief.approval in (STORYBOARD, "both") and is_deployed()
    reviewed = _kept_review(route.turn) if needs_draft and route.turn else None
    chosen = _carried_over(brief, reviewed, route) if reviewed else routed(brief, route)
    return Review(chosen, needs_draft=needs_draft, reviewed=reviewed)


def keep_review(review: Review, route: Route) -> None:
    """Store what a person decided in `review`, for the candidate to which `route` falls back next.

    Raises StoreError if the store fails.
    """
    if review.reviewed is None:
        return
    key = ObjectKey.turn(flow_run.id, route.turn + 1)
    data = review.reviewed.model_dump_json().encode()
    ObjectStore(Settings.load().store).put_bytes(key, data, "application/json")


def _kept_review(turn: int) -> Reviewed | None:
    """What a person decided before this turn of the route. What is damaged is asked again."""
    try:
        data = ObjectStore(Settings.load().store).get_bytes(ObjectKey.turn(flow_run.id, turn))
        return Reviewed.model_validate_json(data) if data else None
    except (CorruptObjectError, ValidationError) as error:
        _log.warning("the storyboard that was approved before cannot be read: %s", error)
        return None


def _carried_over(brief: Brief, reviewed: Reviewed, route: Route) -> Brief:
    """The reviewed brief with the chosen preset. Raises BriefError if it does not fit, or if it is
    longer than `brief`, for which the price of a paid preset was forecast."""
    name = route.chosen.preset
    try:
        if reviewed.brief.preset == name:  # the same one again, once its price is approved
            return Brief.model_validate(reviewed.brief.model_dump())
        carried = with_other_preset(reviewed.by_hand, name)
    except ValidationError as error:
        raise BriefError(sentences(error)) from error
    price = route.chosen.forecast.price if route.chosen.forecast else None
    if price and price.amount and carried.seconds > brief.seconds:
        raise BriefError(
            f"the approved shots last {carried.seconds:.1f} s with {name} instead of "
            f"{brief.seconds:.1f} s, and its price {price} is for the shorter video, so "
            f"nothing was ordered; send the brief again with the preset {name!r}, or with fewer "
            "shots"
        )
    return carried


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
        revised = answer.decision == "revise"
        result = as_reviewed(result, review.brief, draft, approved=not revised)
        return Review(
            result,
            needs_draft=revised,
            round=review.round + revised,
            reviewed=_reviewed(review.brief, draft, answer, result),
        )
    raise AssertionError("the loop has no end")


def _reviewed(brief: Brief, draft: Draft, answer: StoryboardAnswer, result: Brief) -> Reviewed:
    """What `answer` decided about the draft of `brief`, where `result` is that with its edits."""
    try:
        film = by_hand(settled(brief, draft), draft, answer.shots, answer.sheet)
        film = as_reviewed(film, brief, draft, approved=False)
    except BriefError as error:
        # Nothing is wrong with the film that is made now, so nobody is asked to change it.
        _log.warning("the words of this storyboard cannot be carried to other presets: %s", error)
        film = result
    return Reviewed(brief=StoredBrief.of(result), by_hand=StoredBrief.of(film))


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
