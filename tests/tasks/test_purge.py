"""Housekeeping removes what is stale and nothing else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.states import Cancelled, Completed, Running

from flows.content_calendar import content_calendar
from flows.purge_scratch import purge_scratch
from infra.adapters.manifests import read_manifest
from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.schema.keys import ObjectKey
from tasks.calendar import NOTHING_DUE
from tasks.publish import publish_film
from tasks.sweeping import keep_campaign
from tests.conftest import Cli
from tests.support.damage import replace
from tests.support.published import film_of, publish

# Each deletes every run of the calendar that started nothing, also those of the other test.
purges = pytest.mark.xdist_group("purge")
RUN = "0abed842-3f39-4a19-a37f-e554015531b3"


@pytest.fixture
def surroundings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in cli.env.items():
        if name.startswith("REELWRIGHT_"):
            monkeypatch.setenv(name, value)
    url = cli.env["PREFECT_API_URL"]
    with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def test_fresh_hand_overs_stay(store: ObjectStore, surroundings: None) -> None:
    from tasks.purge import abort_uploads, sweep_bucket

    key = ObjectKey(f"runs/{RUN}/film.json")
    store.put_bytes(key, b"{}", "application/json")
    assert sweep_bucket.fn(7).objects == 0
    assert abort_uploads.fn() == 0
    assert store.list_keys("runs/") == [key]


@pytest.mark.parametrize("days", [-1, 366])
def test_senseless_days_are_refused(surroundings: None, store: ObjectStore, days: int) -> None:
    from tasks.purge import sweep_bucket

    with pytest.raises(BriefError, match=str(days)):
        sweep_bucket.fn(days)


def test_the_flow_has_a_name_and_help() -> None:
    assert purge_scratch.name == "purge-scratch"
    assert purge_scratch.description


def test_a_purge_says_what_it_would_do_and_does_it(store: ObjectStore, surroundings: None) -> None:
    publish(store)
    before = store.list_keys()
    for dry_run in (True, False):
        state = purge_scratch(dry_run=dry_run, return_state=True)
        assert state.is_completed()
        assert "0 objects, 0.0 MB" in str(state.message)
    assert store.list_keys() == before


def test_videos_go_by_their_age_but_for_kept_campaigns(
    store: ObjectStore, surroundings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.purge import sweep_bucket

    past = datetime.now(UTC) - timedelta(days=31)
    old = publish(store, created=past, prompt="old")
    kept = publish(store, created=past, prompt="kept", campaign="spring")
    young = publish(store, prompt="young")
    brief = Brief(prompt="asked for again", seconds=4, upscale=2)
    again = publish(store, created=past, **brief.model_dump())
    keep_campaign(store, "spring")
    same = film_of(brief)
    made_before = same.model_copy(
        update={
            "chunks": tuple(item.model_copy(update={"made": False}) for item in same.chunks),
            "segments": tuple(item.model_copy(update={"made": False}) for item in same.segments),
        }
    )
    asked = brief.model_copy(update={"campaign": "spring"})
    assert publish_film(store, asked, made_before).run.already_published

    assert sweep_bucket.fn(dry_run=True).objects == 0  # by default a video stays for ever
    monkeypatch.setenv("REELWRIGHT_RETENTION_VIDEOS_DAYS", "30")
    plan = sweep_bucket.fn(dry_run=True).kinds["videos"].swept_objects
    assert sweep_bucket.fn().kinds["videos"].swept_objects == plan == 5
    assert store.list_keys(f"videos/{old.content_id}/") == []
    assert store.head(ObjectKey.manifest_copy(old.content_id)) is None
    for manifest in (kept, young, again):
        assert read_manifest(store, manifest.content_id).state == "whole"
        for item in manifest.objects:
            store.verify(item)


@pytest.mark.expects_errors(r"reelwright\.verify: .* does not match its sha256")
def test_a_monthly_look_fails_if_a_fault_is_left(store: ObjectStore, surroundings: None) -> None:
    manifest = publish(store)
    replace(store, manifest.chunks[0].object.key)
    assert purge_scratch(verify=True, return_state=True).is_completed()
    replace(store, ObjectKey.video(manifest.content_id))
    state = purge_scratch(verify=True, return_state=True)
    assert state.is_failed()
    assert "1 faults are left" in str(state.message)


def run_of(client: SyncPrefectClient, flow: object, *states: State) -> FlowRun:
    run = client.create_flow_run(flow)  # type: ignore[arg-type]
    for state in states:
        client.set_flow_run_state(run.id, state, force=True)
    client.create_artifact(ArtifactCreate(key="test", type="markdown", flow_run_id=run.id))
    return client.read_flow_run(run.id)


@purges
def test_ended_runs_go_with_their_artifacts_and_living_ones_stay(surroundings: None) -> None:
    from tasks.purge import _purge, living_runs

    soon = datetime.now(UTC) + timedelta(hours=1)
    ended = [Running(), Completed(message=NOTHING_DUE)]
    with get_client(sync_client=True) as client:
        empty = run_of(client, content_calendar, *ended)
        busy = run_of(client, content_calendar, Running(), Completed(message="1 started"))
        living = run_of(client, purge_scratch, Running())
        assert str(living.id) in living_runs()[0]
        assert str(empty.id) not in living_runs()[0]
        assert _purge(client, soon, "content-calendar", dry_run=True) >= 1
        assert client.read_flow_run(empty.id)
        _purge(client, soon, "content-calendar", dry_run=False)
        assert client.read_flow_run(busy.id)
        assert client.read_flow_run(living.id)
        with pytest.raises(ObjectNotFound):
            client.read_flow_run(empty.id)
        assert artifacts_of(client, empty.id) == 0
        assert artifacts_of(client, busy.id) == 1
        past = datetime.now(UTC) - timedelta(days=1)
        assert _purge(client, past, "", dry_run=True) == 0


@pytest.mark.parametrize("count", [3, 5])
def test_a_run_that_ends_while_the_pages_are_read_hides_no_other(
    surroundings: None, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    from tasks import purge

    tag = f"pages-{uuid4()}"
    running = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    wanted = FlowRunFilter(state=running, tags=FlowRunFilterTags(all_=[tag]))
    read = SyncPrefectClient.read_flow_runs
    ended: list[UUID] = []

    def read_and_end_one(client: SyncPrefectClient, **options: Any) -> list[FlowRun]:
        page = read(client, **options)
        if not ended:  # those behind it move forward, one of them into the page just read
            ended.append(page[0].id)
            client.set_flow_run_state(page[0].id, Completed(), force=True)
        return page

    monkeypatch.setattr(purge, "_PAGE", 2)
    monkeypatch.setattr(SyncPrefectClient, "read_flow_runs", read_and_end_one)
    with get_client(sync_client=True) as client:
        runs = {
            client.create_flow_run(purge_scratch, state=Running(), tags=[tag]).id
            for _ in range(count)
        }
        found = {run.id for run in purge._all(client, wanted)}
        for run in runs:
            client.delete_flow_run(run)
    assert ended
    assert found == runs


def artifacts_of(client: SyncPrefectClient, run: UUID) -> int:
    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    return len(client.read_artifacts(artifact_filter=theirs))


@purges
def test_the_calendar_s_empty_minutes_leave_no_run_behind(
    surroundings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that started something stay, as do the last minutes."""
    from tasks import purge

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "datetime":  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=10)

    with get_client(sync_client=True) as client:
        empty = run_of(client, content_calendar, Running(), Completed(message=NOTHING_DUE))
        never = run_of(client, content_calendar, Cancelled())
        busy = run_of(client, content_calendar, Running(), Completed(message="1 started"))
        purge.forget_empty_minutes()
        assert client.read_flow_run(empty.id)  # it is young
        monkeypatch.setattr(purge, "datetime", Later)
        monkeypatch.setenv("REELWRIGHT_RETENTION_EMPTY_MINUTES", "0")
        assert purge.forget_empty_minutes() == 0
        monkeypatch.delenv("REELWRIGHT_RETENTION_EMPTY_MINUTES")
        assert purge.forget_empty_minutes() >= 2
        assert client.read_flow_run(busy.id)
        for run in (empty, never):
            with pytest.raises(ObjectNotFound):
                client.read_flow_run(run.id)
