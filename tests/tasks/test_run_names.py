"""What a run says on Prefect's pages: its brief's words, what it waits for, its video."""

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.states import Cancelled, Paused

from infra.apps.gateway.views import view_of_run
from pipelines.documents.brief import Brief
from tasks.artifacts import _show_link
from tasks.run_names import (
    KEY,
    WAITING,
    name_of,
    plain_name,
    run_name,
    tidy_ended,
    waiting_shown,
)
from tests.support.planned import plan_of

FOX = {"prompt": "A red fox trots through the snow", "approval_hours": 5, "on_silence": "approve"}
NAMED = "red-fox-trots-through-the-snow-"
GATEWAY = "http://gateway.test:8004"


@pytest.fixture
def client(
    prefect_server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[SyncPrefectClient]:
    monkeypatch.setenv("REELWRIGHT_GATEWAY_URL", GATEWAY)
    url = prefect_server["PREFECT_API_URL"]
    with (
        temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        get_client(sync_client=True) as client,
    ):
        yield client


@flow(flow_run_name=run_name, persist_result=False)
def making(brief: Brief) -> str:
    """As produce-content: named by its brief. Returns the name that its tasks see."""
    return str(flow_run.name)


@flow(flow_run_name=run_name, persist_result=False)
def asking(brief: Brief, subject: str) -> str:
    """Suspended once, as by `suspend_flow_run`. Returns its id."""
    for number in range(8):  # as a run has them when it asks
        create_markdown_artifact("x", key=f"still-{number}")
    with pytest.raises(Pause), waiting_shown(brief, subject):
        raise Pause(state=Paused())
    return str(flow_run.id)


def begun(client: SyncPrefectClient, name: str | None, *tags: str) -> FlowRun:
    """The run of `making` with that name at its creation, after it was made."""
    run = client.create_flow_run(making, name=name, parameters={"brief": FOX}, tags=list(tags))
    run_flow(making, flow_run=run, parameters={"brief": Brief(**FOX)})
    return client.read_flow_run(run.id)


def shown(client: SyncPrefectClient, run: UUID) -> list[dict[str, Any]]:
    """The artifacts as the run's page shows them, which asks for them in this way."""
    url = str(client.api_url).rstrip("/")
    body = {"artifacts": {"flow_run_id": {"any_": [str(run)]}}, "sort": "ID_DESC"}
    found: list[dict[str, Any]] = httpx.post(
        f"{url}/artifacts/filter", json=body, timeout=60
    ).json()
    return found


def test_a_run_that_nobody_named_gets_its_brief_s_words(client: SyncPrefectClient) -> None:
    run = begun(client, None)
    assert run.name.startswith(NAMED)
    assert run.name.endswith(str(run.id)[-4:])


@pytest.mark.parametrize("name", ["Spring, take 2", "morning-loop 2026-11-27 09:00", NAMED + "ab"])
def test_a_name_that_somebody_gave_stays(client: SyncPrefectClient, name: str) -> None:
    assert begun(client, name).name == name


def test_two_runs_of_the_same_words_have_two_names() -> None:
    assert name_of("a fox", "1111") != name_of("a fox", "2222")
    assert name_of("🦊", "0123abcd") == "brief-abcd"


@pytest.mark.parametrize(("subject", "silence"), [("storyboard", "approved"), ("cost", "rejected")])
def test_a_run_that_waits_says_so_in_name_tags_and_first_artifact(
    client: SyncPrefectClient, subject: str, silence: str
) -> None:
    run = client.read_flow_run(UUID(asking(Brief(**FOX), subject)))
    assert run.name.startswith(f"waiting for you: {NAMED}")
    assert WAITING in run.tags
    first, *others = shown(client, run.id)
    assert first["key"] == KEY
    assert KEY not in {item["key"] for item in others}
    assert first["description"].startswith(f"**Waiting for you:** the {subject} of this brief")
    assert f"({GATEWAY}/jobs/{run.id})" in first["description"]
    assert f"it counts as {silence}." in first["data"]
    assert view_of_run(run).name.startswith(NAMED)


def test_what_a_run_said_while_it_waited_goes_away_when_it_goes_on(
    client: SyncPrefectClient,
) -> None:
    run = begun(client, f"{WAITING}: {NAMED}ab", WAITING, "spring")
    assert (run.name, run.tags) == (f"{NAMED}ab", ["spring"])


@pytest.mark.slow
def test_a_run_that_was_cancelled_while_it_waited_does_not_wait_any_more(
    client: SyncPrefectClient,
) -> None:
    identity = UUID(asking(Brief(**FOX), "video"))
    client.set_flow_run_state(identity, Cancelled(), force=True)
    assert tidy_ended(client) >= 1
    run = client.read_flow_run(identity)
    assert run.name == plain_name(run.name)
    assert WAITING not in run.tags
    assert tidy_ended(client) == 0


def test_the_video_has_a_name_and_is_one_click_away(
    client: SyncPrefectClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Prefect's page makes a link of an address in the log, which it shows first of all."""

    @flow(persist_result=False)
    def showing() -> str:
        for number in range(8):
            create_markdown_artifact("x", key=f"other-{number}")
        path = "/watch/" + "a" * 64
        _show_link(plan_of(prompt="a fox"), "a red fox [at dawn]", "s3://bucket/video.mp4", path)
        return str(flow_run.id)

    with caplog.at_level(logging.INFO, logger="reelwright.page"):
        run = UUID(showing())
    first = shown(client, run)[0]
    address = f"{GATEWAY}/watch/{'a' * 64}"
    assert (first["key"], first["data"]) == ("video", f"[Play “a red fox [at dawn]”]({address})")
    line = first["description"].splitlines()[0]
    assert line == f"[Play “a red fox (at dawn)”]({address})"
    assert any(item.endswith(f"play “a red fox [at dawn]”: {address}") for item in caplog.messages)
