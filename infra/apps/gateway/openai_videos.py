"""`/v1/videos`: OpenAI's Videos API, as self-hosted servers speak it.

So one Reelwright is a backend of another, and programs for that API can use a studio.
"""

from functools import partial
from typing import Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Header, Query, Request, Response

from infra.apps.gateway.access import Maker, Reader, gateway_of
from infra.apps.gateway.api import Range, send_part
from infra.apps.gateway.openai_video_requests import brief_of, document, read_request
from infra.apps.gateway.openai_video_views import VideoDeleted, VideoJob, VideoPage
from infra.apps.gateway.problems import REFUSALS, ProblemAnswer
from infra.apps.gateway.submission import require_free_space
from pipelines.planning.plan import timeline

router = APIRouter(prefix="/v1/videos", tags=["Videos API"])
Variant = Literal["video", "thumbnail", "spritesheet"]
_FILES: dict[Variant, str] = {"video": ".mp4", "thumbnail": ".jpg", "spritesheet": "-contact.jpg"}


@router.post("", responses=REFUSALS, openapi_extra=document())
async def create(
    request: Request,
    client: Maker,
    idempotency_key: Annotated[
        str, Header(max_length=200, description="The same key and request give the same clip.")
    ] = "",
) -> VideoJob:
    """Start a clip of exactly the frames and the size that are asked for. The words and the seed
    are used as given. Takes JSON, or a form with the file of a picture to begin with."""
    gateway = gateway_of(request)
    require_free_space(gateway)
    body, picture = await read_request(request)
    brief = await brief_of(gateway, body, picture)
    timeline(brief)
    key = idempotency_key or body.idempotency_key or uuid4().hex
    return await gateway.jobs.start(brief, client, key)


@router.get("", responses=REFUSALS)
async def listing(
    request: Request,
    client: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[UUID | None, Query(description="`last_id` of the page before.")] = None,
    order: Literal["asc", "desc"] = "desc",
    idempotency_key: Annotated[
        str, Query(max_length=200, description="The clip that was asked for with this key.")
    ] = "",
) -> VideoPage:
    """The clips that this key started; with the scope `manage`, everybody's."""
    return await gateway_of(request).jobs.page(
        client, limit, after, oldest_first=order == "asc", key=idempotency_key
    )


@router.get("/{video}", responses=REFUSALS)
async def one(request: Request, video: UUID, client: Reader) -> VideoJob:
    """How a clip is."""
    return await gateway_of(request).jobs.see(video, client)


@router.get(
    "/{video}/content",
    response_class=Response,
    responses=REFUSALS
    | {
        200: {"content": {"video/mp4": {}, "image/jpeg": {}}},
        206: {"description": "A part of the file."},
        502: {"model": ProblemAnswer},
    },
)
async def content(
    request: Request,
    video: UUID,
    client: Reader,
    variant: Variant = "video",
    range: Range = "",
    if_none_match: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """The file of a clip that is completed, its poster or its contact sheet; 404 until then."""
    gateway = gateway_of(request)
    path = await gateway.jobs.video_path(video, client)
    name = path.removeprefix("/videos/").removesuffix(".mp4") + _FILES[variant]
    find = partial(gateway.videos.part, unpublished=False)
    part = await gateway.work.run(find, name, range)
    return await send_part(request, part, if_none_match, name)


@router.delete("/{video}", responses=REFUSALS)
async def delete(request: Request, video: UUID, client: Maker) -> VideoDeleted:
    """Stop a clip that is being made, and forget it. What was published stays in the gallery."""
    await gateway_of(request).jobs.delete(video, client)
    return VideoDeleted(id=str(video))
