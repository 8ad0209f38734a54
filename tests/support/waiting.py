"""Runs that wait for a person about a storyboard, without a worker: what the flows would have left
on Prefect's server and in the bucket."""

import json
from typing import Any
from uuid import UUID

import numpy as np
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.input import keyset_from_paused_state
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Running, Suspended

from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.stored_brief import StoredBrief
from pipelines.media.still import stack_png
from pipelines.planning.drafting import chunk_seconds, draft_shots
from pipelines.planning.plan import timeline
from pipelines.prompting.by_hand import grant_wishes
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.keys import ObjectKey
from pipelines.schema.names import DRAFT_STORYBOARD
from pipelines.schema.plan import Estimate
from pipelines.schema.storyboard import Sheet, SheetEntry, Shot, Storyboard
from tasks.review import StoryboardAnswer
from tests.conftest import Cli
from tests.support.planned import plan_brief

BALL = "a red ball with a white stripe"
ESTIMATE = Estimate(seconds=12, peak_memory_bytes=1, disk_bytes=1, basis="a test")


def storyboard_of(brief: Brief) -> Storyboard:
    """Two shots with a ball of the sheet, or the brief's shots by hand."""
    if brief.storyboard:
        transitions = [slot.transition for slot in timeline(brief)]
        return write_storyboard(
            brief, transitions, 1, None, lambda _: None, lambda *_: None, lambda: ""
        )
    shots = tuple(
        Shot(number=number, camera="Wide shot", prompt=f"Wide shot: {BALL} {does}", source="llm")
        for number, does in ((1, "rolls"), (2, "bounces"))
    )
    sheet = Sheet(characters=(SheetEntry(name="ball", appearance=BALL),))
    return Storyboard(shots=shots, enhancer="a writer", written=2, sheet=sheet)


def draft_of(brief: Brief, store: ObjectStore) -> Draft:
    """The draft of `brief`, with stills in the bucket."""
    storyboard = grant_wishes(storyboard_of(brief), brief, None)
    plan = plan_brief(brief, storyboard)
    stills = []
    for chunk in plan.chunks:
        picture = np.full((64, 64, 3), chunk.request.seed % 200, np.uint8)
        key = ObjectKey.still(chunk.digest)
        stills.append(store.put_bytes(key, stack_png([picture]), "image/png"))
    return Draft(
        shots=tuple(draft_shots(brief, plan, storyboard, stills)),
        estimate=ESTIMATE,
        brief=StoredBrief.of(brief),
        sheet=storyboard.sheet,
        chunk_seconds=chunk_seconds(brief, len(plan.chunks)),
    )


def let_it_wait(
    cli: Cli, store: ObjectStore, run: UUID, key: str = "storyboard", brief: Brief | None = None
) -> Draft:
    """Let `run` wait for an answer about the draft of `brief`, or of its own, under Prefect's
    `key`."""
    with (
        temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        brief = brief or Brief.model_validate(prefect.read_flow_run(run).parameters["brief"])
        draft = draft_of(brief, store)
        child = _child(prefect, run)
        data = draft.model_dump_json().encode()
        store.put_bytes(ObjectKey.draft(child), data, "application/json")
        prefect.set_flow_run_state(run, Running(), force=True)
        state: State[Any] = Suspended(timeout_seconds=600, pause_key=key)
        keyset = keyset_from_paused_state(state)
        state.state_details.run_input_keyset = {str(name): used for name, used in keyset.items()}
        # `save` would be a coroutine here: Playwright has a loop that runs in this thread.
        schema = json.dumps(StoryboardAnswer.model_json_schema())
        prefect.create_flow_run_input(run, keyset["schema"], schema)
        prefect.set_flow_run_state(run, state)
    return draft


def answer_of(cli: Cli, run: UUID, key: str = "storyboard") -> StoryboardAnswer:
    """What a person answered, as the flow reads it."""
    keyset = keyset_from_paused_state(Suspended(timeout_seconds=600, pause_key=key))
    with (
        temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}),
        get_client(sync_client=True) as prefect,
    ):
        given = prefect.read_flow_run_input(run, keyset["response"])
    return StoryboardAnswer.model_validate_json(given)


def _child(prefect: SyncPrefectClient, parent: UUID) -> UUID:
    """A finished run of `draft-storyboard`, which `parent` started."""

    @task(name="draft-storyboard")
    def step() -> None: ...

    @flow(name=DRAFT_STORYBOARD)
    def draft() -> None: ...

    link = prefect.create_task_run(step, flow_run_id=parent, dynamic_key=str(parent))
    child = prefect.create_flow_run(draft, parent_task_run_id=link.id, state=Completed())
    return child.id
