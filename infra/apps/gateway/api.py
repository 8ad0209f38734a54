"""REST API of briefs, uploads, runs and videos."""

from collections.abc import AsyncIterator
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AwareDatetime, BaseModel, Field
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Approver, Deleter, Maker, Reader, gateway_of
from infra.apps.gateway.answers import Answer, give_answer
from infra.apps.gateway.deleting import require_delete_for_ever
from infra.apps.gateway.file_names import disposition, readable_name
from infra.apps.gateway.filters import refuse_unknown_filters
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.catalog import ENGLISH
from infra.apps.gateway.languages.choice import language_of
from infra.apps.gateway.listing import Page, VideoFilter, VideoView
from infra.apps.gateway.owners import sees_all
from infra.apps.gateway.problems import REFUSALS, STREAM_REFUSALS, ProblemAnswer, ProblemError
from infra.apps.gateway.run_pages import RunFilter
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.submission import start_brief
from infra.apps.gateway.videos import Part, content_id_of
from infra.apps.gateway.views import RunState, RunView
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from tasks.sweeping import ages_of

router = APIRouter()
Range = Annotated[str, Header(max_length=100, description="`bytes=0-99`")]
Campaign = Annotated[str, Query(max_length=100, description="Only those of that campaign.")]
Text = Annotated[str, Query(max_length=200, description="Only those with that in their prompt.")]
Since = Annotated[AwareDatetime | None, Query(description="With a time zone; then or later.")]
Until = Annotated[AwareDatetime | None, Query(description="With a time zone; before then.")]
Order = Literal["newest", "oldest"]
NEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": '`<…>; rel="next"`: the older ones, if there are any.',
                "schema": {"type": "string"},
            }
        }
    }
}
"""For the OpenAPI document of a list."""


class KeptPart(BaseModel):
    """Objects of one kind that the deleted video was made of, and that stay."""

    kind: str
    objects: int
    bytes: int
    shared: int = Field(
        description="How many of them other videos use; they stay with those. 0 too if the "
        "gateway has just started and has not read all videos yet."
    )
    until: date | None = Field(
        description="The others may be gone from then on (UTC); null: never."
    )


class Deleted(BaseModel):
    """The objects that a deletion kept."""

    kept: list[KeptPart]


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


async def _visible(request: Request, run: UUID, client: Reader) -> RunView:
    """Check access before the stream begins: once it has begun, a 404 cannot be sent any more."""
    return await gateway_of(request).runs.see(run, client)


Visible = Annotated[RunView, Depends(_visible)]


@router.get(
    "/runs",
    tags=["Runs"],
    responses=REFUSALS | NEXT,
    dependencies=[Depends(refuse_unknown_filters)],
)
async def runs(
    request: Request,
    response: Response,
    client: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    state: Annotated[RunState | None, Query(description="Only runs in that state.")] = None,
    campaign: Campaign = "",
    text: Text = "",
    since: Since = None,
    until: Until = None,
    cursor: Annotated[str, Query(max_length=2_000, description="From a Link header.")] = "",
) -> list[RunView]:
    """The client's latest runs, the newest first; with the scope `review` or `manage`, everybody's.

    With filters a page may be short, or empty, although there are more: the Link header says so.
    """
    wanted = RunFilter(state, campaign, text, since, until)
    try:
        found = await gateway_of(request).run_pages.page(client, wanted, limit, cursor)
    except ValueError as error:
        raise ProblemError(422, "invalid", str(error)) from error
    if found.next:
        response.headers["Link"] = next_link(request, found.next.as_cursor())
    return [view.told(language_of(request)) for view in found.runs]


def next_link(request: Request, cursor: str) -> str:
    """The Link header of a list that goes on at `cursor` with the same filters."""
    query = urlencode(dict(request.query_params) | {"cursor": cursor})
    return f'<{request.url.path}?{query}>; rel="next"'


@router.get("/runs/{run}", tags=["Runs"], response_model=RunView, responses=REFUSALS)
async def run(request: Request, run: UUID, client: Reader) -> Any:
    """One run, with its progress."""
    language = language_of(request)
    if language != ENGLISH:
        return (await gateway_of(request).runs.see(run, client)).told(language)
    data = await gateway_of(request).runs.see_json(run, client)
    return Response(data, media_type="application/json")


