"""Answers of people to a run that waits, from the API and from the page."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.views import RunView
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.planning.edits import edited, settled
from pipelines.schema.shots import EditedEntry, EditedShot

MOST_SHOTS = 3_000
Decision = Literal["approve", "reject", "revise"]


class Answer(BaseModel):
    """A person's decision on a storyboard, a price or a video that waits for approval."""

    model_config = ConfigDict(extra="forbid")

    decision: Decision = Field(
        description="`revise` is for a storyboard: stills are made of what changed, and the run "
        "asks again."
    )
    reason: str = Field("", max_length=500)
    shots: list[EditedShot] = Field(
        default_factory=list,
        max_length=MOST_SHOTS,
        description="All shots of the storyboard in their order; empty leaves them as drafted.",
    )
    sheet: list[EditedEntry] = Field(
        default_factory=list,
        max_length=100,
        description="Other words for characters and places, in every shot that shows them.",
    )


async def give_answer(gateway: Gateway, view: RunView, answer: Answer, by: str) -> None:
    """Pass `answer` of the person or program `by` to the run of `view`, if it can be made.

    Raises StoryboardError or BriefError if it breaks a rule, ProblemError as `Runs.decide`, and 422
    if something else than a storyboard is revised.
    """
    values: dict[str, Any] = {"decision": answer.decision, "reason": answer.reason, "by": by}
    if view.waiting_for == "storyboard":
        values |= await _edits(gateway, view, answer)
    elif answer.decision == "revise" and view.waiting_for:
        raise ProblemError(
            422,
            "invalid",
            f"a {view.waiting_for} cannot be revised, only a storyboard can; approve or reject it",
        )
    await gateway.runs.decide(view.id, values, view.waiting_for)


async def _edits(gateway: Gateway, view: RunView, answer: Answer) -> dict[str, Any]:
    """The edits of a storyboard for the run. Raises as `give_answer`."""
    if answer.decision == "reject":
        return {}
    draft = await gateway.runs.draft(view.id)
    if draft and draft.brief is None:  # a run that an earlier version began
        if answer.decision == "revise":
            raise ProblemError(
                422,
                "invalid",
                "an earlier version of Reelwright began this run, which knows no revision; approve "
                "it with words and seeds as they should be, or reject it",
            )
        known = {"prompt", "seed"}
        shots = [shot.model_dump(include=known) for shot in answer.shots]
        return {"shots": shots} if shots else {}
    if draft:
        check_edits(draft, answer)
    values = {
        "shots": [shot.model_dump(exclude_defaults=True) for shot in answer.shots],
        "sheet": [entry.model_dump() for entry in answer.sheet],
    }
    return {name: value for name, value in values.items() if value}


def check_edits(draft: Draft, answer: Answer) -> None:
    """Raises StoryboardError or BriefError if `answer` cannot be made of `draft`."""
    assert draft.brief is not None
    try:
        brief = Brief.model_validate(draft.brief.model_dump())
    except ValidationError:
        return  # its preset is one that only the workers know; they check it, and ask again
    edited(settled(brief, draft), draft, answer.shots, answer.sheet)
