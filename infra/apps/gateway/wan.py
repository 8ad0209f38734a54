"""The Wan service's contract: `/generate/…`, so that its clients keep working."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from infra.apps.gateway.access import Maker, gateway_of
from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import tags_of
from infra.apps.gateway.problems import ProblemAnswer, ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.submission import start_run
from infra.apps.gateway.videos import content_id_of
from infra.apps.gateway.views import RunView
from infra.apps.gateway.wan_notes import notes_of, warnings_of
from infra.apps.gateway.wan_requests import (
    Generate,
    GenerateAnimation,
    GenerateImage,
    backend_for,
    brief_of,
    task_of,
)
from pipelines.backends.wan.service_tasks import Kind
from pipelines.planning.plan import timeline
from pipelines.schema.plan import digest_of

router = APIRouter(prefix="/generate", tags=["Wan service"])


class Generated(BaseModel):
    """A finished video or picture."""

    kind: Literal["video", "image"] = "video"
    video_path: str = Field(
        description="Its address on this gateway: an MP4; for `frame_num: 1` a PNG."
    )
    video_url: str
    run: str
    watch: str
    model: str
    stands_in_for: str = Field("", description="The model that was asked for, if not the same.")
    note: str = Field("", description="What was changed of the request; empty if nothing was.")
    warnings: list[str] = Field(default_factory=list, description="Fields that were ignored.")


class Accepted(BaseModel):
    """A video that is being made."""

    run: str
    run_url: str
    state: str
    model: str
    stands_in_for: str = ""
    note: str = Field("", description="What was changed of the request; empty if nothing was.")
    warnings: list[str] = Field(default_factory=list, description="Fields that were ignored.")


@dataclass(frozen=True)
class _Remarks:
    """What the answer says about its request."""

    note: str
    warnings: list[str]


_ANSWERS: dict[int | str, dict[str, Any]] = {
    202: {"model": Accepted, "description": "It is being made; look at `run`."},
    **{
        code: {"model": ProblemAnswer, "description": words}
        for code, words in {
            401: "No key, or one that is not known.",
            403: "The key may not do that.",
            409: "The model is not installed, or the idempotency key belongs to another request.",
            413: "The body is too large.",
            422: "A value breaks a rule; the message names it.",
            429: "Too many requests.",
            502: "The run failed; the message says why.",
            503: "Prefect or the store does not answer; ask again.",
            507: "The studio's disk is nearly full; nothing was started.",
        }.items()
    },
}
Prefer = Annotated[str, Header(max_length=200, description="`respond-async` for a 202 at once.")]
IdempotencyKey = Annotated[
    str, Header(max_length=200, description="The same key and body give the same run.")
]


@router.post("/text-to-video", response_model=Generated, responses=_ANSWERS)
async def text_to_video(
    request: Request,
    body: Generate,
    client: Maker,
    prefer: Prefer = "",
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """Make a video from words."""
    return await _generate(request, "text-to-video", body, client, prefer, idempotency_key)


@router.post("/image-to-video", response_model=Generated, responses=_ANSWERS)
async def image_to_video(
    request: Request,
    body: GenerateImage,
    client: Maker,
    prefer: Prefer = "",
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """Make a video from an uploaded picture."""
    return await _generate(request, "image-to-video", body, client, prefer, idempotency_key)


@router.post("/speech-to-video", response_model=Generated, responses=_ANSWERS)
async def speech_to_video(request: Request, body: GenerateImage, client: Maker) -> Any:
    """Make a picture speak: no model for it can be installed yet."""
    return await _generate(request, "speech-to-video", body, client, "", "")


@router.post("/animation", response_model=Generated, responses=_ANSWERS)
async def animation(
    request: Request,
    body: GenerateAnimation,
    client: Maker,
    prefer: Prefer = "",
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """Move the figure of a picture as an uploaded motion archive says."""
    return await _generate(request, "animation", body, client, prefer, idempotency_key)


async def _generate(
    request: Request, kind: Kind, body: Generate, client: Client, prefer: str, key: str
) -> Any:
    gateway = gateway_of(request)
    task = task_of(kind, body.task)
    backend = backend_for(gateway, task, kind)
    brief = brief_of(body, task, kind, backend)
    timeline(brief)  # what cannot be planned is refused before it starts
    for upload in brief.uploads:
        if await gateway.work.run(gateway.store.head, upload) is None:
            raise ProblemError(422, "invalid", f"{upload} was not uploaded; POST /uploads first")
    key = digest_of(["api", client.id, key or body.known(), kind])[:40]
    run = await start_run(gateway, brief, f"api-{key}", tags_of(client))
    if "respond-async" in prefer:
        view = await gateway.runs.see(run, client)
    else:
        view = await gateway.runs.finish(run, client, gateway.settings.gateway.wait_seconds)
    remarks = _Remarks(notes_of(body, backend, brief), warnings_of(body))
    return await _answer(gateway, run, view, remarks)


async def _answer(gateway: Gateway, run: UUID, view: RunView, remarks: _Remarks) -> Any:
    where = f"/runs/{run}"
    if view.state == "completed" and not view.video_path:
        raise ProblemError(503, "unavailable", view.detail, run=where, headers={"Retry-After": "5"})
    if view.state == "completed":
        cid = content_id_of(view.video_path.removeprefix("/videos/"))
        manifest = await gateway.work.run(gateway.videos.manifest, cid)
        model = next((m.name for m in manifest.models if m.role == "video"), "") if manifest else ""
        note = remarks.note
        if view.stands_in_for:
            own = f"{model} of the demo set stands in for {view.stands_in_for}, at its own size"
            note = "; ".join(filter(None, (own, note)))
        return Generated(
            kind=view.kind,
            video_path=view.video_path,
            video_url=gateway.address(view.video_path),
            run=where,
            watch=gateway.address(view.watch),
            model=model,
            stands_in_for=view.stands_in_for,
            note=note,
            warnings=remarks.warnings,
        )
    if view.ended:
        raise ProblemError(
            502, f"run_{view.state}", view.detail or f"the run is {view.state}", run=where
        )
    body = Accepted(
        run=where,
        run_url=gateway.address(where),
        state=view.state,
        model=view.model,
        stands_in_for=view.stands_in_for,
        note=remarks.note,
        warnings=remarks.warnings,
    )
    return JSONResponse(
        body.model_dump(), 202, headers={"Location": where, "Preference-Applied": "respond-async"}
    )
