"""Writes into the audit log what clients change through the gateway.

Every request that changes something and was accepted leaves an entry, also one at an address that
is added later: what it is called then says its method and address. The entry is on disk before the
client gets its answer. Starts of runs are told by `Runs`, which knows them all.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from infra.apps.gateway import audit
from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import starter_of
from infra.apps.gateway.state import Gateway
from pipelines.documents.brief import Brief

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SAFE = {"GET", "HEAD", "OPTIONS"}
ACTIONS: dict[tuple[str, str], str] = {
    ("POST", "/runs/{run}/answer"): "run.answered",
    ("POST", "/jobs/{run}/answer"): "run.answered",
    ("DELETE", "/runs/{run}"): "run.cancelled",
    ("POST", "/jobs/{run}/cancel"): "run.cancelled",
    ("DELETE", "/videos/{name}"): "video.deleted",
    ("POST", "/watch/{cid}/delete"): "video.deleted",
    ("POST", "/watch/{cid}/undo"): "video.restored",
    ("POST", "/videos/{cid}/trash"): "video.deleted",
    ("POST", "/videos/{cid}/restore"): "video.restored",
    ("POST", "/watch/{cid}/note"): "video.noted",
    ("PATCH", "/videos/{cid}/note"): "video.noted",
    ("POST", "/watch/{cid}/share"): "video.shared",
    ("POST", "/videos/{cid}/share"): "video.shared",
    ("DELETE", "/videos/{cid}/share"): "video.unshared",
    ("DELETE", "/v1/videos/{video}"): "clip.deleted",
    ("POST", "/uploads"): "upload.sent",
    ("POST", "/benchmarks/{name}"): "comparison.rated",
    ("POST", "/webhooks/{endpoint}/test"): "webhook.tested",
}
"""Names of actions by method and address."""
_STARTS = {"/briefs", "/new", "/v1/videos", "/watch/{cid}/again", "/videos/{cid}/again"}
_STARTS |= {"/jobs/{run}/again"}
_ASKING = {"/briefs/check", "/new/forecast"}
"""Addresses whose requests change nothing."""
_GENERATE = "/generate/"
STARTED = "run.started"
"""The action of a run's start."""
_address: ContextVar[str] = ContextVar("address", default="")
"""That the present request came from: a run is started many calls below its request."""


def record_start(database: Database) -> Callable[[UUID, Brief, list[str]], None]:
    """For `Starts.on_start`: an entry for each run that somebody started here, once."""

    def note(run: UUID, brief: Brief, tags: list[str]) -> None:
        who = starter_of(tags)
        audit.add_once(database, who, STARTED, str(run), brief.prompt, _address.get())

    return note


class RecordingMiddleware:
    """Adds an entry for each request that changed something."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self._app(scope, receive, send)
            return

        async def recorded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await _record(scope)
            await send(message)

        before = _address.set(_address_of(scope))
        try:
            await self._app(scope, receive, recorded)
        finally:
            _address.reset(before)


async def _record(scope: Scope) -> None:
    state = scope.get("state", {})
    client, path = state.get("client"), str(getattr(scope.get("route"), "path", scope["path"]))
    if not isinstance(client, Client) or state.get("unrecorded"):
        return
    if path in _STARTS | _ASKING or path.startswith(_GENERATE):
        return
    gateway = scope["app"].state.gateway
    assert isinstance(gateway, Gateway)
    action = ACTIONS.get((scope["method"], path), f"{scope['method'].lower()} {path}")
    subject = " ".join(str(value) for value in scope.get("path_params", {}).values())
    detail, address = str(state.get("detail", "")), _address_of(scope)
    await run_in_threadpool(audit.add, gateway.database, client, action, subject, detail, address)


def _address_of(scope: Scope) -> str:
    """Of the socket; what a client writes into a header is not believed."""
    peer = scope.get("client")
    return str(peer[0]) if peer else ""
