"""Runs of `produce-content`: the gateway starts them, shows them and passes decisions to them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelling

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.details import Answered, Details
from infra.apps.gateway.handoffs import read_handoff
from infra.apps.gateway.index import Index
from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import may_cancel, may_see, owner_of, owner_tag, sees_all
from infra.apps.gateway.problems import (
    ProblemError,
    known_run,
    prefect_errors,
    unknown_run,
)
from infra.apps.gateway.starts import Starts
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.views import LIVING, STORE_SILENT, RunView, view_of_run
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.grouping import flat
from pipelines.documents.manifest import Film
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.names import (
    DRAFT_STORYBOARD,
    PRODUCE_CONTENT,
    RENDER_VIDEO,
)
from tasks.approval import VIDEO, asked_about

_FRESH = 0.8
"""Seconds for which one look at a run serves everybody who asks for it."""
_KEPT = 2_000
_PAGE = 200
PRODUCED = FlowFilter(name=FlowFilterName(any_=[PRODUCE_CONTENT]))
"""Runs that clients may see."""


@dataclass
class _Seen:
    view: RunView
    when: float
    owner: str

    @cached_property
    def as_json(self) -> bytes:
        return self.view.model_dump_json().encode()


class Runs:
    """Runs on the Prefect server. All methods raise ServerError if it cannot be reached."""

    def __init__(
        self, client: PrefectClient, store: ObjectStore, work: StoreWork, index: Index
    ) -> None:
        self._client = client
        self._store = store
        self._work = work
        self._details = Details(client, store, work, index)
        self._seen: OrderedDict[UUID, _Seen] = OrderedDict()
        self._films: OrderedDict[UUID, Digest] = OrderedDict()
        self._locks: dict[UUID, asyncio.Lock] = {}
        self.starts = Starts(client, self.look)
        self._touched: OrderedDict[UUID, float] = OrderedDict()
        self._answers: OrderedDict[UUID, Answered] = OrderedDict()

    async def start(self, brief: Brief, key: str, tags: list[str], *, retry: bool = True) -> UUID:
        """As `Starts.start`."""
        return await self.starts.start(brief, key, tags, retry=retry)

    async def see(self, run: UUID, client: Client, *, fresh: bool = False) -> RunView:
        """The state of a run; with `fresh` as it is now, for who decides something about it.

        Raises ProblemError 404 if there is none that `client` may see.
        """
        if fresh:
            self._changed(run)
        return (await self._find(run, client)).view

    async def look(self, run: UUID) -> RunView | None:
        """The state of a run, at most a second old; None if `produce-content` has no such run."""
        seen = await self._look(run)
        return seen.view if seen else None

    async def _look(self, run: UUID) -> _Seen | None:
        seen = self._seen.get(run)
        if seen and (seen.view.settled or self._is_fresh(run, seen)):
            return seen
        lock = self._locks.setdefault(run, asyncio.Lock())
        try:
            async with lock:
                seen = self._seen.get(run)
                if seen and self._is_fresh(run, seen):
                    return seen
                return await self._read(run)
        finally:
            if not lock.locked():
                self._locks.pop(run, None)

    async def brief(self, run: UUID, client: Client) -> dict[str, Any]:
        """The values of the brief of a run, without groups, unless it was refused for its group.
        Raises ProblemError 404 as `see`."""
        await self._find(run, client)
        with prefect_errors(), known_run(run):
            found = await self._client.read_flow_run(run)
        brief = found.parameters.get("brief")
        if not isinstance(brief, dict):
            return {}
        try:
            return flat(brief, Brief.model_fields)
        except ValueError:  # refused for its group: whoever reads the brief refuses it, too
            return dict(brief)

    async def see_json(self, run: UUID, client: Client) -> bytes:
        """The same as JSON, rendered once for all requests within a second."""
        return (await self._find(run, client)).as_json

    async def _find(self, run: UUID, client: Client) -> _Seen:
        seen = await self._look(run)
        if seen is None or not may_see(client, seen.owner):
            raise unknown_run(run)
        return seen

    async def _read(self, run: UUID) -> _Seen | None:
        """Read the run if it is one of `produce-content`: runs of other flows are not shown."""
        began = time.monotonic()
        with prefect_errors():
            found = await self._client.read_flow_runs(
                flow_filter=PRODUCED, flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run]))
            )
            return await self._view(found[0], began) if found else None

    async def watch(self, run: UUID) -> AsyncIterator[RunView]:
        """Yield the run after every change, until it has ended."""
        last = None
        while True:
            view = await self.look(run)
            if view is None:
                return
            if view != last:
                yield view
                last = view
            if view.settled:
                return
            await asyncio.sleep(1)

    async def finish(self, run: UUID, client: Client, seconds: float) -> RunView:
        """How it is when it has ended, or after `seconds`, or when it waits for a person.

        Raises ProblemError 404 if there is no such run.
        """
        deadline = time.monotonic() + seconds
        while True:
            view = await self.see(run, client)
            if view.settled or view.waiting_for or time.monotonic() > deadline:
                return view
            await asyncio.sleep(1)

    async def recent(self, limit: int, client: Client) -> list[RunView]:
        """The latest runs that `client` may see, the newest first."""
        tags = None if sees_all(client) else FlowRunFilterTags(all_=[owner_tag(client)])
        began = time.monotonic()
        with prefect_errors():
            runs = await self._client.read_flow_runs(
                flow_filter=PRODUCED,
                flow_run_filter=FlowRunFilter(tags=tags),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=limit,
            )
            # Together: a store that stands still then costs one wait, not one for each.
            return await asyncio.gather(*(self.view_of(run, began) for run in runs))

    async def view_of(self, run: FlowRun, began: float | None = None) -> RunView:
        """The state of a run whose reading `began` then, or just now."""
        seen = self._seen.get(run.id)
        if seen and seen.view.settled:
            return seen.view
        return (await self._view(run, began or time.monotonic())).view

    async def changed(self, since: datetime, *, living: bool = True) -> AsyncIterator[RunView]:
        """Runs that came to their end after `since`; if `living`, first those that did not.

        Raises StoreError at the end if the store did not say where a video is: it is not told yet.
        """
        unsettled = False
        at_work = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(LIVING)))
        filters = [FlowRunFilter(end_time=FlowRunFilterEndTime(after_=since))]
        if living:
            filters.insert(0, FlowRunFilter(state=at_work))
        for chosen in filters:
            offset, more = 0, True
            while more:
                with prefect_errors():
                    runs = await self._client.read_flow_runs(
                        flow_filter=PRODUCED,
                        flow_run_filter=chosen,
                        sort=FlowRunSort.ID_DESC,
                        limit=_PAGE,
                        offset=offset,
                    )
                    views = [await self.view_of(run) for run in runs]
                for view in views:
                    if view.ended and not view.settled:
                        unsettled = True
                    else:
                        yield view
                offset, more = offset + _PAGE, len(runs) == _PAGE
        if unsettled:
            raise StoreError(STORE_SILENT)

    async def draft(self, run: UUID) -> Draft | None:
        """The draft that `run` waits for."""
        key = ObjectKey.draft
        return await read_handoff(self._client, self._get, run, DRAFT_STORYBOARD, key, Draft)

    async def route(self, run: UUID) -> Route | None:
        """How `run` was routed. None if it was not yet, or if the store does not tell."""
        return await self._details.route(run)

    async def film(self, run: UUID) -> Film | None:
        """The finished video that `run` waits for."""
        key = ObjectKey.film
        return await read_handoff(self._client, self._get, run, RENDER_VIDEO, key, Film)

    async def asks_about(self, cid: Digest, client: Client) -> bool:
        """Whether a run that `client` started waits for a decision on that video."""
        waiting = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
            tags=FlowRunFilterTags(all_=[owner_tag(client)]),
        )
        async for run in self.produced(waiting):
            if asked_about(run) == VIDEO and await self.film_id(run.id) == cid:
                return True
        return False

    async def produced(self, chosen: FlowRunFilter) -> AsyncIterator[FlowRun]:
        """All `chosen` runs that make videos, page by page. Raises ServerError if Prefect cannot be
        reached."""
        offset, more = 0, True
        while more:
            with prefect_errors():
                runs = await self._client.read_flow_runs(
                    flow_filter=PRODUCED,
                    flow_run_filter=chosen,
                    sort=FlowRunSort.ID_DESC,
                    limit=_PAGE,
                    offset=offset,
                )
            for run in runs:
                yield run
            offset, more = offset + _PAGE, len(runs) == _PAGE

    async def film_id(self, run: UUID) -> Digest | None:
        """Content id of the film that was made for `run`; None if there is none yet.

        A run has one film, so it is looked for once: a player asks for ranges by the dozen.
        """
        if run not in self._films:
            film = None
            # A damaged film is made again by the run that waits for it.
            with prefect_errors(), suppress(CorruptObjectError):
                film = await self.film(run)
            if film is None:
                return None
            self._films[run] = film.plan.content_id
            while len(self._films) > _KEPT:
                self._films.popitem(last=False)
        return self._films[run]

    async def _get(self, key: ObjectKey) -> bytes | None:
        return await self._work.run(self._store.get_bytes, key)

    async def is_healthy(self) -> bool:
        """Whether the Prefect server responds to its health check."""
        return await self._client.api_healthcheck() is None

    def forget(self) -> None:
        """Drop all cached states."""
        self._seen.clear()

    async def decide(self, run: UUID, values: dict[str, Any], subject: str = "") -> None:
        """Pass the decision in `values` to a run that waits for one about `subject`.

        Raises ProblemError 404 if there is no such run, 409 if it does not wait for a decision,
        422 if Prefect refuses the values.
        """
        with prefect_errors(), known_run(run):
            result = await self._client.resume_flow_run(run, run_input=values)
            if result.status == SetStateStatus.REJECT and "by" in values:
                # A version up to 0.5.0 asked; its form does not know who decides.
                older = {name: value for name, value in values.items() if name != "by"}
                result = await self._client.resume_flow_run(run, run_input=older)
        self._changed(run)
        if result.status == SetStateStatus.ABORT:
            raise ProblemError(409, "not_waiting", "this run does not wait for an answer")
        if result.status == SetStateStatus.REJECT:
            raise ProblemError(
                422, "invalid", f"the answer is refused: {getattr(result.details, 'reason', '')}"
            )
        self._answers[run] = Answered(_what_comes_next(values, subject), datetime.now(UTC))
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)

    async def require_cancel(self, run: UUID, client: Client) -> RunView:
        """The run, if `client` may cancel it. Raises ProblemError 404 if there is none that it may
        see, 403 if it belongs to somebody else."""
        seen = await self._find(run, client)
        if not may_cancel(client, seen.owner):
            raise ProblemError(
                403, "forbidden", "this run is somebody else's; cancelling it needs `manage`"
            )
        return seen.view

    async def cancel(self, run: UUID) -> None:
        """Request the cancellation of a run. Raises ProblemError 404 if there is no such run."""
        with prefect_errors(), known_run(run):
            await self._client.set_flow_run_state(run, Cancelling())
        self._changed(run)

    def _changed(self, run: UUID) -> None:
        """What was read of the run before now is old, also by a look that is under way."""
        self._touched[run] = time.monotonic()
        while len(self._touched) > _KEPT:
            self._touched.popitem(last=False)

    def _is_fresh(self, run: UUID, seen: _Seen) -> bool:
        return seen.when > max(time.monotonic() - _FRESH, self._touched.get(run, 0.0))

    async def _view(self, run: FlowRun, began: float) -> _Seen:
        view = await self._details.of(run, view_of_run(run), self._answers.get(run.id))
        before = self._seen.pop(run.id, None)
        if before and before.when > began:  # read later, and finished before
            self._seen[run.id] = before
            return before
        if before and before.view.percent > view.percent:
            view = view.model_copy(update={"percent": before.view.percent})
        found = self._seen[run.id] = _Seen(view, began, owner_of(run))
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return found


def _what_comes_next(values: dict[str, Any], subject: str) -> str:
    """A sentence for the page of a run, from the answer until its worker reports something."""
    decision, reason = str(values.get("decision", "")), str(values.get("reason", ""))
    if decision == "reject":
        return f"rejected{f' ({reason})' if reason else ''}; nothing more is made"
    if decision == "revise":
        return "new stills are made of what changed; then it asks again"
    if subject == "video":
        return "approved; the video is published next"
    return "approved; the video is made next"
