"""Builds the FastAPI application from its routers, middleware and shared state."""

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from prefect.client.orchestration import get_client

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps.gateway import (
    again,
    api,
    audit_api,
    compare,
    costs,
    library_pages,
    login,
    metrics,
    model_page,
    openai_video_requests,
    openai_videos,
    pages,
    ratings,
    receiving,
    routing,
    service,
    start_page,
    storyboard_api,
    uploads,
    waiting,
    wan,
)
from infra.apps.gateway.access import identify
from infra.apps.gateway.audit import Retention
from infra.apps.gateway.background import Changes, Comparisons, repeat, working
from infra.apps.gateway.database import opened
from infra.apps.gateway.disk_watch import DiskWatch
from infra.apps.gateway.docs_page import add_docs
from infra.apps.gateway.hooks import Hooks, read_hooks
from infra.apps.gateway.index import Index
from infra.apps.gateway.languages import choice
from infra.apps.gateway.languages.choice import language_of
from infra.apps.gateway.library import Library
from infra.apps.gateway.limits import Limits
from infra.apps.gateway.line import Line
from infra.apps.gateway.measures import Measures
from infra.apps.gateway.meters import EndedRuns, MeterMiddleware, Meters
from infra.apps.gateway.needs import Needs
from infra.apps.gateway.openai_video_jobs import VideoJobs
from infra.apps.gateway.openapi_document import complete_document
from infra.apps.gateway.outbox import Outbox
from infra.apps.gateway.problem_pages import for_reader, show_pages
from infra.apps.gateway.problems import ProblemError, add_handlers, problem_response
from infra.apps.gateway.readiness import Readiness
from infra.apps.gateway.recording import RecordingMiddleware, record_start
from infra.apps.gateway.run_pages import RunPages
from infra.apps.gateway.runs import Runs
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.store_work import CONNECTIONS, READ_SECONDS, BrokenOffError, StoreWork
from infra.apps.gateway.uses import Uses
from infra.apps.gateway.videos import Videos

