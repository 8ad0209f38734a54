"""Health, models, runs, videos and routing."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from infra.adapters.weights.catalog import MODEL_SETS
from infra.adapters.weights.index import read_index
from infra.adapters.weights.library import folder_of
from infra.apps.gateway.access import Approver, Maker, Manager, Reader, gateway_of
from infra.apps.gateway.problems import ProblemAnswer, ProblemError
from infra.apps.gateway.videos import VideoView, view_of
from infra.apps.gateway.views import RunView
from pipelines.routing.route import Modality, Route, choose
from pipelines.routing.tasks import STANDS_IN, WAN_TASKS
from pipelines.schema.brief import Brief
from pipelines.schema.parsing import parse_brief
from pipelines.schema.shots import MAX_PROMPT, HandShot

router = APIRouter()
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemAnswer} for code in (401, 403, 404, 409, 413, 416, 422, 429, 503)
}
Range = Annotated[str, Header(max_length=100, description="`bytes=0-99`")]


class Health(BaseModel):
    """The gateway answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """What it needs answers too."""

    prefect: bool
    store: bool


class ModelView(BaseModel):
    """A model of a set."""

    set: str
    role: str
    name: str
    licence: str
    installed: bool


class TaskView(BaseModel):
    """A task of the Wan service and who does it here."""

    task: str
    model: str
    answered_by: str = Field(description="`studio`, `demo` (as a stand-in), or empty: a 409.")


class Models(BaseModel):
    """What is installed, and what it can do."""

    models: list[ModelView]
    tasks: list[TaskView]


class RouteContext(BaseModel):
    """Wishes."""

    model_config = ConfigDict(extra="ignore")

    prefer_quality: bool = False
    max_duration: float | None = Field(None, gt=0, le=600, description="Seconds.")


class RouteRequest(BaseModel):
    """What a video or picture shall show, and what matters."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "query": "a red ball moves right",
                    "modality": "video",
                    "context": {"prefer_quality": True, "max_duration": 8},
                }
            ]
        },
    )

    query: str = Field(min_length=1, max_length=MAX_PROMPT)
    modality: Modality = "video"
    context: RouteContext = RouteContext()


class Answer(BaseModel):
    """A person's yes or no."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    reason: str = Field("", max_length=500)
    shots: list[HandShot] = Field(default_factory=list, max_length=300)


@router.get("/health", tags=["Service"])
async def health() -> Health:
    """The gateway is alive."""
    return Health()


