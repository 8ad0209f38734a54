"""A price above a cap, and the fallback after it, in a run that a worker suspends and goes on with.

Prefect's server, the worker and its processes are the real ones.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from prefect.states import AwaitingRetry, Crashed

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.documents.route import Route
from pipelines.schema.keys import ObjectKey
from tasks.approval import asked_about
from tests.conftest import Cli
from tests.infra.test_warm_worker import Pool
from tests.infra.test_warm_worker import with_pool as with_pool

ENTRYPOINT = "tests.support.routing_flows.produce_content"
POLICY = """
only: [dear, free]
quality: {dear: 5.0, free: 1.0}
automatic_price_cap: 1.00
above_cap: approval
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
BRIEF = {"preset": "auto", "seconds": 2, "enhance": False, "approval": "storyboard"}


@pytest.fixture
def policy(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """The worker's processes get the variables of `cli`, and the policy."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    for name, value in (cli.env | {"REELWRIGHT_ROUTING_POLICY": str(path)}).items():
        if name.startswith("REELWRIGHT_"):
            monkeypatch.setenv(name, value)


async def start(pool: Pool, **brief: Any) -> UUID:
    from flows.produce_content import produce_content

    deployment = await pool.client.create_deployment(
        flow_id=await pool.client.create_flow(produce_content),
        name=pool.name,
        work_pool_name=pool.name,
        entrypoint=ENTRYPOINT,
    )
    made = await pool.client.create_flow_run_from_deployment(
        deployment, parameters={"brief": BRIEF | brief}
    )
    return made.id


async def asked(pool: Pool, run: UUID, key: str) -> str:
    """What the run waits for, once it waits with that key."""
    found = await pool.until(
        run,
        lambda item: bool(
            item.state and (item.state.is_final() or item.state.state_details.pause_key == key)
        ),
    )
    assert found.state is not None
    assert not found.state.is_final(), found.state.message
    return asked_about(found)


def route_of(store: ObjectStore, run: UUID) -> Route:
    data = store.get_bytes(ObjectKey.route(run))
    assert data is not None
    return Route.model_validate_json(data)


@pytest.mark.usefixtures("policy")
@pytest.mark.allows_errors("dear takes no more requests today")
def test_a_price_is_approved_and_the_next_candidate_s_draft_is_another_question(
    with_pool: Callable[..., None], store: ObjectStore
) -> None:
    async def work(pool: Pool) -> None:
        run = await start(pool, prompt="a red fox")
        assert await asked(pool, run, "cost") == "cost"
        assert "1.20 USD, above the policy's automatic_price_cap" in route_of(store, run).ask
        assert store.list_keys("chunks/") == store.list_keys("stills/") == []
        await pool.client.resume_flow_run(run, run_input={"decision": "approve", "by": "ann"})
        assert await asked(pool, run, "storyboard") == "storyboard"  # its draft buys nothing
        edits = {"shots": [{"drafted": 1, "prompt": "a red fox in the snow", "seed": 7}]}
        await pool.client.resume_flow_run(run, run_input={"decision": "approve"} | edits)
        assert await asked(pool, run, "storyboard-2") == "storyboard"
        route = route_of(store, run)
        assert (route.chosen.preset, route.approved, route.turn) == ("free", ("dear",), 1)
        assert [item.reason for item in route.setbacks] == ["dear takes no more requests today"]
        await pool.client.resume_flow_run(run, run_input={"decision": "approve", "by": "bob"})
        found = await pool.until(run, lambda item: bool(item.state and item.state.is_final()))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message
        assert route_of(store, run) == route

    with_pool(work)
    (key,) = [key for key in store.list_keys("videos/") if key.endswith("manifest.json")]
    data = store.get_bytes(ObjectKey(key))
    assert data is not None
    manifest = Manifest.model_validate_json(data)
    assert manifest.brief.preset == "free"
    # What was edited and approved on the first candidate's draft is what the second one films.
    assert [shot.prompt for shot in manifest.storyboard.shots] == ["a red fox in the snow"]
    assert [chunk.spec.request.seed for chunk in manifest.plan.chunks] == [7]
    assert [(act.did, act.about, act.name) for act in manifest.people] == [
        ("asked", "", "prefect"),
        ("approved", "cost", "ann"),
        ("approved", "storyboard", "prefect"),
        ("approved", "storyboard", "bob"),
    ]


@pytest.mark.usefixtures("policy")
@pytest.mark.allows_errors("dear takes no more requests today", "crashed")
def test_a_run_that_begins_again_while_it_waits_is_not_approved_by_that(
    with_pool: Callable[..., None], store: ObjectStore
) -> None:
    """As when its host is taken for dead: Prefect suspends no run twice under the same key."""

    async def work(pool: Pool) -> None:
        run = await start(pool, prompt="a green fox")
        assert await asked(pool, run, "cost") == "cost"
        await pool.client.set_flow_run_state(run, Crashed(), force=True)
        await pool.client.set_flow_run_state(run, AwaitingRetry(), force=True)
        assert await asked(pool, run, "cost-again-2") == "cost"
        assert not route_of(store, run).approved
        await pool.client.resume_flow_run(run, run_input={"decision": "approve"})
        assert await asked(pool, run, "storyboard") == "storyboard"
        assert route_of(store, run).approved == ("dear",)

    with_pool(work)
    assert store.list_keys("videos/") == []


@pytest.mark.usefixtures("policy")
def test_a_rejected_price_ends_the_run_and_nothing_is_made(
    with_pool: Callable[..., None], store: ObjectStore
) -> None:
    async def work(pool: Pool) -> None:
        run = await start(pool, prompt="a blue fox")
        assert await asked(pool, run, "cost") == "cost"
        decision = {"decision": "reject", "reason": "too dear"}
        await pool.client.resume_flow_run(run, run_input=decision)
        assert await pool.ended(run) == "CANCELLED: too dear"

    with_pool(work)
    assert store.list_keys("videos/") == store.list_keys("stills/") == []
