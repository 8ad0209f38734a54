"""What a run's view says beyond Prefect's state: progress, and where the video is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)
from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.index import Index
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.views import STORE_SILENT, RunView, made_by
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import ObjectKey
from tasks.approval import Subject, subjects_of
from tasks.dispatch import DRAFT_PERCENT, FILM_PERCENT
from tasks.publish import Published

_WAITING: dict[Subject, float] = {
    "cost": 1.0,
    "storyboard": DRAFT_PERCENT,
    "video": FILM_PERCENT,
}
"""Per cent at which a brief waits for a person; with the answer it goes on from there."""
_ANSWERED = "answered; it goes on as soon as a worker takes it"
_STORE_PATIENCE = 2.0
"""Seconds for which a look at a run waits for the store; without it, it says less."""


@dataclass(frozen=True)
class Answered:
    """A person's answer to a run, and what comes next."""

    words: str
    when: datetime


@dataclass(frozen=True)
class _Bar:
    percent: float
    words: str
    when: datetime


class Details:
    """Asks Prefect and the store; raises what Prefect's client raises."""

    def __init__(
        self, client: PrefectClient, store: ObjectStore, work: StoreWork, index: Index
    ) -> None:
        self._client = client
        self._store = store
        self._work = work
        self._index = index

    async def of(self, run: FlowRun, view: RunView, answer: Answered | None = None) -> RunView:
        """`view` with its progress, what it waits for, or where its video is; and with what makes
        it, if the router chose that. `answer` is what a person decided last, if it is known."""
        if not view.model and view.state != "accepted":
            route = await self.route(run.id)
            view = view.model_copy(update={"model": made_by(route) if route else ""})
        if view.state == "completed":
            return view.model_copy(update=await self._published(run.id))
        reached = max((_WAITING[subject] for subject in subjects_of(run)), default=0.0)
        if not run.run_count:
            return view.model_copy(update={"percent": reached})
        progress = await self._progress(run.id)
        percent = max([reached, *(bar.percent for bar in progress)])
        view = view.model_copy(update={"percent": percent})
        if view.waiting_for:
            detail = f"the {view.waiting_for} waits for an answer"
            return view.model_copy(update={"detail": detail})
        if view.ended or view.stopping:
            return view
        latest = max(progress, key=lambda bar: bar.when, default=None)
        if answer and (latest is None or latest.when < answer.when):
            return view.model_copy(update={"detail": answer.words})
        if view.state == "accepted":
            return view.model_copy(update={"detail": _ANSWERED if reached else view.detail})
        return view.model_copy(update={"detail": latest.words if latest else view.detail})

    async def route(self, run: UUID) -> Route | None:
        """How `run` was routed. None if it was not yet, or if the store does not tell."""
        try:
            read, key = self._store.get_bytes, ObjectKey.route(run)
            data = await self._work.run(read, key, patience=_STORE_PATIENCE)
            return Route.model_validate_json(data) if data else None
        except (ProblemError, StoreError, ValidationError):
            return None

    async def _published(self, run: UUID) -> dict[str, Any]:
        """Nothing is completed whose video is not in the bucket, and in the index."""
        try:
            return await self._work.run(self._look_for_video, run, patience=_STORE_PATIENCE)
        except (ProblemError, StoreError):
            return {"percent": 100.0, "detail": STORE_SILENT}

    def _look_for_video(self, run: UUID) -> dict[str, Any]:
        try:
            data = self._store.get_bytes(ObjectKey.published(run))
            cid = Published.model_validate_json(data).content_id if data else None
        except (CorruptObjectError, ValidationError):
            return {"percent": 100.0, "detail": "published; the note that says where is damaged"}
        if cid is None:
            return {"percent": 100.0, "detail": "published; this run is too old to say where"}
        if not self._index.refresh(cid):
            return {"state": "failed", "detail": "its video was deleted"}
        return {
            "percent": 100.0,
            "detail": "published",
            "video_path": f"/videos/{cid}.mp4",
            "watch": f"/watch/{cid}",
        }

    async def _progress(self, run: UUID) -> list[_Bar]:
        """What each process that worked on `run` reported. The last one may have begun anew."""
        found = await self._client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
                type=ArtifactFilterType(any_=["progress"]),
            )
        )
        return [
            _Bar(
                float(str(artifact.data or 0)),
                artifact.description or "",
                artifact.updated or datetime.min.replace(tzinfo=UTC),
            )
            for artifact in found
        ]
