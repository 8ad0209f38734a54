"""Briefs, runs and videos."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, UploadFile
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from infra.apps.gateway.access import Approver, Maker, Manager, Reader, gateway_of
from infra.apps.gateway.problems import REFUSALS, STREAM_REFUSALS, ProblemError
from infra.apps.gateway.starting import require_room, start_brief
from infra.apps.gateway.store_work import at_store
from infra.apps.gateway.videos import VideoView, of_campaign
from infra.apps.gateway.views import RunView
from pipelines.media.still import as_png
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.parsing import parse_brief
from pipelines.schema.shots import HandShot

router = APIRouter()
Range = Annotated[str, Header(max_length=100, description="`bytes=0-99`")]


class Upload(BaseModel):
    """A picture that was kept."""

    image_path: str


class Answer(BaseModel):
    """A person's yes or no."""

    model_config = ConfigDict(extra="forbid")

    decision: Literal["approve", "reject"]
    reason: str = Field("", max_length=500)
    shots: list[HandShot] = Field(default_factory=list, max_length=300)


@router.post("/briefs", tags=["Runs"], status_code=202, responses=REFUSALS)
async def start(
    request: Request,
    body: dict[str, Any],
    client: Maker,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> RunView:
    """Start a brief with all its fields, as the form in Prefect's page has them."""
    brief: Brief = parse_brief(body)
    return await start_brief(gateway_of(request), brief, client, idempotency_key)


async def _room(request: Request) -> None:
    """Asked before the store's threads are, which may all be waiting."""
    require_room(gateway_of(request))


@router.post(
    "/uploads",
    tags=["Runs"],
    status_code=201,
    responses=REFUSALS,
    dependencies=[Depends(_room)],
)
@at_store
def upload(request: Request, file: UploadFile, _: Maker) -> Upload:
    """Keep a PNG, JPEG or WebP picture for `image_path` or a brief's `image`."""
    gateway = gateway_of(request)
    data = as_png(file.file.read())
    key = ObjectKey.upload(Digest(hashlib.sha256(data).hexdigest()))
    gateway.store.put_bytes(key, data, "image/png")
    return Upload(image_path=key)


async def _visible(request: Request, run: UUID, client: Reader) -> RunView:
    """Before a stream begins: afterwards it is too late for a 404."""
    return await gateway_of(request).runs.see(run, client)


Visible = Annotated[RunView, Depends(_visible)]


@router.get("/runs", tags=["Runs"], responses=REFUSALS)
async def runs(
    request: Request, client: Reader, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[RunView]:
    """The client's latest runs, the newest first; with the scope `manage`, everybody's."""
    return await gateway_of(request).runs.recent(limit, client)


@router.get("/runs/{run}", tags=["Runs"], response_model=RunView, responses=REFUSALS)
async def run(request: Request, run: UUID, client: Reader) -> Any:
    """One run, with its progress."""
    data = await gateway_of(request).runs.see_json(run, client)
    return Response(data, media_type="application/json")


@router.get(
    "/runs/{run}/events",
    tags=["Runs"],
    response_class=EventSourceResponse,
    responses=STREAM_REFUSALS,
)
async def events(request: Request, run: UUID, _: Visible) -> AsyncIterator[ServerSentEvent]:
    """Every change of a run as a server-sent event, until it has ended."""
    number = 0
    async for view in gateway_of(request).runs.watch(run):
        number += 1
        yield ServerSentEvent(data=view, event="run", id=str(number))


@router.post("/runs/{run}/answer", tags=["Runs"], status_code=202, responses=REFUSALS)
async def answer(request: Request, run: UUID, body: Answer, client: Approver) -> RunView:
    """Approve or reject what a run waits for; a storyboard's shots may be changed."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client)
    values = body.model_dump(mode="json")
    if not body.shots or view.waiting_for != "storyboard":
        del values["shots"]
    await gateway.runs.answer(run, values)
    return await gateway.runs.see(run, client)


@router.delete("/runs/{run}", tags=["Runs"], status_code=202, responses=REFUSALS)
async def cancel(request: Request, run: UUID, client: Maker) -> RunView:
    """Stop a run, on the GPU too."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client)
    if view.ended:
        raise ProblemError(409, "ended", f"the run is {view.state} already")
    await gateway.runs.cancel(run)
    return await gateway.runs.see(run, client)


@router.get("/videos", tags=["Videos"], responses=REFUSALS)
@at_store
def videos(
    request: Request,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    campaign: Annotated[str, Query(max_length=100)] = "",
) -> list[VideoView]:
    """Published videos, the newest first."""
    return of_campaign(gateway_of(request).videos.listed(), campaign)[:limit]


@router.api_route(
    "/videos/{name}",
    methods=["GET", "HEAD"],
    tags=["Videos"],
    response_class=Response,
    responses=REFUSALS | {206: {"description": "A part of the file."}},
)
async def video(
    request: Request,
    name: str,
    _: Reader,
    range: Range = "",
    if_none_match: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """A video (`….mp4`), its poster (`….jpg`), contact sheet (`…-contact.jpg`), manifest
    (`….json`). Ranges are served, so players can seek."""
    gateway = gateway_of(request)
    part = await gateway.work.run(gateway.videos.part, name, range)
    tag = f'"{part.found.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, no-cache",
    }
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(part.length)
    if not part.is_all:
        headers["Content-Range"] = f"bytes {part.start}-{part.end}/{part.found.size}"
    status, kind = (200 if part.is_all else 206), part.found.content_type
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    blocks = await gateway.work.stream(gateway.videos.stream(part))
    return StreamingResponse(blocks, status, headers, kind)


@router.delete("/videos/{name}", tags=["Videos"], status_code=204, responses=REFUSALS)
@at_store
def delete(request: Request, name: str, _: Manager) -> None:
    """Remove a video for good; the chunks it shares with others stay."""
    gateway = gateway_of(request)
    gateway.videos.delete(name)
    gateway.runs.forget()