MAX_BODY = 1_000_000
"""Bytes of a request; no brief comes near it."""
_LIMITS = {
    "/uploads": uploads.MAX_BODY,
    "/v1/videos": openai_video_requests.MAX_BODY,
    "/new": uploads.MAX_PICTURE + 200_000,
    "/login": 10_000,
    "/logout": 10_000,
}
_ANSWER = 8_000_000
"""Bytes of an answer about a storyboard of answers.MOST_SHOTS shots."""
_OPEN = ("/login", "/logout", "/hooks/")
"""Routes that accept a body without a key; their limits are small."""
_HERE = Path(__file__).parent
HEADERS = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'self'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "media-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
]
"""Headers of every response. The server adds them, so that errors of all layers have them too."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(settings: Settings) -> FastAPI:
    """The gateway for `settings`; it connects when it starts. Raises SettingsError."""
    hooks = read_hooks(settings.gateway.hooks)
    meters = Meters()
    app = FastAPI(
        title="Reelwright",
        version=metadata.version("reelwright"),
        description="Videos from briefs, on the studio's own GPU.",
        lifespan=lambda app: _running(app, settings, hooks, meters),
        docs_url=None,  # its page loads scripts from elsewhere; `docs_page` has its own
        redoc_url=None,
    )
    app.state.shared_values = pages.shared_values
    add_handlers(app)
    show_pages(app, pages.problem_page)
    _include_routers(app)
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.add_middleware(RecordingMiddleware)
    app.add_middleware(BodyLimitMiddleware)
    app.add_middleware(MeterMiddleware, meters=meters)  # added last: it sees refusals too
    return app


def _include_routers(app: FastAPI) -> None:
    app.include_router(service.router)
    app.include_router(routing.router)
    app.include_router(model_page.router)
    app.include_router(again.router)
    app.include_router(library_pages.router)
    app.include_router(api.router)
    app.include_router(storyboard_api.router)
    app.include_router(uploads.router)
    app.include_router(wan.router)
    app.include_router(openai_videos.router)
    app.include_router(receiving.router)
    app.include_router(audit_api.router)
    for hidden in (
        pages.router,
        start_page.router,
        waiting.router,
        again.pages,
        compare.pages,
        library_pages.pages,
        costs.pages,
        choice.router,
        login.router,
        metrics.router,
        ratings.router,
    ):
        app.include_router(hidden, include_in_schema=False)
    app.include_router(costs.router)
    add_docs(app)
    complete_document(app)


@asynccontextmanager
async def _running(
    app: FastAPI, settings: Settings, hooks: Hooks, meters: Meters
) -> AsyncIterator[None]:
    """The connections and the background work of the gateway, as long as it runs."""
    async with AsyncExitStack() as stack:
        database = stack.enter_context(opened(settings.paths.data_dir))
        client = await stack.enter_async_context(get_client())
        store = ObjectStore(settings.store, connections=CONNECTIONS, read_seconds=READ_SECONDS)
        work = StoreWork(settings.gateway.store_seconds)
        stack.callback(work.close)
        index = Index(database, store)
        runs, videos = Runs(client, store, work, index), Videos(store, index)
        runs.starts.on_start = record_start(database)
        uses = Uses(database)
        stack.callback(uses.write)

        async def is_store_healthy() -> bool:
            return await work.run(videos.is_healthy)

        outbox = Outbox(database, hooks.endpoints, settings.gateway.base_url)
        disks = DiskWatch(settings, database, outbox.tell)
        readiness = Readiness(prefect=runs.is_healthy, store=is_store_healthy)
        gateway = app.state.gateway = Gateway(
            settings=settings,
            database=database,
            store=store,
            runs=runs,
            run_pages=RunPages(client, runs),
            needs=Needs(runs),
            jobs=VideoJobs(client, runs),
            videos=videos,
            limits=Limits(settings.gateway.writes_per_minute),
            hooks=hooks,
            work=work,
            readiness=readiness,
            library=Library(database),
            line=Line(client),
            uses=uses,
            meters=meters,
            measures=Measures(settings, client, store, work, readiness),
            disks=disks,
        )
        listener = outbox.note if outbox.is_needed else None
        changes = Changes(database, runs, listener, EndedRuns(meters, videos).note)
        removing = partial(library_pages.remove_deleted, gateway)
        await stack.enter_async_context(
            working(
                outbox.work,
                changes.work,
                Comparisons(index).work,
                disks.work,
                partial(repeat, uses.work),
                partial(repeat, Retention(database).work),
                partial(repeat, removing),
            )
        )
        yield


class BodyLimitMiddleware:
    """Refuses bodies that are too large, or that come without a valid key, before reading them."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        read, too_large = 0, False
        limit = _limit_of(scope["path"])

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
            await send(message)

        stranger = _refused(Request(scope))
        if stranger:
            await stranger(scope, receive, secured)
            return
        length = headers.get(b"content-length", b"0")
        words = f"this request may have {limit:,} bytes at most"
        asked = Request(scope)
        answer = problem_response(413, "too_large", words, language_of(asked))
        refusal = for_reader(asked, answer, pages.problem_page)
        if not length.isdigit() or int(length) > limit:
            await refusal(scope, receive, secured)
            return
        # The server closes the connection of a response that is not complete.
        with suppress(_TooLargeError, BrokenOffError):
            await self._app(scope, limited, secured)
        if too_large and not started:
            too_large = False
            await refusal(scope, receive, secured)


def _limit_of(path: str) -> int:
    """Bytes that a request to `path` may have."""
    if path.startswith(("/jobs/", "/runs/")) and path.endswith("/answer"):
        return _ANSWER
    return _LIMITS.get(path, MAX_BODY)


def _refused(request: Request) -> Response | None:
    """The refusal of a request with a body but without a valid key; None if it may go on.

    FastAPI would read the whole body before its dependencies check the key.
    """
    if request.method not in ("POST", "PUT", "PATCH") or request.url.path.startswith(_OPEN):
        return None
    try:
        identify(request)
    except ProblemError as problem:
        return for_reader(request, problem.response(language_of(request)), pages.problem_page)
    return None


class _TooLargeError(Exception):
    """A body without a Content-Length, or with a wrong one, is larger than its limit."""