@router.get("/ready", tags=["Service"], response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> Any:
    """Prefect and the store answer; 503 if one does not."""
    gateway = gateway_of(request)
    prefect = await gateway.runs.answers()
    store = await run_in_threadpool(gateway.videos.answers)
    body = Ready(prefect=prefect, store=store)
    return JSONResponse(body.model_dump(), 200 if prefect and store else 503)


@router.get("/models", tags=["Service"], responses=_REFUSALS)
def models(request: Request, _: Reader) -> Models:
    """Models that are installed on this machine, and the tasks they answer."""
    gateway = gateway_of(request)
    folder, installed = gateway.settings.paths.models, gateway.installed()
    stands_in = "demo" if gateway.settings.gateway.stand_in and "demo" in installed else ""
    return Models(
        models=[
            ModelView(
                set=model_set.name,
                role=model.role,
                name=model.name,
                licence=model.licence,
                installed=read_index(folder_of(folder, model_set.name, model.role)) is not None,
            )
            for model_set in MODEL_SETS.values()
            for model in model_set.models
        ],
        tasks=[
            TaskView(
                task=task.name,
                model=task.model,
                answered_by="studio"
                if task.served and "studio" in installed
                else (stands_in if task.kind in STANDS_IN else ""),
            )
            for task in WAN_TASKS.values()
        ],
    )


@router.post("/api/v1/route", tags=["Service"], response_model=Route, responses=_REFUSALS)
def route(request: Request, body: RouteRequest, _: Reader) -> Any:
    """Which preset and model a request would get, and why. Starts nothing."""
    found = choose(
        body.query,
        body.modality,
        gateway_of(request).installed(),
        quality="high" if body.context.prefer_quality else "fast",
        max_seconds=body.context.max_duration,
    )
    if found is None:
        raise ProblemError(
            409, "model_not_installed", "no model is installed: reelwright models download demo"
        )
    return found


@router.post("/briefs", tags=["Runs"], status_code=202, responses=_REFUSALS)
async def start(
    request: Request,
    body: dict[str, Any],
    client: Maker,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> RunView:
    """Start a brief with all its fields, as the form in Prefect's page has them."""
    from infra.apps.gateway.starting import start_brief

    brief: Brief = parse_brief(body)
    return await start_brief(gateway_of(request), brief, client.name, idempotency_key)


@router.get("/runs", tags=["Runs"], responses=_REFUSALS)
async def runs(
    request: Request, _: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[RunView]:
    """The latest runs, the newest first."""
    return await gateway_of(request).runs.recent(limit)


@router.get("/runs/{run}", tags=["Runs"], responses=_REFUSALS)
async def run(request: Request, run: UUID, _: Reader) -> RunView:
    """One run, with its progress."""
    return _there(await gateway_of(request).runs.look(run), run)


@router.get(
    "/runs/{run}/events",
    tags=["Runs"],
    response_class=EventSourceResponse,
    responses=_REFUSALS,
)
async def events(request: Request, run: UUID, _: Reader) -> AsyncIterator[ServerSentEvent]:
    """Every change of a run as a server-sent event, until it has ended."""
    number = 0
    async for view in gateway_of(request).runs.watch(run):
        number += 1
        yield ServerSentEvent(data=view, event="run", id=str(number))


@router.post("/runs/{run}/answer", tags=["Runs"], status_code=202, responses=_REFUSALS)
async def answer(request: Request, run: UUID, body: Answer, _: Approver) -> RunView:
    """Approve or reject what a run waits for; a storyboard's shots may be changed."""
    gateway = gateway_of(request)
    view = _there(await gateway.runs.look(run), run)
    values = body.model_dump(mode="json")
    if not body.shots or view.waiting_for != "storyboard":
        del values["shots"]
    await gateway.runs.answer(run, values)
    return _there(await gateway.runs.look(run), run)


@router.delete("/runs/{run}", tags=["Runs"], status_code=202, responses=_REFUSALS)
async def cancel(request: Request, run: UUID, _: Maker) -> RunView:
    """Stop a run, on the GPU too."""
    gateway = gateway_of(request)
    view = _there(await gateway.runs.look(run), run)
    if view.ended:
        raise ProblemError(409, "ended", f"the run is {view.state} already")
    await gateway.runs.cancel(run)
    return _there(await gateway.runs.look(run), run)


@router.get("/videos", tags=["Videos"], responses=_REFUSALS)
def videos(
    request: Request,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    campaign: Annotated[str, Query(max_length=100)] = "",
) -> list[VideoView]:
    """Published videos, the newest first."""
    found = [view_of(manifest) for manifest in gateway_of(request).videos.listed()]
    return [view for view in found if campaign in ("", view.campaign)][:limit]


@router.api_route(
    "/videos/{name}",
    methods=["GET", "HEAD"],
    tags=["Videos"],
    response_class=Response,
    responses=_REFUSALS | {206: {"description": "A part of the file."}},
)
def video(
    request: Request,
    name: str,
    _: Reader,
    range: Range = "",
    if_none_match: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """A video (`….mp4`), its poster (`….jpg`), contact sheet (`…-contact.jpg`), manifest
    (`….json`). Ranges are served, so players can seek."""
    gateway = gateway_of(request)
    part = gateway.videos.part(name, range)
    tag = f'"{part.found.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(part.length)
    if not part.is_all:
        headers["Content-Range"] = f"bytes {part.start}-{part.end}/{part.found.size}"
    status, kind = (200 if part.is_all else 206), part.found.content_type
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(gateway.videos.stream(part), status, headers, kind)


@router.delete("/videos/{name}", tags=["Videos"], status_code=204, responses=_REFUSALS)
def delete(request: Request, name: str, _: Manager) -> None:
    """Remove a video for good; the chunks it shares with others stay."""
    gateway = gateway_of(request)
    gateway.videos.delete(name)
    gateway.runs.forget()


def _there(view: RunView | None, run: UUID) -> RunView:
    if view is None:
        raise ProblemError(404, "not_found", f"there is no run {run}")
    return view
