"""Runs that `/v1/videos` started, found by a tag.

A clip that is deleted loses the tag: its run stays in the studio's history, and its video in the
gallery until a manager or the retention removes it.
"""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

from infra.apps.gateway.keys import Client
from infra.apps.gateway.openai_video_views import VideoJob, VideoPage, job_of
from infra.apps.gateway.owners import may_cancel, may_see, owner_of, owner_tag, sees_all, tags_of
from infra.apps.gateway.problems import ProblemError, known_run, prefect_errors
from infra.apps.gateway.runs import PRODUCED, Runs
from infra.apps.gateway.views import RunView
from pipelines.documents.brief import Brief
from pipelines.schema.plan import digest_of

_TAG = "videos-api"


class VideoJobs:
    """The clips of one gateway's clients. All methods raise ServerError if the Prefect server
    cannot be reached."""

    def __init__(self, client: PrefectClient, runs: Runs) -> None:
        self._client, self._runs = client, runs

    async def start(self, brief: Brief, client: Client, key: str) -> VideoJob:
        """The clip of `brief`; with a key the same one however often it is asked for.

        Raises ProblemError 409 if the key belongs to another request.
        """
        own = _own_key(client, key)
        tags = [*tags_of(client), _TAG, _key_tag(own)]
        run = await self._runs.start(brief, f"videos-{own}", tags)
        with prefect_errors(), known_run(run):
            found = await self._client.read_flow_run(run)
            if _TAG not in found.tags:  # deleted before, and now asked for again
                await self._client.update_flow_run(run, tags=[*found.tags, _TAG])
        return _shown(found, await self._runs.view_of(found))

    async def see(self, run: UUID, client: Client) -> VideoJob:
        """Raises ProblemError 404 if there is none that `client` may see."""
        found, view = await self._find(run, client)
        return _shown(found, view)

    async def video_path(self, run: UUID, client: Client) -> str:
        """Address of the clip's file. Raises ProblemError 404 if it is not there (yet)."""
        found, view = await self._find(run, client)
        job = _shown(found, view)
        if job.status != "completed":
            why = job.error.message if job.error else f"it is {job.status}, {job.progress} % done"
            raise ProblemError(404, "not_ready", f"the clip {run} has no file: {why}")
        return view.video_path

    async def page(
        self, client: Client, limit: int, after: UUID | None, *, oldest_first: bool, key: str
    ) -> VideoPage:
        """The client's clips; with the scope `manage`, everybody's. With `key` the one that was
        asked for with it."""
        tags = [_TAG]
        if key:
            tags.append(_key_tag(_own_key(client, key)))
        if not sees_all(client):
            tags.append(owner_tag(client))
        chosen = FlowRunFilter(tags=FlowRunFilterTags(all_=tags))
        if after is not None:
            mark, _ = await self._find(after, client)
            when = mark.expected_start_time
            chosen.id = FlowRunFilterId(not_any_=[after])
            chosen.expected_start_time = (
                FlowRunFilterExpectedStartTime(after_=when)
                if oldest_first
                else FlowRunFilterExpectedStartTime(before_=when)
            )
        order = "ASC" if oldest_first else "DESC"
        with prefect_errors():
            found = await self._client.read_flow_runs(
                flow_filter=PRODUCED,
                flow_run_filter=chosen,
                sort=FlowRunSort(f"EXPECTED_START_TIME_{order}"),
                limit=limit + 1,
            )
            views = [await self._runs.view_of(run) for run in found[:limit]]
        # A clip that cannot be shown any more must not hide the others.
        shown = [_job_of(run, view) for run, view in zip(found[:limit], views, strict=True)]
        jobs = [job for job in shown if job is not None]
        return VideoPage(
            data=jobs,
            first_id=str(found[0].id) if found else None,
            last_id=str(found[:limit][-1].id) if found else None,
            has_more=len(found) > limit,
        )

    async def delete(self, run: UUID, client: Client) -> None:
        """Cancel the run if it is at work, and forget the clip. If it breaks off, it can be
        repeated. Raises ProblemError 404, and 403 if it is somebody else's."""
        found, view = await self._find(run, client)
        if not may_cancel(client, owner_of(found)):
            raise ProblemError(
                403, "forbidden", "this clip is somebody else's; removing it needs `manage`"
            )
        if not view.ended:
            await self._runs.cancel(run)
        tags = [tag for tag in found.tags if tag != _TAG]
        with prefect_errors(), known_run(run):
            await self._client.update_flow_run(run, tags=tags)

    async def _find(self, run: UUID, client: Client) -> tuple[FlowRun, RunView]:
        with prefect_errors():
            found = await self._client.read_flow_runs(
                flow_filter=PRODUCED,
                flow_run_filter=FlowRunFilter(
                    id=FlowRunFilterId(any_=[run]), tags=FlowRunFilterTags(all_=[_TAG])
                ),
            )
            if not found or not may_see(client, owner_of(found[0])):
                raise ProblemError(404, "not_found", f"there is no clip {run}")
            return found[0], await self._runs.view_of(found[0])


def _own_key(client: Client, key: str) -> str:
    """One client's key never meets another's."""
    return digest_of(["videos", client.id, key])[:40]


def _key_tag(own: str) -> str:
    return f"key:{own}"


def _job_of(run: FlowRun, view: RunView) -> VideoJob | None:
    """None if its brief is of another version, or its preset is gone."""
    try:
        return job_of(run, view)
    except (KeyError, ValueError):
        return None


def _shown(run: FlowRun, view: RunView) -> VideoJob:
    job = _job_of(run, view)
    if job is None:
        raise ProblemError(
            404, "not_found", f"the clip {run.id} is of another version, or its preset is gone"
        )
    return job
