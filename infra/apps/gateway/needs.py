"""Which runs need the film of a published video: the one rule for every removal of its files.

Runs that make the same film share its files. While a run waits for an answer about them, or is at
work on them, a removal would leave it with nothing to publish: `tasks.publish` then fails it, so
that no run is called done whose film is gone.
"""

from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import ValidationError

from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import owner_of
from infra.apps.gateway.runs import Runs
from infra.apps.gateway.views import LIVING, view_of_run
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.schema.presets import AUTO
from tasks.approval import VIDEO, asked_about

_UNFINISHED = [*LIVING, StateType.CRASHED]
"""A worker queues a crashed run again, up to a number of times."""
_OF_PEOPLE = ("campaign", "approval", "approval_hours", "on_silence", "priority", "reviewed")
"""Fields that do not tell whether two briefs ask for the same film."""


class Needs:
    """Looks for runs on the Prefect server. Raises ServerError if it cannot be reached."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def is_needed(self, manifest: Manifest, besides: Client | None = None) -> bool:
        """Whether a run that has not ended needs the film of `manifest`; those that `besides`
        started do not count.

        Of a run whose film is made, the film decides. Before that its brief does: it may make the
        same film.
        """
        unfinished = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNFINISHED))
        )
        async for run in self._runs.produced(unfinished):
            if view_of_run(run).ended:
                continue
            if besides is not None and owner_of(run) == besides.id:
                continue
            if await self._needs(run, manifest):
                return True
        return False

    async def _needs(self, run: FlowRun, manifest: Manifest) -> bool:
        if run.run_count or asked_about(run) == VIDEO:
            film = await self._runs.film_id(run.id)
            if film is not None:
                return film == manifest.content_id
        return _is_same_film(run, manifest)


def _is_same_film(run: FlowRun, manifest: Manifest) -> bool:
    """Whether the brief of `run` asks for what that of `manifest` did. One whose preset the router
    chooses may get the same."""
    try:
        brief = Brief.model_validate(run.parameters.get("brief"))
    except ValidationError:
        return False  # it will be refused, or another version wrote it
    apart = {*_OF_PEOPLE, *(["preset"] if brief.preset == AUTO else [])}
    return brief.model_dump(exclude=apart) == manifest.brief.model_dump(exclude=apart)
