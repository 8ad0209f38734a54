"""HTML pages: gallery, player, running jobs, approval. Rendered on the server, without a build
step."""

from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Approver, Maker, Reader, gateway_of, identify, require
from infra.apps.gateway.answers import give_answer
from infra.apps.gateway.api import page_of
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.listing import view_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import at_store
from infra.apps.gateway.storyboard_form import SEE_THE_SHOTS, StoryboardForm, read_form, shown
from infra.apps.gateway.submission import NO_TRANSLATOR, start_brief
from infra.apps.gateway.views import RunView
from pipelines.backends.registry import presets
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError, StoryboardError
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.languages import AUTO as LANGUAGE_AUTO
from pipelines.schema.presets import AUTO

router = APIRouter()
_PAGE = 24
_ID = PathParameter(pattern=r"^[0-9a-f]{64}$")


@router.get("/")
async def gallery(
    request: Request,
    campaign: Annotated[str, Query(max_length=100)] = "",
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """The published videos, and above them the runs at work."""
    if redirect := to_login(request):
        return redirect
    gateway = gateway_of(request)
    client = identify(request)
    index = gateway.videos.index
    runs = await gateway.runs.recent(_PAGE, client)
    page = await run_in_threadpool(page_of, request, _PAGE, campaign, cursor)
    manages = "manage" in client.scopes
    return render(
        request,
        "gallery.html",
        jobs=[run for run in runs if not run.ended],
        ended=[run for run in runs if run.ended and run.state != "completed"][:5],
        videos=page.videos,
        campaigns=await run_in_threadpool(index.campaigns),
        campaign=campaign,
        older=page.next.as_cursor() if page.next else "",
        is_first=not cursor,
        is_filling=not index.filled,
        skipped=await run_in_threadpool(index.skipped) if manages else None,
        approves="approve" in client.scopes,
    )


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
    if manifest is None:
        return render(request, "message.html", 404, title="No such video", text="It was deleted.")
    shots = [shot.number for shot in manifest.storyboard.shots]
    seconds = {shot: manifest.plan.seconds_of_shot(shot) for shot in shots}
    return render(
        request,
        "watch.html",
        video=view_of(manifest),
        manifest=manifest,
        seconds=seconds,
        fps=manifest.clip.fps,
    )


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
        text = "Runs are shown to who started them, and forgotten after a while; videos are not."
        return render(request, "message.html", 404, title="No such run", text=text)
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
        **shown(draft, form),
    )


@router.post("/jobs/{run}/answer")
async def answer(request: Request, run: UUID, client: Approver) -> Response:
    """The buttons below a draft, a price or a finished video. Those that move, add and remove shots
    give the page back; so does an answer that cannot be made, with what was typed."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client)
    draft = await gateway.runs.draft(run) if view.waiting_for == "storyboard" else None
    data = await request.form()
    form = read_form(data, draft)
    if "edit" in data:
        return await _job(request, run, client, form=form.edited(str(data["edit"])))
    try:
        await give_answer(gateway, view, form.answer(data.get("decision")))
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
    await runs.see(run, client)
    await runs.cancel(run)
    return RedirectResponse(f"/jobs/{run}", 303)


@router.get("/new")
def new(request: Request, preset: Annotated[str, Query(max_length=100)] = "demo") -> Response:
    """A short form; Prefect's has every field."""
    return to_login(request) or _new(request, preset)


def _new(
    request: Request, preset: str, status: int = 200, problem: str = "", **filled: Any
) -> HTMLResponse:
    """The short form with what was filled in before."""
    values = {"presets": [*presets().values()], "auto": AUTO, "preset": preset, "problem": problem}
    filled["language_asked"] = filled.pop("language", LANGUAGE_AUTO)  # `language` is the page's
    values |= {"found_out": LANGUAGE_AUTO, "as_written": AS_WRITTEN, "codes": [*NAMES]}
    return render(request, "new.html", status, **values | filled)


@router.post("/new")
async def create(
    request: Request,
    client: Maker,
    prompt: Annotated[str, Form(max_length=5_000)] = "",
    seconds: Annotated[float, Form()] = 4.0,
    approval: Annotated[str, Form(max_length=20)] = "none",
    campaign: Annotated[str, Form(max_length=200)] = "",
    preset: Annotated[str, Form(max_length=100)] = "demo",
    language: Annotated[str, Form(max_length=20)] = LANGUAGE_AUTO,
    own: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Start what the short form says."""
    gateway = gateway_of(request)
    values: dict[str, Any] = {
        "prompt": prompt,
        "seconds": seconds,
        "approval": approval,
        "campaign": campaign,
        "preset": preset,
        "language": own or language,
    }
    try:
        view: RunView = await start_brief(gateway, parse_brief(values), client, "")
    except BriefError as error:
        return _new(request, status=422, problem=str(error), **values)
    except ProblemError as error:
        asks = error.code == NO_TRANSLATOR
        return _new(request, status=error.status, problem=error.message, asks=asks, **values)
    return RedirectResponse(f"/jobs/{view.id}", 303)


@router.get("/stills/{digest}.png")
@at_store
def still(request: Request, digest: Annotated[str, _ID], client: Reader) -> Response:
    """A still of a draft; drafts are shown to those who approve."""
    if not client.scopes & {"approve", "manage"}:
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
    except ProblemError:
        return RedirectResponse(f"/login?{urlencode({'to': request.url.path})}", 303)
    require(client, "read")
    return None
