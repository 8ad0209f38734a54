"""HTML pages: gallery, player, running jobs, approval. Rendered on the server, without a build
step."""

import secrets
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from infra.apps.environment import prefect_pages
from infra.apps.gateway.access import Approver, Maker, Reader, gateway_of, identify, require
from infra.apps.gateway.answers import MOST_SHOTS, give_answer
from infra.apps.gateway.api import Order, page_of
from infra.apps.gateway.deleting import may_delete, may_take_back
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.library import Trashed
from infra.apps.gateway.listing import VideoFilter, view_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import at_store
from infra.apps.gateway.storyboard_form import SEE_THE_SHOTS, StoryboardForm, read_form, shown
from pipelines.backends.registry import presets
from pipelines.errors import BriefError, StoryboardError
from pipelines.quality import seams
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.shots import MAX_SEED

router = APIRouter()
_PAGE = 24
_FIELDS = 8 * MOST_SHOTS
"""Of a storyboard's form: seven for a shot, and a few more."""
_DAY = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"
_DISK_LOW = "The studio has little disk space left, so a video may fail. Tell whoever runs it."
_NO_VIDEO = "No video has this id now: it was deleted, or it never existed."
_ID = PathParameter(pattern=r"^[0-9a-f]{64}$")


def shared_values(request: Request) -> dict[str, Any]:
    """What every page shows."""
    return {"prefect": prefect_pages(), "disk_notices": _disk_notices(request)}


def _disk_notices(request: Request) -> list[str]:
    """A disk with little space: with numbers and remedy for keys with `manage`, who can act."""
    if not hasattr(request.app.state, "gateway"):  # it is set when the service starts
        return []
    disks = gateway_of(request).disks
    try:
        manages = "manage" in identify(request).scopes
    except ProblemError:
        return []
    return disks.sentences() if manages else [_DISK_LOW for _ in disks.low()][:1]


_TITLES = {
    401: "Please log in",
    403: "This is not allowed",
    404: "There is no such page",
    422: "A value is not right",
    429: "Too many requests",
    503: "Not now",
}
_OTHER_TITLE = "This did not work"


def problem_page(request: Request, status: int, text: str) -> HTMLResponse:
    """The page of a refused request, for a browser."""
    login = f"/login?{urlencode({'to': request.url.path})}" if status == 401 else ""
    title = _TITLES.get(status, _OTHER_TITLE)
    return render(request, "message.html", status, title=title, text=text, login=login)


