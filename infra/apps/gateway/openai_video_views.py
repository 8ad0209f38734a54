"""What `/v1/videos` says of a run: the fields of OpenAI's `Video`, and a few more."""

from datetime import datetime
from typing import Literal

from prefect.client.schemas.objects import FlowRun
from pydantic import BaseModel, Field

from infra.apps.gateway.views import RunState, RunView
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError, RefusedError
from pipelines.planning.plan import frames_of

VideoState = Literal["queued", "in_progress", "completed", "failed"]
_STATES: dict[RunState, VideoState] = {
    "accepted": "queued",
    "running": "in_progress",
    "awaiting_approval": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "failed",
}


class VideoError(BaseModel):
    """Why there is no clip."""

    code: str = Field(examples=["run_failed"])
    message: str


class VideoJob(BaseModel):
    """A clip that is made, or was."""

    id: str = Field(description="Of the run: `GET /runs/{id}` tells more.")
    object: Literal["video"] = "video"
    model: str = Field(description="The preset.")
    status: VideoState
    progress: int = Field(ge=0, le=100)
    created_at: int = Field(description="Seconds since 1970.")
    completed_at: int | None = None
    expires_at: int | None = None
    size: str
    seconds: str
    num_frames: int
    fps: int
    prompt: str
    error: VideoError | None = None
    remixed_from_video_id: str | None = None


class VideoPage(BaseModel):
    """Clips, the newest first unless `order` says otherwise."""

    object: Literal["list"] = "list"
    data: list[VideoJob]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VideoDeleted(BaseModel):
    """The clip is not known here any more."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: bool = True


def job_of(run: FlowRun, view: RunView) -> VideoJob:
    """The clip of a run. Raises ValueError if its brief is of another version."""
    brief = Brief.model_validate(run.parameters["brief"])
    status, error = _STATES.get(view.state, "failed"), None
    if status == "completed" and not view.video_path:
        # Published, but the store does not say where yet; it says so later, or never.
        status = "failed" if view.settled else "in_progress"
    if status == "failed":
        error = _why(view)
    size = brief.resolved_preset().size.scaled(brief.upscale)
    return VideoJob(
        id=str(run.id),
        model=brief.preset,
        status=status,
        progress=100 if status == "completed" else min(99, int(view.percent)),
        created_at=_stamp(run.created) or 0,
        completed_at=_stamp(run.end_time) if status == "completed" else None,
        size=f"{size.width}x{size.height}",
        seconds=f"{brief.seconds:g}",
        num_frames=_frames_of(brief),
        fps=brief.backend.capabilities.fps,
        prompt=brief.prompt,
        error=error,
    )


def _why(view: RunView) -> VideoError:
    """A refusal has a code of its own: whoever asked must not ask a laxer service then."""
    if view.error == RefusedError.__name__:
        return VideoError(code="run_refused", message=view.detail)
    state = view.state if view.state != "completed" else "failed"
    return VideoError(code=f"run_{state}", message=view.detail or f"the run is {state}")


def _frames_of(brief: Brief) -> int:
    try:
        return frames_of(brief)
    except BriefError as error:
        raise ValueError(str(error)) from error


def _stamp(when: datetime | None) -> int | None:
    return int(when.timestamp()) if when else None
