"""Runs of `produce-content` as the gateway starts, shows and answers them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.asking import asking, there, unknown
from infra.apps.gateway.handovers import handed_over
from infra.apps.gateway.index import Index
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.views import LIVING, RunView, view_of_run
from pipelines.errors import CorruptObjectError, ServerError
from pipelines.schema.brief import Brief
from pipelines.schema.draft import Draft
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import Film
from tasks.publish import Published

_FRESH = 0.8
"""Seconds for which one look at a run serves everybody who asks for it."""
_KEPT = 2_000
_WAITING = {"storyboard": 10.0, "video": 95.0}
"""Per cent at which a brief waits for a person."""
_PAGE = 200
_ATTEMPTS = 20
_FLOW = FlowFilter(name=FlowFilterName(any_=["produce-content"]))


@dataclass
class _Seen:
    view: RunView
    when: float

    @cached_property
    def as_json(self) -> bytes:
        return self.view.model_dump_json().encode()


class Runs:
    """The Prefect server's runs. All methods raise ServerError if it does not answer."""

    def __init__(self, client: PrefectClient, store: ObjectStore, index: Index) -> None:
        self._client = client
        self._store = store
        self._index = index
        self._seen: OrderedDict[UUID, _Seen] = OrderedDict()
        self._locks: dict[UUID, asyncio.Lock] = {}
        self._deployments: dict[str, UUID] = {}

    async def start(self, brief: Brief, key: str, tags: list[str], *, retry: bool = True) -> UUID:
        """The run for `key`: a new one, or the one that the same request started before.

        With `retry`, one that failed or was cancelled makes room for another attempt. Raises
        ProblemError 409 if the key was used for another brief.
        """
        parameters = {"brief": brief.model_dump(mode="json")}
        for attempt in range(1, _ATTEMPTS + 1):
            run = await self._create(brief.priority, parameters, f"{key}-{attempt}", tags)
            if run.parameters != parameters:
                raise ProblemError(
                    409, "key_reused", "this idempotency key belongs to another request; take a new"
                )
            view = await self.look(run.id)
            if not retry or view is None or view.state not in ("failed", "cancelled", "rejected"):
                return run.id
        raise ProblemError(409, "too_many_failures", f"{_ATTEMPTS} runs of this request failed")

    async def _create(
        self, priority: str, parameters: dict[str, Any], key: str, tags: list[str]
    ) -> FlowRun:
        try:
            with asking():
                if priority not in self._deployments:
                    name = f"produce-content/{priority}"
                    found = await self._client.read_deployment_by_name(name)
                    self._deployments[priority] = found.id
                return await self._client.create_flow_run_from_deployment(
                    self._deployments[priority],
                    parameters=parameters,
                    idempotency_key=key,
                    tags=tags,
                )
        except ObjectNotFound as error:
            self._deployments.clear()
            raise ServerError("produce-content is not deployed; run: reelwright deploy") from error

    async def see(self, run: UUID) -> RunView:
        """How it is. Raises ProblemError 404 if there is no such run."""
        view = await self.look(run)
        if view is None:
            raise unknown(run)
        return view

    async def look(self, run: UUID) -> RunView | None:
        """How it is, at most a second ago; None if there is no such run."""
        seen = self._seen.get(run)
        if seen and (seen.view.ended or time.monotonic() - seen.when < _FRESH):
            return seen.view
        lock = self._locks.setdefault(run, asyncio.Lock())
        try:
            async with lock:
                seen = self._seen.get(run)
                if seen and time.monotonic() - seen.when < _FRESH:
                    return seen.view
                return await self._read(run)
        finally:
            if not lock.locked():
                self._locks.pop(run, None)

    async def see_json(self, run: UUID) -> bytes:
        """The same as JSON, made once for everybody who asks within a second."""
        await self.see(run)
        return self._seen[run].as_json

    async def _read(self, run: UUID) -> RunView | None:
        try:
            with asking():
                return await self._view(await self._client.read_flow_run(run))
        except ObjectNotFound:
            return None

    def _remember(self, view: RunView) -> None:
        self._seen.pop(view.id, None)
        self._seen[view.id] = _Seen(view, time.monotonic())
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)

    async def watch(self, run: UUID) -> AsyncIterator[RunView]:
        """Every change, until it has ended."""
        last = None
        while True:
            view = await self.look(run)
            if view is None:
                return
            if view != last:
                yield view
                last = view
            if view.ended:
                return
            await asyncio.sleep(1)

    async def finish(self, run: UUID, seconds: float) -> RunView:
        """How it is when it has ended, or after `seconds`, or when it waits for a person.

        Raises ProblemError 404 if there is no such run.
        """
        deadline = time.monotonic() + seconds
        while True:
            view = await self.see(run)
            if view.ended or view.waiting_for or time.monotonic() > deadline:
                return view
            await asyncio.sleep(1)

    async def recent(self, limit: int) -> list[RunView]:
        """The newest first."""
        with asking():
            runs = await self._client.read_flow_runs(
                flow_filter=_FLOW, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=limit
            )
            return [await self._known_or_new(run) for run in runs]

    async def _known_or_new(self, run: FlowRun) -> RunView:
        seen = self._seen.get(run.id)
        return seen.view if seen and seen.view.ended else await self._view(run)

    async def changed(self, since: datetime, *, living: bool = True) -> AsyncIterator[RunView]:
        """Runs that came to their end after `since`; if `living`, first those that did not."""
        at_work = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(LIVING)))
        filters = [FlowRunFilter(end_time=FlowRunFilterEndTime(after_=since))]
        if living:
            filters.insert(0, FlowRunFilter(state=at_work))
        for chosen in filters:
            offset, more = 0, True
            while more:
                with asking():
                    runs = await self._client.read_flow_runs(
                        flow_filter=_FLOW,
                        flow_run_filter=chosen,
                        sort=FlowRunSort.ID_DESC,
                        limit=_PAGE,
                        offset=offset,
                    )
                    views = [await self._known_or_new(run) for run in runs]
                for view in views:
                    yield view
                offset, more = offset + _PAGE, len(runs) == _PAGE

    async def draft(self, run: UUID) -> Draft | None:
        """The draft that `run` waits for."""
        key = ObjectKey.draft
        return await handed_over(self._client, self._store, run, "draft-storyboard", key, Draft)

    async def film(self, run: UUID) -> Film | None:
        """The finished video that `run` waits for."""
        key = ObjectKey.film
        return await handed_over(self._client, self._store, run, "render-video", key, Film)

    async def answers(self) -> bool:
        """Whether the Prefect server does."""
        return await self._client.api_healthcheck() is None

    def forget(self) -> None:
        """Look at everything anew."""
        self._seen.clear()

    async def answer(self, run: UUID, values: dict[str, Any]) -> None:
        """Approve or reject. Raises ProblemError 409 if it does not wait, 422 if it cannot be,
        404 if there is no such run."""
        with asking(), there(run):
            result = await self._client.resume_flow_run(run, run_input=values)
        self._seen.pop(run, None)
        if result.status == SetStateStatus.ABORT:
            raise ProblemError(409, "not_waiting", "this run does not wait for an answer")
        if result.status == SetStateStatus.REJECT:
            raise ProblemError(
                422, "invalid", f"the answer is refused: {getattr(result.details, 'reason', '')}"
            )

    async def cancel(self, run: UUID) -> None:
        """Ask it to stop, on the GPU too. Raises ProblemError 404 if there is no such run."""
        with asking(), there(run):
            await self._client.set_flow_run_state(run, Cancelling())
        self._seen.pop(run, None)

    async def _view(self, run: FlowRun) -> RunView:
        view = await self._with_details(run, view_of_run(run))
        self._remember(view)
        return view

    async def _with_details(self, run: FlowRun, view: RunView) -> RunView:
        if view.state == "completed":
            return view.model_copy(update=await self._published(run.id))
        if view.waiting_for:
            detail = f"the {view.waiting_for} waits for an answer"
            return view.model_copy(update={"detail": detail, "percent": _WAITING[view.waiting_for]})
        if view.state == "running":
            return view.model_copy(update=await self._progress(run.id, view.detail))
        return view

    async def _published(self, run: UUID) -> dict[str, Any]:
        """Nothing is completed whose video is not in the bucket, and in the index."""
        try:
            data = await run_in_threadpool(self._store.get_bytes, ObjectKey.published(run))
            cid = Published.model_validate_json(data).content_id if data else None
        except (CorruptObjectError, ValidationError):
            return {"percent": 100.0, "detail": "published; the note that says where is damaged"}
        if cid is None:
            return {"percent": 100.0, "detail": "published; this run is too old to say where"}
        if not await run_in_threadpool(self._index.refresh, cid):
            return {"state": "failed", "detail": "its video was deleted"}
        return {
            "percent": 100.0,
            "detail": "published",
            "video_path": f"/videos/{cid}.mp4",
            "watch": f"/watch/{cid}",
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
