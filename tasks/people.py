"""Who asked for the video of this run, and who approved it.

The gateway and the calendar put a name into the run's tags; a decision has its name beside it in
Prefect's database. On Prefect's own pages anybody who knows its password can write any name.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run

from pipelines.documents.people import Act
from tasks.approval import subject_of
from tasks.dispatch import is_deployed

NOBODY_KNOWN = "prefect"
"""Prefect's open server has one password and no users."""
_PREFIXES = ("client:", "webhook:", "calendar:")


def people_of_run() -> tuple[Act, ...]:
    """Who asked for this run and who approved what in it, in order. Empty outside a studio.

    Raises httpx.HTTPError if Prefect's server fails.
    """
    if not is_deployed():
        return ()
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(UUID(str(flow_run.id)))
        states = client.read_flow_run_states(run.id)
        return (asked(run), *_approvals(client, run.id, states))


def asked(run: FlowRun) -> Act:
    """Who asked for `run`."""
    when = run.created or datetime.now(UTC)
    return Act(did="asked", name=_name_in(run.tags), when=_text(when), run=run.id)


def _name_in(tags: list[str]) -> str:
    for prefix in _PREFIXES:
        for tag in tags:
            if tag.startswith(prefix):
                return tag.removeprefix("client:")
    return NOBODY_KNOWN


def _approvals(client: SyncPrefectClient, run: UUID, states: list[State]) -> Iterator[Act]:
    in_order = sorted(states, key=lambda state: state.timestamp)
    for before, after in pairwise(in_order):
        about = subject_of(before)
        if about == "" or after.name != "Resuming":
            continue
        answer = _answer(client, run, before)
        if answer.get("decision", "approve") == "approve":
            name = str(answer.get("by") or NOBODY_KNOWN)
            yield Act(did="approved", about=about, name=name, when=_text(after.timestamp), run=run)


def _answer(client: SyncPrefectClient, run: UUID, paused: State) -> dict[str, object]:
    """What was answered; empty if the answer had no values, which approves."""
    keys = paused.state_details.run_input_keyset or {}
    try:
        found = json.loads(client.read_flow_run_input(run, keys.get("response", "")))
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return {}
    return found if isinstance(found, dict) else {}


def _text(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")
