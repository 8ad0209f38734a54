"""Webhooks out: what happened to runs, told to the operator's endpoints until they have it.

Events are found by looking, not by being told, so none is lost while the gateway is down. An
event's id follows from the run and what happened to it: found twice, it is one event, and it
keeps its id however often it is sent. Sending follows standardwebhooks.com.
"""

import asyncio
import ipaddress
import json
import logging
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError
from starlette.concurrency import run_in_threadpool

from infra.adapters.secrets import read_secret
from infra.adapters.settings import Settings
from infra.apps.gateway.background import repeat
from infra.apps.gateway.database import Database
from infra.apps.gateway.hooks import Endpoint
from infra.apps.gateway.views import RunView
from pipelines.errors import BriefError

TRIES = 12
"""With the pauses below, about a day."""
_SHORTEST, _LONGEST = 5.0, 6 * 3600.0
_SEND_EVERY, _PURGE_EVERY = 1.0, 3600.0
_STEPS = (25, 50, 75)
"""Per cent at which progress is told."""
_TIMEOUT = httpx.Timeout(10.0)
_SHOWN = 500
"""Bytes of an answer that are shown after a test."""
_log = logging.getLogger("reelwright.outbox")


class Outbox:
    """The events of one gateway."""

    def __init__(self, database: Database, endpoints: tuple[Endpoint, ...], base_url: str) -> None:
        self._database = database
        self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self._base_url = base_url
        self._begin()

    @property
    def is_needed(self) -> bool:
        """Whether any endpoint is configured."""
        return bool(self._endpoints)

    async def work(self) -> None:
        """Send, and forget what is old, until cancelled. What is sent comes by `note`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(repeat(self.purge))
            if self._endpoints:
                group.create_task(repeat(self.send))

    def _begin(self) -> None:
        """Register new endpoints; they get only events from now on."""
        now = datetime.now(UTC).isoformat()
        for name in self._endpoints:
            self._database.run("insert or ignore into marks values (?, ?)", (f"since {name}", now))

    def note(self, view: RunView) -> None:
        """Store the events of the run that are not stored yet."""
        for kind, detail in events_of(view):
            identity = uuid5(NAMESPACE_URL, f"reelwright:{view.id}:{kind}:{detail}").hex
            body = json.dumps(
                {
                    "type": f"run.{kind}",
                    "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
                    "data": view.model_dump(mode="json")
                    | {
                        "run_url": f"{self._base_url}/runs/{view.id}",
                        "page_url": f"{self._base_url}/jobs/{view.id}",
                        "video_url": f"{self._base_url}{view.video_path}"
                        if view.video_path
                        else "",
                        "watch_url": f"{self._base_url}{view.watch}" if view.watch else "",
                    },
                }
            )
            for endpoint in self._endpoints.values():
                if kind in endpoint.events and self._concerns(endpoint, view):
                    self._database.run(
                        "insert or ignore into events (id, endpoint, body, made, due) "
                        "values (?, ?, ?, ?, ?)",
                        (f"evt_{identity}", endpoint.name, body, time.time(), time.time()),
                    )

    def _concerns(self, endpoint: Endpoint, view: RunView) -> bool:
        rows = self._database.rows(
            "select value from marks where name = ?", (f"since {endpoint.name}",)
        )
        return view.created is not None and view.created >= datetime.fromisoformat(rows[0][0])

    async def send(self) -> float:
        """Send what is due, each to its endpoint. Returns how long to rest, as does `purge`."""
        rows = self._database.rows(
            "select id, endpoint, body, tries from events where state = 'waiting' and due <= ? "
            "order by due limit 50",
            (time.time(),),
        )
        await asyncio.gather(*(self._send(*row) for row in rows))
        return _SEND_EVERY

    async def purge(self) -> float:
        """Delete events that were sent long ago."""
        forget_old(self._database, Settings.load().retention.deliveries_days)
        return _PURGE_EVERY

    async def _send(self, identity: str, name: str, body: str, tries: int) -> None:
        endpoint = self._endpoints.get(name)
        error = await post(endpoint, identity, body) if endpoint else "this endpoint was removed"
        if not error:
            change = ("done", tries + 1, 0.0, "")
        elif tries + 1 >= TRIES or endpoint is None:
            _log.error("event %s to %s is given up: %s", identity, name, error)
            change = ("dead", tries + 1, 0.0, error)
        else:
            change = ("waiting", tries + 1, time.time() + pause_after(tries), error)
        self._database.run(
            "update events set state = ?, tries = ?, due = ?, error = ? "
            "where id = ? and endpoint = ?",
            (*change, identity, name),
        )


def pause_after(tries: int) -> float:
    """Seconds until the next attempt."""
    return float(min(_SHORTEST * 3**tries, _LONGEST))


def events_of(view: RunView) -> Iterator[tuple[str, str]]:
    """All events of the run so far: the kind, and the number among its kind."""
    yield "accepted", ""
    if view.state != "accepted":
        for step in _STEPS:
            if view.percent >= step and view.state not in ("failed", "cancelled", "rejected"):
                yield "progress", str(step)
    if view.waiting_for:
        yield "awaiting_approval", view.waiting_for
    if view.state == "completed":
        yield "completed", ""
    elif view.ended:
        yield "failed", view.state


@dataclass(frozen=True)
class Delivery:
    """What became of one attempt to send an event."""

    error: str
    """Empty if the endpoint took it."""
    status: int = 0
    """HTTP status of its answer; 0: none came."""
    answer: str = ""
    """The beginning of its body."""
    seconds: float = 0.0


async def post(endpoint: Endpoint, identity: str, body: str) -> str:
    """Send one event. Returns what was wrong; empty if the endpoint accepted it."""
    return (await deliver(endpoint, identity, body)).error


async def deliver(endpoint: Endpoint, identity: str, body: str) -> Delivery:
    """Send one event, signed, to the address that the endpoint is allowed to have."""
    now = datetime.now(UTC)
    try:
        address = await run_in_threadpool(allowed_address, endpoint)
        # Its file may be gone, emptied or no secret any more since the start. Raised, that would
        # end the sending to others too, and what they took would not be noted: sent twice.
        signature = Webhook(read_secret(endpoint.secret)).sign(identity, now, body)
    except (OSError, ValueError, EmptyWebhookSecretError) as error:
        return Delivery(str(error))
    url = httpx.URL(endpoint.url)
    headers = {
        "Host": url.netloc.decode(),
        "Content-Type": "application/json",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    began = time.monotonic()
    # Straight to the address that was allowed: a second look at the name could find another.
    async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
        try:
            answer = await client.post(
                url.copy_with(host=address),
                content=body,
                headers=headers,
                extensions={"sni_hostname": url.host},
                follow_redirects=False,
            )
        except httpx.HTTPError as error:
            return Delivery(f"{type(error).__name__}: {error}", seconds=time.monotonic() - began)
    wrong = "" if answer.is_success else f"the endpoint answered {answer.status_code}"
    text = answer.content[:_SHOWN].decode("utf-8", "replace")
    return Delivery(wrong, answer.status_code, text, time.monotonic() - began)


async def send_test(endpoint: Endpoint, base_url: str) -> Delivery:
    """Send an event of the type `test`, once, whichever events the endpoint wants."""
    body = json.dumps(
        {
            "type": "test",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": {"message": "A test of this endpoint; nothing happened.", "gateway": base_url},
        }
    )
    return await deliver(endpoint, f"evt_{uuid4().hex}", body)


def allowed_address(endpoint: Endpoint) -> str:
    """The IP address to send to. Raises ValueError if any that the name has is not allowed."""
    parts = urlsplit(endpoint.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    networks = [ipaddress.ip_network(item) for item in endpoint.networks]
    addresses = [str(item[4][0]) for item in found]
    for text in addresses:
        address = _reached(ipaddress.ip_address(text.partition("%")[0]))
        inside = any(address.version == net.version and address in net for net in networks)
        if not (inside or _is_public(address)):
            raise ValueError(
                f"{parts.hostname} is at {address}, which is not public; name its network in "
                "`networks` if it may be sent to"
            )
    return addresses[0]


_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("::/96", "64:ff9b::/96")))
"""IPv4-compatible addresses and those of translators: their last four bytes are an IPv4 address."""
_INNER = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10")))
"""A network's own translator, and site-local addresses: Python 3.11 takes them for public."""