@router.get(
    "/runs/{run}/events",
    tags=["Runs"],
    response_class=EventSourceResponse,
    responses=STREAM_REFUSALS,
)
async def events(request: Request, run: UUID, _: Visible) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: the run after every change, until it has ended."""
    number = 0
    async for view in gateway_of(request).runs.watch(run):
        number += 1
        told = view.told(language_of(request))
        yield ServerSentEvent(data=told, event="run", id=str(number))


@router.post("/runs/{run}/answer", tags=["Runs"], status_code=202, responses=REFUSALS)
async def answer(request: Request, run: UUID, body: Answer, client: Approver) -> RunView:
    """Approve or reject what a run waits for. Shots of a storyboard may be changed, added, removed
    and reordered; `revise` makes stills of what changed and asks again. An answer that cannot be
    made is refused with a sentence for each shot, and the run goes on waiting."""
    gateway = gateway_of(request)
    view = await gateway.runs.see(run, client, fresh=True)
    request.state.detail = f"{body.decision}: {body.reason}".rstrip(": ")
    await give_answer(gateway, view, body, client.name)
    return await gateway.runs.see(run, client)


@router.delete("/runs/{run}", tags=["Runs"], status_code=202, responses=REFUSALS)
async def cancel(request: Request, run: UUID, client: Maker) -> RunView:
    """Cancel a run; its work on the GPU ends too."""
    gateway = gateway_of(request)
    view = await gateway.runs.require_cancel(run, client)
    if view.ended:
        raise ProblemError(409, "ended", f"the run is {view.state} already")
    await gateway.runs.cancel(run)
    return await gateway.runs.see(run, client)


@router.get(
    "/videos",
    tags=["Videos"],
    responses=REFUSALS | NEXT,
    dependencies=[Depends(refuse_unknown_filters)],
)
def videos(
    request: Request,
    response: Response,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    campaign: Campaign = "",
    text: Text = "",
    since: Since = None,
    until: Until = None,
    starred: Annotated[bool, Query(description="Only those with a star.")] = False,
    order: Annotated[Order, Query(description="Which come first.")] = "newest",
    cursor: Annotated[str, Query(max_length=300, description="From a Link header.")] = "",
) -> list[VideoView]:
    """Published videos, the newest first."""
    wanted = VideoFilter(campaign, text, since, until, starred)
    found = page_of(request, limit, wanted, cursor, oldest_first=order == "oldest")
    if found.next:
        response.headers["Link"] = next_link(request, found.next.as_cursor())
    return list(found.videos)


def page_of(
    request: Request, limit: int, wanted: VideoFilter, cursor: str, *, oldest_first: bool = False
) -> Page:
    """A page of the index. Raises ProblemError 422 on a cursor that is none of ours."""
    index = gateway_of(request).videos.index
    try:
        return index.page(limit, wanted, cursor, oldest_first=oldest_first)
    except ValueError as error:
        raise ProblemError(422, "invalid", str(error)) from error


@router.api_route(
    "/videos/{name}",
    methods=["GET", "HEAD"],
    tags=["Videos"],
    response_class=Response,
    responses=REFUSALS
    | {206: {"description": "A part of the file."}, 502: {"model": ProblemAnswer}},
)
async def video(
    request: Request,
    name: str,
    client: Reader,
    range: Range = "",
    if_none_match: Annotated[str, Header(max_length=200)] = "",
    download: Annotated[
        bool, Query(description="1: a browser saves the file and does not show it.")
    ] = False,
) -> Response:
    """A video (`….mp4`) or picture (`….png`, `….webp`), its poster (`….jpg`), contact sheet
    (`…-contact.jpg`), manifest (`….json`). Content-Disposition has a readable file name. Ranges
    are served, so players can seek. A film that waits for approval is there for who may approve it
    only, and for managers."""
    part = await _find(gateway_of(request), client, name, range)
    return await send_part(request, part, if_none_match, name, download=download)


async def send_part(
    request: Request,
    part: Part,
    if_none_match: str,
    name: str,
    *,
    download: bool = False,
    title: str = "",
) -> Response:
    """The response with a part of the file `name`, after all of the file was verified. A browser
    saves it under its `title`, or the words of its brief. Raises ProblemError 502 if it is damaged.
    """
    gateway = gateway_of(request)
    view = await run_in_threadpool(gateway.videos.index.find, content_id_of(name))
    words = title or (view.prompt if view else "")
    tag = f'"{part.found.sha256}"'
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(readable_name(words, name), attachment=download),
    }
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    await gateway.videos.verify(part.found)
    headers["Content-Length"] = str(part.length)
    if not part.is_all:
        headers["Content-Range"] = f"bytes {part.start}-{part.end}/{part.found.size}"
    status, kind = (200 if part.is_all else 206), part.found.content_type
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    blocks = await gateway.work.stream(gateway.videos.stream(part))
    return StreamingResponse(blocks, status, headers, kind)


async def _find(gateway: Gateway, client: Client, name: str, range: str) -> Part:
    """Also of a film without a manifest, if `client` may see it. Raises ProblemError 404, 416."""
    find, managing = gateway.videos.part, sees_all(client)
    try:
        return await gateway.work.run(partial(find, unpublished=managing), name, range)
    except ProblemError as problem:
        if problem.status != 404 or managing or "approve" not in client.scopes:
            raise
        if not await gateway.runs.asks_about(content_id_of(name), client):
            raise
    return await gateway.work.run(partial(find, unpublished=True), name, range)


@router.delete("/videos/{name}", tags=["Videos"], responses=REFUSALS)
async def delete(request: Request, name: str, client: Deleter) -> Deleted:
    """Delete a video at once and for ever; `POST /videos/{cid}/trash` can be taken back. The chunks
    that it was made of stay for a while, so that a rerun is quick. If it broke off, it can be
    repeated.

    Without the scope `manage` a client deletes what it alone asked for, and not while a run of
    somebody else makes the same video or waits for an answer about it (409 `in_use`). With `manage`
    that run fails when it comes to publish the video."""
    gateway = gateway_of(request)
    await require_delete_for_ever(gateway, client, name)
    ages, library = ages_of(gateway.settings.retention), gateway.library
    kept = await gateway.work.run(gateway.videos.delete, name, ages, library)
    gateway.runs.forget()
    return Deleted(
        kept=[
            KeptPart(
                kind=item.kind,
                objects=item.objects,
                bytes=item.size,
                shared=item.shared,
                until=item.until,
            )
            for item in kept
        ]
    )
