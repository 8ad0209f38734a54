"""Webhooks out: told until they are heard, and to nobody else."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infra.apps.gateway.database import opened
from infra.apps.gateway.hooks import Endpoint
from infra.apps.gateway.outbox import Outbox, allowed_address, forget_old
from tests.conftest import Cli
from tests.support.gateway import brief
from tests.support.hooks import SECRET, Receiver, hooked
from tests.support.studio import wait_for

pytestmark = pytest.mark.xdist_group("gateway")


def endpoint(url: str, **values: Any) -> dict[str, Any]:
    return {"name": "cms", "url": url, "secret": "env:HOOK_SECRET"} | values


def waiting_events(folder: Path) -> list[Any]:
    """The events that a gateway with its data in `folder` has still to tell."""
    with closing(sqlite3.connect(folder / "gateway" / "gateway.db", timeout=30)) as connection:
        return connection.execute("select id from events where state = 'waiting'").fetchall()


def test_events_are_signed_told_again_and_keep_their_ids(deployed: Cli, tmp_path: Path) -> None:
    receiver = Receiver(refusals=1)
    try:
        there = endpoint(receiver.url, networks=["127.0.0.0/8"])
        with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
            run = client.post("/briefs", json=brief()).json()["id"]
            first, event = receiver.next()
            assert (event["type"], event["data"]["id"]) == ("run.accepted", run)
            second, again = receiver.next()
            assert second["webhook-id"] == first["webhook-id"]
            assert again == event
            client.delete(f"/runs/{run}")
            _, ended = receiver.next()
            assert (ended["type"], ended["data"]["state"]) == ("run.failed", "cancelled")
            # Until then the receiver alone knows that it has the event.
            wait_for("the note that it is told", lambda: not waiting_events(tmp_path))
        with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
            other = client.post("/briefs", json=brief()).json()["id"]
            _, event = receiver.next()  # and nothing of the old one after a restart
            assert event["data"]["id"] == other
    finally:
        receiver.close()


@pytest.mark.slow
def test_an_event_that_nobody_takes_is_kept_among_the_dead(deployed: Cli, tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.close()
    there = endpoint(receiver.url, networks=["127.0.0.0/8"], events=["accepted"])
    with hooked(deployed, tmp_path, [there]) as found, found.client() as client:
        client.post("/briefs", json=brief())
        database = tmp_path / "gateway" / "gateway.db"

        def change(statement: str) -> list[Any]:
            with sqlite3.connect(database, timeout=30) as connection:
                return connection.execute(statement).fetchall()

        wait_for("an attempt", lambda: change("select id from events where tries > 0"))
        change("update events set tries = 11, due = 0")
        wait_for("its end", lambda: change("select id from events where state = 'dead'"))
        (line,) = found.cli("hooks", "dead").out.splitlines()
        assert "cms" in line
        assert "ConnectError" in line
        assert found.cli("hooks", "retry", line.split()[0]).code == 0
        assert found.cli("hooks", "dead").out == ""
        assert found.cli("hooks", "retry", "evt_0").code == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:4200/api",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[fec0::1]/",
        "http://[::127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[64:ff9b:1::10.0.0.1]/",
        "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    ],
)
def test_no_request_goes_where_the_operator_did_not_allow(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    there = Endpoint(name="x", url=url, secret="env:HOOK_SECRET")
    with pytest.raises((ValueError, OSError)):
        allowed_address(there)


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "http://user@a.example/", "file:///etc/passwd"]
)
def test_an_address_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    with pytest.raises(ValueError, match="url"):
        Endpoint(name="x", url=url, secret="env:HOOK_SECRET")


def test_public_and_named_networks_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    public = Endpoint(name="x", url="http://93.184.216.34/", secret="env:HOOK_SECRET")
    assert allowed_address(public) == "93.184.216.34"
    own = public.model_copy(update={"url": "http://10.1.2.3/", "networks": ("10.1.0.0/16",)})
    assert allowed_address(own) == "10.1.2.3"


def test_what_went_out_long_ago_is_forgotten(tmp_path: Path) -> None:
    """An event that still waits is not, nor a signature that came in; 0 days keep everything."""
    old, new = time.time() - 100 * 24 * 3600, time.time()
    with opened(tmp_path) as database:
        for made in (old, new):
            for state in ("done", "dead", "waiting"):
                database.run(
                    "insert into events (id, endpoint, body, made, due, state) "
                    "values (?, 'e', '{}', ?, 0, ?)",
                    (f"{made}{state}", made, state),
                )
            values = ("shop", f"{made}", "d", made)
            database.run("insert into deliveries values (?, ?, ?, ?)", values)
        assert forget_old(database, 0) == 0
        assert forget_old(database, 90) == 2
        rows = database.rows("select state from events where made = ?", (old,))
        assert rows == [("waiting",)]
        assert len(database.rows("select * from deliveries")) == 2


@pytest.mark.parametrize("left", [None, "", "whsec_"])
def test_a_secret_that_is_lost_stops_only_its_own_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str | None
) -> None:
    """What the other endpoint took is noted as sent, so it is not sent twice."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    file = tmp_path / "secret"
    file.write_text(SECRET)
    receiver = Receiver()
    there = endpoint(receiver.url, networks=["127.0.0.0/8"])
    endpoints = (Endpoint(**there), Endpoint(**there | {"name": "b", "secret": f"file:{file}"}))
    if left is None:
        file.unlink()
    else:
        file.write_text(left)
    try:
        with opened(tmp_path) as database:
            outbox = Outbox(database, endpoints, "http://localhost")
            for name in ("b", "cms"):
                database.run(
                    "insert into events (id, endpoint, body, made, due) values (?, ?, '{}', ?, 0)",
                    (f"evt_{name}", name, time.time()),
                )
            asyncio.run(outbox.send())
            rows = database.rows("select endpoint, state, tries, error from events order by id")
            assert receiver.next()[0]["webhook-id"] == "evt_cms"
        assert rows[1] == ("cms", "done", 1, "")
        assert rows[0][:3] == ("b", "waiting", 1)
        assert rows[0][3]
    finally:
        receiver.close()
