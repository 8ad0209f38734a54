"""Housekeeping removes what is stale and nothing else."""

import pytest

from flows.purge_scratch import purge_scratch
from infra.adapters.object_store import ObjectStore
from pipelines.errors import BriefError
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli

RUN = "0abed842-3f39-4a19-a37f-e554015531b3"


@pytest.fixture
def surroundings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cli.env.items():
        if name.startswith("REELWRIGHT_"):
            monkeypatch.setenv(name, value)


def test_fresh_hand_overs_and_videos_stay(store: ObjectStore, surroundings: None) -> None:
    from tasks.purge import abort_uploads, purge_hand_overs

    key = ObjectKey(f"runs/{RUN}/film.json")
    store.put_bytes(key, b"{}", "application/json")
    assert purge_hand_overs.fn(7) == 0
    assert abort_uploads.fn() == 0
    assert store.list_keys("runs/") == [key]


def test_old_hand_overs_go_and_videos_stay(store: ObjectStore) -> None:
    from datetime import timedelta

    key = ObjectKey(f"runs/{RUN}/film.json")
    video = ObjectKey(f"videos/{'a' * 64}/video.mp4")
    for each in (key, video):
        store.put_bytes(each, b"{}", "application/json")
    assert store.delete_older("runs/", timedelta(0)) == 1
    assert store.list_keys() == [video]


@pytest.mark.parametrize("days", [0, -1, 366])
def test_senseless_days_are_refused(surroundings: None, store: ObjectStore, days: int) -> None:
    from tasks.purge import purge_hand_overs

    with pytest.raises(BriefError, match=str(days)):
        purge_hand_overs.fn(days)


def test_the_flow_has_a_name_and_help() -> None:
    assert purge_scratch.name == "purge-scratch"
    assert purge_scratch.description