def _reached(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that a packet arrives at: of a tunnelled or translated one, that inside it."""
    if isinstance(address, ipaddress.IPv4Address) or int(address) in (0, 1):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address.teredo is not None:
        inner = address.teredo[1]
    if inner is None and any(address in network for network in _EMBEDDING):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = address.version == 6 and any(address in network for network in _INNER)
    return address.is_global and not address.is_multicast and not inner


def forget_old(database: Database, days: int) -> int:
    """Remove events that were sent or given up, and made more than `days` ago; 0 keeps all.

    Returns how many. An event that still waits to be sent stays.
    """
    if not days:
        return 0
    before = time.time() - days * 24 * 3600
    return database.run(
        "delete from events where state in ('done', 'dead') and made < ?", (before,)
    )


def dead(database: Database) -> list[tuple[str, str, int, str]]:
    """Events that were given up: id, endpoint, tries, last error."""
    rows = database.rows(
        "select id, endpoint, tries, error from events where state = 'dead' order by made"
    )
    return [(str(a), str(b), int(c), str(d)) for a, b, c, d in rows]


def revive(database: Database, identity: str) -> None:
    """Send it again, with the same id. Raises BriefError if it is not among the dead."""
    changed = database.run(
        "update events set state = 'waiting', tries = 0, due = 0 where id = ? and state = 'dead'",
        (identity,),
    )
    if not changed:
        raise BriefError(f"there is no dead event {identity!r}; see: reelwright hooks dead")
