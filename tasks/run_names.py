"""Names of the runs of `produce-content` on Prefect's pages, and what they say while they wait.

A run is named by its brief's words. While it waits for a person, its name and its tags say
"waiting for you", and an artifact says what to do; all three go away when it goes on.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import Pause
from prefect.runtime import flow_run

from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.schema.slugs import slug
from tasks.page_order import create_first

WAITING = "waiting for you"
"""Tag of a run that waits for a person, and the beginning of its name."""
KEY = "waiting-for-you"
"""Of the artifact that says what such a run waits for."""
_PREFIX = f"{WAITING}: "
_PREFECTS_OWN = re.compile(r"[a-z]+-[a-z]+")
"""A name that Prefect makes up for a run which nobody named, such as `amber-otter`."""
_UNIQUE = 4
"""Characters that keep two runs of the same words apart."""
_PAGE = 50
_log = logging.getLogger("reelwright.names")


def name_of(prompt: str, unique: str) -> str:
    """The name of a run of the brief `prompt`; the last characters of `unique` end it."""
    return f"{slug(prompt) or 'brief'}-{unique[-_UNIQUE:]}"


def plain_name(name: str) -> str:
    """The name of a run without what it says while it waits."""
    return name.removeprefix(_PREFIX)


def run_name() -> str:
    """The name of the present run; Prefect asks for it when a run begins, and when it goes on.

    A name that a person, the gateway or the calendar gave stays. Whatever goes wrong is logged: a
    run does not fail for its name.
    """
    name = str(flow_run.name)
    try:
        if plain_name(name) != name or WAITING in flow_run.tags:
            _go_on(UUID(str(flow_run.id)))
        name = plain_name(name)
        if not _PREFECTS_OWN.fullmatch(name):
            return name
        brief = flow_run.parameters["brief"]
        # Not checked yet: a brief that breaks a rule is refused under its own words, too.
        prompt = brief.prompt if isinstance(brief, Brief) else str(dict(brief).get("prompt", ""))
        return name_of(prompt, str(flow_run.id))
    except Exception:
        _log.warning("this run keeps the name %s", name, exc_info=True)
        return name


@contextmanager
def waiting_shown(brief: Brief, subject: str) -> Iterator[None]:
    """If the block suspends this run, say on Prefect's pages that it waits for a person.

    `subject` is what a person decides about: `storyboard`, `video` or `cost`.
    """
    try:
        yield
    except Pause:
        try:
            _show_waiting(brief, subject)
        except Exception:
            _log.warning("that this run waits could not be shown", exc_info=True)
        raise


def tidy_ended(client: SyncPrefectClient) -> int:
    """Take "waiting for you" off runs that ended while they waited. Returns how many there were.

    Raises httpx.HTTPError if Prefect's server fails.
    """
    final = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TERMINAL_STATES)))
    ended = FlowRunFilter(state=final, tags=FlowRunFilterTags(all_=[WAITING]))
    found = client.read_flow_runs(flow_run_filter=ended, sort=FlowRunSort.ID_DESC, limit=_PAGE)
    for run in found:
        tags = [tag for tag in run.tags if tag != WAITING]
        client.update_flow_run(run.id, name=plain_name(run.name), tags=tags)
        _forget(client, run.id)
    return len(found)


def _show_waiting(brief: Brief, subject: str) -> None:
    run = UUID(str(flow_run.id))
    name = plain_name(str(flow_run.name))
    with get_client(sync_client=True) as client:
        tags = {*client.read_flow_run(run).tags, WAITING}
        client.update_flow_run(run, name=f"{_PREFIX}{name}", tags=sorted(tags))
    text, line = _what_to_do(brief, subject), _in_a_line(run, subject)
    create_first(lambda: create_markdown_artifact(text, key=KEY, description=line))


def _in_a_line(run: UUID, subject: str) -> str:
    page = _page_of(run)
    where = f"[answer here]({page})" if page else "press *Resume* on this run's page"
    return f"**Waiting for you:** the {subject} of this brief. To decide, {where}."


def _what_to_do(brief: Brief, subject: str) -> str:
    until = datetime.now(UTC) + timedelta(hours=brief.approval_hours)
    silence = "reject" if subject == "cost" else brief.on_silence
    ended = {"approve": "approved", "reject": "rejected"}[silence]
    return (
        f"{_in_a_line(UUID(str(flow_run.id)), subject)}\n\n"
        f"If nobody answers until {until:%Y-%m-%d %H:%M} UTC, it counts as {ended}."
    )


def _page_of(run: UUID) -> str:
    url = Settings.load().gateway.url
    return f"{url.rstrip('/')}/jobs/{run}" if url else ""


def _go_on(run: UUID) -> None:
    with get_client(sync_client=True) as client:
        tags = [tag for tag in client.read_flow_run(run).tags if tag != WAITING]
        client.update_flow_run(run, tags=tags)
        _forget(client, run)


def _forget(client: SyncPrefectClient, run: UUID) -> None:
    """Delete the artifacts that said what the run waited for."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(any_=[KEY])
    )
    for artifact in client.read_artifacts(artifact_filter=wanted, limit=_PAGE):
        client.delete_artifact(artifact.id)
