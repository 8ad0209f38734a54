"""The application: its parts, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from prefect.client.orchestration import get_client

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps.gateway import api, pages, receiving, service, wan
from infra.apps.gateway.access import Limits
from infra.apps.gateway.background import Changes, Comparisons, working
from infra.apps.gateway.database import opened
from infra.apps.gateway.hooks import read_hooks
from infra.apps.gateway.index import Index
from infra.apps.gateway.outbox import Outbox
from infra.apps.gateway.problems import add_handlers, answer
from infra.apps.gateway.runs import Runs
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.videos import Videos

MAX_BODY = 1_000_000
"""Bytes of a request; no brief comes near it."""
MAX_UPLOAD = 20_000_000
"""Bytes of a picture."""
_HERE = Path(__file__).parent
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self'; "
        b"media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(settings: Settings) -> FastAPI:
    """The gateway for `settings`; it connects when it starts. Raises SettingsError."""

    hooks = read_hooks(settings.gateway.hooks)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            database = stack.enter_context(opened(settings.paths.data_dir))
            client = await stack.enter_async_context(get_client())
            store = ObjectStore(settings.store)
            index = Index(database, store)
            runs = Runs(client, store, index)
            app.state.gateway = Gateway(
                settings=settings,
                database=database,
                store=store,
                runs=runs,
                videos=Videos(store, index),
                limits=Limits(settings.gateway.writes_per_minute),
                hooks=hooks,
            )
            outbox = Outbox(database, hooks.endpoints, settings.gateway.base_url)
            changes = Changes(database, runs, outbox.note if outbox.is_needed else None)
            works = outbox.work, changes.work, Comparisons(index).work
            await stack.enter_async_context(working(*works))
            yield

    app = FastAPI(
        title="Reelwright",
        version=metadata.version("reelwright"),
        description="Videos from briefs, on the studio's own GPU.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    add_handlers(app)
    app.include_router(service.router)
    app.include_router(api.router)
    app.include_router(wan.router)
    app.include_router(receiving.router)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_middleware(Guard)
    return app


class Guard:
    """Refuses large bodies before they are read, and sets the headers of every answer."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        read, too_large = 0, False
        limit = MAX_UPLOAD if scope["path"] == "/uploads" else MAX_BODY

        async def limited() -> MutableMapping[str, Any]:
            nonlocal read, too_large
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                too_large = True
                raise _TooLargeError
            return message

        started = False

        async def secured(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            if too_large and not started:
                return  # whatever the application makes of the error
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        length = headers.get(b"content-length", b"0")
        refusal = answer(413, "too_large", f"this request may have {limit:,} bytes at most")
        if not length.isdigit() or int(length) > limit:
            await refusal(scope, receive, secured)
            return
        with suppress(_TooLargeError):
            await self._app(scope, limited, secured)
        if too_large and not started:
            too_large = False
            await refusal(scope, receive, secured)


class _TooLargeError(Exception):
    """A body without a length, or with a false one."""