@router.get("/")
async def gallery(
    request: Request,
    campaign: Annotated[str, Query(max_length=100)] = "",
    text: Annotated[str, Query(max_length=200)] = "",
    since: Annotated[str, Query(pattern=_DAY)] = "",
    until: Annotated[str, Query(pattern=_DAY)] = "",
    starred: bool = False,
    order: Order = "newest",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """The published videos that are looked for, and above them the runs at work. Days are UTC."""
    if redirect := to_login(request):
        return redirect
    gateway = gateway_of(request)
    client = identify(request)
    index = gateway.videos.index
    runs = await gateway.runs.recent(_PAGE, client)
    wanted = VideoFilter(campaign, text.strip(), _begin(since), _end(until), starred)
    look = partial(page_of, oldest_first=order == "oldest")
    page = await run_in_threadpool(look, request, _PAGE, wanted, cursor)
    manages = "manage" in client.scopes
    query = {name: value for name, value in request.query_params.items() if name != "cursor"}
    return render(
        request,
        "gallery.html",
        jobs=sorted((run for run in runs if not run.ended), key=lambda run: not run.waiting_for),
        ended=[run for run in runs if run.ended and run.state != "completed"][:5],
        videos=page.videos,
        notes=await run_in_threadpool(gateway.library.notes, [video.id for video in page.videos]),
        campaigns=await run_in_threadpool(index.campaigns),
        campaign=campaign,
        sought={"text": text, "since": since, "until": until, "starred": starred, "order": order},
        is_sought=bool(text or since or until or starred),
        newest=urlencode(query),
        older=urlencode(query | {"cursor": page.next.as_cursor()}) if page.next else "",
        is_first=not cursor,
        is_filling=not index.filled,
        skipped=await run_in_threadpool(index.skipped) if manages else None,
        approves="approve" in client.scopes,
        makes="make" in client.scopes,
    )


def _begin(day: str) -> datetime | None:
    """Raises ProblemError 422 for a day that does not exist."""
    try:
        return datetime.fromisoformat(f"{day}T00:00:00+00:00") if day else None
    except ValueError as error:
        raise ProblemError(422, "invalid", f"{day!r} is no day; write it as 2026-11-27") from error


def _end(day: str) -> datetime | None:
    begin = _begin(day)
    if begin is None or begin.date() == date.max:
        return None
    return begin + timedelta(days=1)


@router.get("/watch/{cid}")
@at_store
def watch(request: Request, cid: Annotated[str, _ID]) -> Response:
    """One video with its manifest's figures."""
    if redirect := to_login(request):
        return redirect
    try:
        manifest = gateway_of(request).videos.manifest(Digest(cid))
    except ProblemError as problem:
        title = "This video cannot be shown"
        return render(request, "message.html", problem.status, title=title, text=problem.message)
    client, library = identify(request), gateway_of(request).library
    if manifest is None:
        return _absent(request, client, library.trashed(Digest(cid)))
    shots = [shot.number for shot in manifest.storyboard.shots]
    seconds = {shot: manifest.plan.seconds_of_shot(shot) for shot in shots}
    video = view_of(manifest)
    same = gateway_of(request).videos.index.of_prompt(video.prompt)
    return render(
        request,
        "watch.html",
        video=video,
        takes=[item for item in same if item.id != video.id],
        manifest=manifest,
        seconds=seconds,
        fps=manifest.clip.fps,
        makes="make" in client.scopes,
        deletes=may_delete(gateway_of(request).database, client, manifest),
        note=library.note(Digest(cid)),
        presets=[item for item in presets().values() if item.is_still == (video.kind == "image")],
        take=secrets.randbelow(MAX_SEED),
        key=secrets.token_hex(8),
        in_words=seams.in_words,
        scale=seams.SCALE,
    )


def _absent(request: Request, client: Client, trashed: Trashed | None) -> Response:
    """A video that is not there; who deleted it may take it back."""
    database = gateway_of(request).database
    if trashed is None or not may_take_back(database, client, trashed.id):
        return render(request, "message.html", 404, title="Unknown video", text=_NO_VIDEO)
    until = datetime.fromtimestamp(trashed.removed_at, UTC)
    return render(request, "deleted.html", 404, cid=trashed.id, until=until)


@router.get("/jobs/{run}")
async def job(request: Request, run: UUID) -> Response:
    """A run at work, and the decision that it waits for."""
    if redirect := to_login(request):
        return redirect
    return await _job(request, run, identify(request))


async def _job(
    request: Request,
    run: UUID,
    client: Client,
    problem: str = "",
    status: int = 200,
    form: StoryboardForm | None = None,
) -> Response:
    """The page of a run; `form` has what was typed into its storyboard."""
    gateway = gateway_of(request)
    draft = film = None
    try:
        view = await gateway.runs.see(run, client)
        route = await gateway.runs.route(run)
        approves = "approve" in client.scopes
        if approves and view.waiting_for == "storyboard":
            draft = await gateway.runs.draft(run)
        elif approves and view.waiting_for == "video":
            film = await gateway.runs.film(run)
    except ProblemError as error:
        if error.status != 404:
            return render(
                request, "message.html", error.status, title="Not now", text=error.message
            )
        text = (
            "No run has this id, or it is another person's. Runs are shown to who started them, "
            "and forgotten after a while; videos are not."
        )
        return render(request, "message.html", 404, title="Unknown run", text=text)
    return render(
        request,
        "job.html",
        status,
        run=view,
        draft=draft,
        film=film,
        asks=approves and view.waiting_for == "cost",
        route=route,
        problem=problem,
        makes="make" in client.scopes,
        **shown(draft, form),
    )


@router.post("/jobs/{run}/answer")
async def answer(request: Request, run: UUID, client: Approver) -> Response:
    """The buttons below a draft, a price or a finished video. Those that move, add and remove shots
    give the page back; so does an answer that cannot be made, with what was typed."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client, fresh=True)
    draft = await gateway.runs.draft(run) if view.waiting_for == "storyboard" else None
    data = await request.form(max_fields=_FIELDS)
    form = read_form(data, draft)
    if "edit" in data:
        request.state.unrecorded = True  # the form comes back; nobody answered
        return await _job(request, run, client, form=form.edited(str(data["edit"])))
    request.state.detail = f"{data.get('decision')}: {data.get('reason')}".rstrip(": ")
    try:
        await give_answer(gateway, view, form.answer(data.get("decision")), client.name)
    except StoryboardError as error:
        form = form.with_problems(error)
        return await _job(request, run, client, SEE_THE_SHOTS, 422, form)
    except BriefError as error:
        return await _job(request, run, client, str(error), 422, form)
    except ProblemError as problem:
        return await _job(request, run, client, problem.message, problem.status, form)
    return RedirectResponse(f"/jobs/{run}", 303)


@router.post("/jobs/{run}/cancel")
async def cancel(request: Request, run: UUID, client: Maker) -> Response:
    """The button beside a running job."""
    runs = gateway_of(request).runs
    await runs.require_cancel(run, client)
    await runs.cancel(run)
    return RedirectResponse(f"/jobs/{run}", 303)


@router.get("/stills/{digest}.png")
@at_store
def still(request: Request, digest: Annotated[str, _ID], client: Reader) -> Response:
    """A still of a draft; drafts are shown to those who approve."""
    if not client.scopes & {"approve", "review", "manage"}:
        require(client, "approve")
    data = gateway_of(request).store.get_bytes(ObjectKey.still(Digest(digest)))
    if data is None:
        raise ProblemError(404, "not_found", "there is no such still")
    return Response(
        data, media_type="image/png", headers={"Cache-Control": "private, max-age=86400"}
    )


def to_login(request: Request) -> Response | None:
    """The way to the login for who has none; None for a reader."""
    try:
        client = identify(request)
    except ProblemError as problem:
        if problem.status != 401:  # single sign-on named somebody who may not get in
            raise
        return RedirectResponse(f"/login?{urlencode({'to': request.url.path})}", 303)
    require(client, "read")
    return None
