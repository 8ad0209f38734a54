"""The list of runs, filtered and page by page.

Prefect cannot look for what a brief says, so the gateway reads its runs from the newest on and
chooses. One request reads so many of them at most: a page may be short, or empty, and still name a
next one.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import owner_tag, sees_all
from infra.apps.gateway.problems import prefect_errors
from infra.apps.gateway.runs import PRODUCED, Runs
from infra.apps.gateway.views import RunState, RunView, view_of_run

_BATCH = 100
_LOOKED_AT = 1_000
"""Runs that one request reads at most, so that it ends."""
_SLACK = timedelta(minutes=1)
"""Prefect's expected start and the creation of a run are not noted at the same moment."""
_TYPES: dict[RunState, tuple[StateType, ...]] = {
    "accepted": (StateType.SCHEDULED, StateType.PENDING),
    "running": (StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED),
    "awaiting_approval": (StateType.PAUSED,),
    "completed": (StateType.COMPLETED,),
    # A run whose video was deleted is failed here, and completed for Prefect.
    "failed": (StateType.FAILED, StateType.CRASHED, StateType.COMPLETED),
    "rejected": (StateType.CANCELLED,),
    "cancelled": (StateType.CANCELLED,),
}
"""Prefect's states that may be shown as ours."""


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; empty: all."""

    state: RunState | None = None
    campaign: str = ""
    text: str = ""
    """A part of the prompt, in any case."""
    since: datetime | None = None
    """Asked for then or later."""
    until: datetime | None = None
    """Asked for before then."""

    def may_match(self, view: RunView) -> bool:
        """Whether the run matches as far as `view` tells, which its state need not do yet."""
        made = view.created
        return (
            (not self.campaign or view.campaign == self.campaign)
            and self.text.casefold() in view.prompt.casefold()
            and (self.since is None or (made is not None and made >= self.since))
            and (self.until is None or (made is not None and made < self.until))
        )

    def matches(self, view: RunView) -> bool:
        """Whether the run matches."""
        return self.may_match(view) and self.state in (None, view.state)


@dataclass(frozen=True)
class Position:
    """A place in Prefect's list of runs, which begins with the one that starts last."""

    when: datetime | None = None
    """Expected start of the last run before it; None: the beginning."""
    ids: tuple[UUID, ...] = ()
    """Of the runs before it with the same expected start."""

    def after(self, run: FlowRun) -> Self:
        """The place behind `run`, the next one in the list."""
        when = run.expected_start_time or datetime.now(UTC)
        same = self.ids if when == self.when else ()
        return replace(self, when=when, ids=(*same, run.id))

    def as_cursor(self) -> str:
        """An opaque text for the query of an address."""
        assert self.when is not None
        text = json.dumps([self.when.isoformat(), *map(str, self.ids)], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The place that `as_cursor` encoded. Raises ValueError for any other text."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            when, *ids = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            moment = datetime.fromisoformat(when)
            if moment.tzinfo is None:
                raise ValueError("no time zone")
            return cls(moment, tuple(map(UUID, ids)))
        except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
            raise ValueError(
                f"the cursor {cursor[:40]!r} is none of ours; take it from the Link header, "
                "or begin without one"
            ) from error


@dataclass(frozen=True)
class RunPage:
    """A page of the list."""

    runs: tuple[RunView, ...]
    next: Position | None
    """Where the list goes on; None if this was its end."""


class RunPages:
    """Pages of the runs on the Prefect server. Raises ServerError if it cannot be reached."""

    def __init__(self, client: PrefectClient, runs: Runs) -> None:
        self._client, self._runs = client, runs

    async def page(
        self, client: Client, wanted: RunFilter, limit: int, cursor: str = ""
    ) -> RunPage:
        """At most `limit` runs that are wanted and that `client` may see, the newest first, from
        where `cursor` points. Raises ValueError on a cursor that is none of ours."""
        place = Position.parse(cursor) if cursor else Position()
        found: list[RunView] = []
        # What Prefect itself cannot choose by is read by the hundred.
        size = _BATCH if wanted.campaign or wanted.text else limit + 1
        for _ in range(_LOOKED_AT // _BATCH):
            runs = await self._read(client, wanted, place, size)
            for run, view in zip(runs, await self._views(runs, wanted), strict=True):
                if view is not None:
                    if len(found) == limit:
                        return RunPage(tuple(found), place)
                    found.append(view)
                place = place.after(run)
            if len(runs) < size:
                return RunPage(tuple(found), None)
        return RunPage(tuple(found), place)

    async def _views(self, runs: Sequence[FlowRun], wanted: RunFilter) -> list[RunView | None]:
        """The views of these runs; None for one that is not wanted.

        All at the same time: a store that stands still then costs one wait, not one for each.
        """

        async def look(run: FlowRun) -> RunView | None:
            if not wanted.may_match(view_of_run(run)):
                return None
            view = await self._runs.view_of(run)
            return view if wanted.matches(view) else None

        with prefect_errors():
            return await asyncio.gather(*(look(run) for run in runs))

    async def _read(
        self, client: Client, wanted: RunFilter, place: Position, size: int
    ) -> list[FlowRun]:
        chosen = FlowRunFilter()
        if not sees_all(client):
            chosen.tags = FlowRunFilterTags(all_=[owner_tag(client)])
        if wanted.state:
            types = FlowRunFilterStateType(any_=list(_TYPES[wanted.state]))
            chosen.state = FlowRunFilterState(type=types)
        if place.ids:
            chosen.id = FlowRunFilterId(not_any_=list(place.ids))
        after = _before(wanted.since) if wanted.since else None
        if place.when or after:
            chosen.expected_start_time = FlowRunFilterExpectedStartTime(
                before_=place.when, after_=after
            )
        with prefect_errors():
            return await self._client.read_flow_runs(
                flow_filter=PRODUCED,
                flow_run_filter=chosen,
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=size,
            )


def _before(when: datetime) -> datetime:
    """_SLACK earlier, as far as there are dates."""
    try:
        return when - _SLACK
    except OverflowError:
        return when
