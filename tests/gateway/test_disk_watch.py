"""A disk with little space is told once: on every page, in status, and as one event."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.settings import Settings
from infra.adapters.space import Space
from infra.apps.gateway import disk_watch
from infra.apps.gateway.database import Database, opened
from infra.apps.gateway.disk_watch import DiskWatch
from infra.apps.gateway.hooks import Endpoint
from infra.apps.gateway.outbox import Outbox
from infra.apps.studio.status import Status
from tests.conftest import Cli
from tests.support.gateway import gateway
from tests.support.hooks import SECRET, Receiver, settings_of

GB = 10**9


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


class Disk:
    """A disk whose free space a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, low_gb: float = 10) -> None:
        self.free_gb = 100.0
        self.low_gb = low_gb
        monkeypatch.setenv("REELWRIGHT_DISK_LOW_GB", str(low_gb))
        monkeypatch.setattr(disk_watch, "spaces_of", lambda _: [self.space])
        monkeypatch.setattr(
            disk_watch, "low_disks", lambda _: [self.space] if self.space.is_low(low_gb) else []
        )

    @property
    def space(self) -> Space:
        return Space("data", Path("/data"), int(self.free_gb * GB), 1000 * GB, 1)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def watch(database: Database, told: list[dict[str, Any]]) -> DiskWatch:
    def tell(kind: str, identity: str, data: dict[str, Any]) -> None:
        assert kind == "disk_low"
        told.append(data | {"identity": identity})

    return DiskWatch(Settings.load(), database, tell)


def test_a_disk_that_gets_low_is_told_once_and_not_after_a_restart(
    disk: Disk, database: Database
) -> None:
    told: list[dict[str, Any]] = []
    watch(database, told).look()
    assert told == []
    disk.free_gb = 9.0
    for _ in range(3):
        watch(database, told).look()
    (event,) = told
    assert (event["folder"], event["free_bytes"], event["low_gb"]) == ("data", 9 * GB, 10)
    assert "REELWRIGHT_DISK_LOW_GB=10" in event["message"]


def test_space_that_goes_up_and_down_around_the_setting_is_told_once(
    disk: Disk, database: Database
) -> None:
    told: list[dict[str, Any]] = []
    for free in (9.9, 10.1, 9.9, 11.0, 9.9):
        disk.free_gb = free
        watch(database, told).look()
    assert len(told) == 1


def test_a_disk_that_recovered_and_gets_low_again_is_another_event(
    disk: Disk, database: Database
) -> None:
    told: list[dict[str, Any]] = []
    for free in (9.0, 50.0, 8.0):
        disk.free_gb = free
        watch(database, told).look()
    assert [item["free_bytes"] for item in told] == [9 * GB, 8 * GB]


def test_status_says_it_in_text_and_as_json() -> None:
    found = Status(disks=["3.0 GB are free"])
    assert "DISK LOW: 3.0 GB are free" in found.as_text()
    assert '"disks": [' in found.as_json()
    assert "DISK LOW" not in Status().as_text()


def test_only_endpoints_that_name_the_event_get_it(
    monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    values = {"url": "https://example.test", "secret": "env:HOOK_SECRET"}
    usual = Endpoint.model_validate(values | {"name": "usual"})
    wants = Endpoint.model_validate(values | {"name": "wants", "events": ["disk_low"]})
    outbox = Outbox(database, (usual, wants), "http://gateway.test")
    for _ in range(2):
        outbox.tell("disk_low", "data now", {"free_bytes": 1})
    assert database.rows("select endpoint from events") == [("wants",)]


@pytest.mark.xdist_group("gateway")
def test_pages_warn_and_the_event_is_sent(deployed: Cli, tmp_path: Path) -> None:
    """Who may manage reads numbers and remedy, others that somebody should be told."""
    receiver = Receiver()
    there = {
        "name": "ops",
        "url": receiver.url,
        "secret": "env:HOOK_SECRET",
        "networks": ["127.0.0.0/8"],
        "events": ["disk_low"],
    }
    env = settings_of(tmp_path, [there]) | {"REELWRIGHT_DISK_LOW_GB": "1000000"}
    try:
        with (
            gateway(deployed, tmp_path, **env) as found,
            found.client() as client,
        ):
            _, event = receiver.next()
            assert event["type"] == "studio.disk_low"
            assert event["data"]["low_gb"] == 1_000_000
            for page in ("/", "/new"):
                assert "REELWRIGHT_DISK_LOW_GB=1e+06" in client.get(page).text
            key = found.cli("keys", "add", "reader", "--scope", "read").out.strip()
            headers = {"Authorization": f"Bearer {key}"}
            text = client.get("/new", headers=headers).text
            assert "little disk space left" in text
            assert "REELWRIGHT_DISK_LOW_GB" not in text
    finally:
        receiver.close()


@pytest.mark.xdist_group("gateway")
def test_a_silent_store_fills_the_log_with_no_line_for_every_attempt(
    deployed: Cli, tmp_path: Path
) -> None:
    """urllib3 would say of each attempt that a connection of its pool broke."""
    nobody = {"REELWRIGHT_S3_ENDPOINT": "127.0.0.1:9", "REELWRIGHT_S3_PATIENCE": "1"}
    with gateway(deployed, tmp_path, **nobody) as found, found.client() as client:
        assert client.get("/ready").json()["store"] is False
        assert client.get(f"/videos/{'0' * 64}.mp4").status_code == 503
    log = (tmp_path / "gateway.log").read_text()
    assert "Retrying (" not in log
    assert "Connection pool" not in log
