"""A run in the words of its starter."""

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from infra.adapters.weights.catalog import MODEL_SETS
from infra.apps.gateway.causes import cause_of
from infra.apps.gateway.languages.catalog import said
from infra.apps.worker.reconcile import STARTS
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definition_of, presets
from pipelines.documents.brief import Brief
from pipelines.documents.route import Route
from pipelines.schema.plan import Kind
from pipelines.schema.presets import AUTO
from tasks.approval import asked_about, questions_about
from tasks.refusals import told
from tasks.run_names import plain_name

RunState = Literal[
    "accepted", "running", "awaiting_approval", "completed", "failed", "rejected", "cancelled"
]
STOPPING = "it is being stopped; its work on the GPU ends within seconds"
STORE_SILENT = "published; the object store does not answer, so it cannot be shown where"
ENDED: frozenset[str] = frozenset({"completed", "failed", "rejected", "cancelled"})
LIVING = frozenset(StateType) - {
    StateType.COMPLETED,
    StateType.CANCELLED,
    StateType.FAILED,
    StateType.CRASHED,
}
_STATES: dict[StateType, RunState] = {
    StateType.SCHEDULED: "accepted",
    StateType.PENDING: "accepted",
    StateType.RUNNING: "running",
    StateType.PAUSED: "awaiting_approval",
    StateType.COMPLETED: "completed",
    StateType.CANCELLING: "running",
    StateType.CANCELLED: "cancelled",
    StateType.FAILED: "failed",
    StateType.CRASHED: "running",  # its worker queues it again; after the third time it is failed
}


class RunView(BaseModel):
    """A run, as its starter sees it."""

    id: UUID
    name: str
    state: RunState
    detail: str = Field("", description="Where it is, or why it ended.")
    percent: float = Field(0.0, description="0 to 100.")
    created: datetime | None = None
    prompt: str = ""
    campaign: str = ""
    waiting_for: Literal["", "storyboard", "video", "cost"] = ""
    answer_by: datetime | None = Field(
        None, description="Until when a person may answer; null unless it waits for one."
    )
    on_silence: Literal["", "approve", "reject"] = Field(
        "", description="What it becomes if nobody answers."
    )
    round: int = Field(
        0, description="How often it has asked about the same subject: 2 after a revision."
    )
    stopping: bool = Field(False, description="Whether somebody stopped it, and its work ends now.")
    model: str = Field("", description="What makes it: a model set, or one model.")
    stands_in_for: str = Field("", description="Model that was asked for, if another makes it.")
    kind: Kind = Field("video", description="A video, or a single picture.")
    video_path: str = Field(
        "", description="Address of the video on this gateway; of a picture, that of its PNG."
    )
    watch: str = Field("", description="Its page, which outlives all links.")
    cause: SkipJsonSchema[str] = Field("", exclude=True)
    """Of a run that failed, for /metrics: see `causes`."""
    ended_at: SkipJsonSchema[datetime | None] = Field(None, exclude=True)
    error: SkipJsonSchema[str] = Field("", exclude=True)
    """Class of the error that ended it, for the gateway's own use."""

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def told(self, language: str) -> "RunView":
        """The same with its detail in `language`. What is stored is English."""
        return self.model_copy(update={"detail": said(self.detail, language)})

    @property
    def settled(self) -> bool:
        """Whether it has ended and everything about its end is known."""
        return self.ended and self.detail != STORE_SILENT


def view_of_run(run: FlowRun) -> RunView:
    """What Prefect alone knows of it."""
    given = run.parameters.get("brief")
    brief: dict[str, Any] = given if isinstance(given, dict) else {}
    state = run.state
    words = told(state.message if state else "")
    view = RunView(
        id=run.id,
        name=plain_name(run.name),
        state=_STATES[state.type] if state else "accepted",
        detail=words.sentence,
        error=words.error,
        created=run.created,
        prompt=str(brief.get("prompt") or ""),
        campaign=str(brief.get("campaign") or ""),
        waiting_for=asked_about(run),
        model=_made_by(str(brief.get("preset") or "")),
        stands_in_for=str(brief.get("stands_in_for") or ""),
        kind=_kind_of(brief),
        cause=_cause_of(run),
        ended_at=run.end_time,
    )
    if view.waiting_for and state:
        view = view.model_copy(update=_question(run, state.timestamp, brief))
    if state and state.is_cancelling():
        return view.model_copy(update={"stopping": True, "detail": STOPPING})
    if state and state.name == "Rejected":
        return view.model_copy(update={"state": "rejected"})
    if state and state.is_crashed() and run.run_count >= STARTS:
        return view.model_copy(update={"state": "failed"})
    return view


def _cause_of(run: FlowRun) -> str:
    """Why it failed; empty for a run that did not."""
    state = run.state
    if state is None or not (state.is_failed() or state.is_crashed()):
        return ""
    return cause_of(state.message or "", crashed=state.is_crashed())


def _kind_of(brief: dict[str, Any]) -> Kind:
    """What the brief of a run asks for, before anything is published."""
    preset = presets().get(str(brief.get("preset")))
    is_picture = brief.get("kind") == "image" or (preset is not None and preset.is_still)
    return "image" if is_picture else "video"


def _question(run: FlowRun, since: datetime, words: dict[str, Any]) -> dict[str, Any]:
    """The deadline of what `run` asks since then, and what silence means."""
    subject = asked_about(run)
    fields = Brief.model_fields
    try:
        hours = timedelta(
            hours=float(words.get("approval_hours", fields["approval_hours"].default))
        )
        by = since + hours
    except (TypeError, ValueError, OverflowError):
        return {}  # another version wrote it
    silence = words.get("on_silence", fields["on_silence"].default)
    # Silence never spends money.
    is_approved = silence == "approve" and subject != "cost"
    return {
        "answer_by": by,
        "on_silence": "approve" if is_approved else "reject",
        "round": questions_about(run, subject) if subject else 0,
    }


def _made_by(preset: str) -> str:
    """What makes a preset's videos; a run without one takes the brief's default. Empty if the
    router chooses it: its route says which."""
    if preset == AUTO:
        return ""
    found = presets().get(preset) or presets()[Brief.model_fields["preset"].default]
    return name_to_install(definition_of(found))


def made_by(route: Route) -> str:
    """What makes the video of a run whose preset the router chose. A backend that only the workers
    know is named itself."""
    found = presets().get(route.chosen.preset)
    return name_to_install(definition_of(found)) if found else route.chosen.backend


def name_to_install(backend: BackendDefinition) -> str:
    """The model set that holds all models of a backend, or its own model; a backend that has none
    is named itself."""
    for item in MODEL_SETS.values():
        if backend.models and set(backend.models) <= set(item.models):
            return item.name
    return backend.models[0] if backend.models else backend.name
