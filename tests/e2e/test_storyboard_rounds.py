"""A storyboard that is revised before it is filmed, in a run that a worker suspends and resumes.

Prefect's server, the worker and its processes are the real ones.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli
from tests.e2e.test_routing_approval import asked, start
from tests.infra.test_warm_worker import Pool
from tests.infra.test_warm_worker import with_pool as with_pool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
BRIEF = {"preset": "free", "seconds": 6, "prompt": "a red fox"}


@pytest.fixture
def workers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's processes get the variables of `cli`."""
    for name, value in cli.env.items():
        if name.startswith("REELWRIGHT_"):
            monkeypatch.setenv(name, value)


async def decide(pool: Pool, run: UUID, decision: str, **edits: Any) -> None:
    await pool.client.resume_flow_run(run, run_input={"decision": decision} | edits)


def manifest_in(store: ObjectStore) -> Manifest:
    (key,) = [key for key in store.list_keys("videos/") if key.endswith("manifest.json")]
    data = store.get_bytes(ObjectKey(key))
    assert data is not None
    return Manifest.model_validate_json(data)


@pytest.mark.usefixtures("workers")
def test_each_revision_is_asked_about_again_and_makes_stills_of_what_changed_only(
    with_pool: Callable[..., None], store: ObjectStore
) -> None:
    stills: list[set[str]] = []

    async def work(pool: Pool) -> None:
        run = await start(pool, **BRIEF)
        assert await asked(pool, run, "storyboard") == "storyboard"
        stills.append(set(store.list_keys("stills/")))
        shots: list[dict[str, Any]] = [{"drafted": 3}, {"drafted": 1}, {"drafted": 2}]
        shots = [shot | {"prompt": "a red fox"} for shot in shots]
        await decide(pool, run, "revise", shots=[*shots, {"prompt": "a grey heron"}])
        assert await asked(pool, run, "storyboard-round-2") == "storyboard"
        stills.append(set(store.list_keys("stills/")))
        # What cannot be made comes back, and the run does not fail.
        await decide(pool, run, "approve", shots=[{"prompt": " "}])
        assert await asked(pool, run, "storyboard-round-2-corrected-2") == "storyboard"
        shots = [{"drafted": 1, "prompt": "a red fox", "wish": "at night"}]
        shots += [{"drafted": 4, "prompt": "a grey heron"}]
        await decide(pool, run, "revise", shots=shots)
        assert await asked(pool, run, "storyboard-round-3") == "storyboard"
        stills.append(set(store.list_keys("stills/")))
        await decide(pool, run, "approve")
        found = await pool.until(run, lambda item: bool(item.state and item.state.is_final()))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message

    with_pool(work)
    assert [len(keys) for keys in stills] == [3, 4, 5]
    assert stills[0] < stills[1] < stills[2]
    manifest = manifest_in(store)
    words = [shot.prompt for shot in manifest.storyboard.shots]
    assert words == ["a red fox, at night", "a grey heron"]
    assert not any(shot.wish for shot in manifest.brief.storyboard)
    assert manifest.run.chunks_made == 2


@pytest.mark.usefixtures("workers")
def test_silence_approves_the_storyboard_as_it_was_shown_last(
    with_pool: Callable[..., None], store: ObjectStore
) -> None:
    async def work(pool: Pool) -> None:
        run = await start(pool, **BRIEF, on_silence="approve")
        assert await asked(pool, run, "storyboard") == "storyboard"
        await decide(pool, run, "revise", shots=[{"prompt": "a blue fox", "wish": "in snow"}])
        assert await asked(pool, run, "storyboard-round-2") == "storyboard"
        # As `settle_silences` answers.
        await decide(pool, run, "approve", reason="nobody answered within 24 hours")
        found = await pool.until(run, lambda item: bool(item.state and item.state.is_final()))
        assert found.state is not None
        assert found.state.is_completed(), found.state.message

    with_pool(work)
    assert [shot.prompt for shot in manifest_in(store).storyboard.shots] == ["a blue fox, in snow"]
