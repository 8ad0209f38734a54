"""What a run's view says beyond Prefect's state: progress, and where the video is."""

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
from infra.apps.gateway.listing import file_path
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.views import STORE_SILENT, RunView, made_by
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import ObjectKey
from tasks.publish import Published

_WAITING = {"cost": 1.0, "storyboard": 10.0, "video": 95.0}
"""Per cent at which a brief waits for a person."""
_STORE_PATIENCE = 2.0
"""Seconds for which a look at a run waits for the store; without it, it says less."""


class Details:
    """Asks Prefect and the store; raises what Prefect's client raises."""

    def __init__(
        self, client: PrefectClient, store: ObjectStore, work: StoreWork, index: Index
    ) -> None:
        self._client = client
        self._store = store
        self._work = work
        self._index = index

    async def of(self, run: FlowRun, view: RunView) -> RunView:
        """`view` with its progress, what it waits for, or where its video is; and with what makes
        it, if the router chose that."""
        if not view.model and view.state != "accepted":
            route = await self.route(run.id)
            view = view.model_copy(update={"model": made_by(route) if route else ""})
        if view.state == "completed":
            return view.model_copy(update=await self._published(run.id))
        if view.waiting_for:
            detail = f"the {view.waiting_for} waits for an answer"
            return view.model_copy(update={"detail": detail, "percent": _WAITING[view.waiting_for]})
        if view.state == "running":
            return view.model_copy(update=await self._progress(run.id, view.detail))
        return view

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
            note = Published.model_validate_json(data) if data else None
        except (CorruptObjectError, ValidationError):
            return {"percent": 100.0, "detail": "published; the note that says where is damaged"}
        if note is None:
            return {"percent": 100.0, "detail": "published; this run is too old to say where"}
        if not self._index.refresh(note.content_id):
            return {"state": "failed", "detail": "its video was deleted"}
        return {
            "percent": 100.0,
            "detail": "published",
            "kind": note.kind,
            "video_path": file_path(note.content_id, note.kind),
            "watch": f"/watch/{note.content_id}",
        }

    async def _progress(self, run: UUID, detail: str) -> dict[str, Any]:
        found = await self._client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[run]),
                type=ArtifactFilterType(any_=["progress"]),
            )
        )
        for artifact in found:
            percent = float(str(artifact.data or 0))
            return {"percent": percent, "detail": artifact.description or detail}
        return {}
