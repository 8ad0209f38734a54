"""The Wan service's contract: `/generate/…`, so that its clients keep working."""

import re
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from infra.apps.gateway.access import Maker, gateway_of
from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import tags_of
from infra.apps.gateway.problems import ProblemAnswer, ProblemError
from infra.apps.gateway.starting import start_run
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.views import RunView
from pipelines.planning.plan import timeline
from pipelines.routing.tasks import DEFAULT_TASKS, STANDS_IN, WAN_TASKS, Kind, WanTask
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest
from pipelines.schema.parsing import parse_brief
from pipelines.schema.plan import digest_of
from pipelines.schema.presets import FPS, PRESETS, SIZES, is_chunk_length
from pipelines.schema.shots import MAX_PROMPT, MAX_SEED

router = APIRouter(prefix="/generate", tags=["Wan service"])
_SIZE = re.compile(r"\d{2,4}\*\d{2,4}\Z")
_HIGH = 0.6
"""Megapixels from which a size belongs to the preset `video_high`."""


class Generate(BaseModel):
    """A request as the Wan service takes it. What it does not know is ignored."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "task": "t2v-1.3B",
                    "prompt": "a red ball moves to the right over a dark blue background",
                    "size": "832*480",
                    "frame_num": 33,
                    "sample_steps": 25,
                    "sample_guide_scale": 6.0,
                    "base_seed": 42,
                }
            ]
        },
    )

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    task: str = Field("", max_length=40, description=f"One of {', '.join(WAN_TASKS)}.")
    size: str = Field("832*480", max_length=9, description=f"One of {', '.join(SIZES)}.")
    frame_num: int = Field(33, ge=1, le=9600, description="Frames of the video, 16 a second.")
    sample_steps: int = Field(25, ge=1, le=100)
    sample_guide_scale: float = Field(6.0, ge=0, le=20)
    base_seed: int = Field(-1, ge=-1, le=MAX_SEED, description="-1 derives it from the prompt.")


class GenerateImage(Generate):
    """The same, from a picture."""

    image_path: str = Field(
        "", max_length=300, description="`uploads/….png`, as `POST /uploads` answers it."
    )


class Generated(BaseModel):
    """A finished video."""

    video_path: str = Field(description="Its address on this gateway.")
    video_url: str
    run: str
    watch: str
    model: str
    stands_in_for: str = Field("", description="The model that was asked for, if not the same.")
    note: str = ""


class Accepted(BaseModel):
    """A video that is being made."""

    run: str
    run_url: str
    state: str
    model: str
    stands_in_for: str = ""


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
async def animation(request: Request, body: GenerateImage, client: Maker) -> Any:
    """Animate a figure: no model for it can be installed yet."""
    return await _generate(request, "animation", body, client, "", "")


async def _generate(
    request: Request, kind: Kind, body: Generate, client: Client, prefer: str, key: str
) -> Any:
    gateway = gateway_of(request)
    task = _task(kind, body.task)
    brief = brief_of(body, task, _model_set(gateway, task))
    timeline(brief)  # what cannot be planned is refused before it starts
    if brief.picture and await gateway.work.run(gateway.store.head, brief.picture) is None:
        raise ProblemError(422, "invalid", f"{brief.picture} was not uploaded; POST /uploads first")
    key = digest_of(["api", client.id, key or body.model_dump(mode="json"), kind])[:40]
    run = await start_run(gateway, brief, f"api-{key}", tags_of(client))
    if "respond-async" in prefer:
        view = await gateway.runs.see(run, client)
    else:
        view = await gateway.runs.finish(run, client, gateway.settings.gateway.wait_seconds)
    return await _answer(gateway, run, view)


async def _answer(gateway: Gateway, run: UUID, view: RunView) -> Any:
    where = f"/runs/{run}"
    if view.state == "completed" and not view.video_path:
        raise ProblemError(503, "unavailable", view.detail, run=where, headers={"Retry-After": "5"})
    if view.state == "completed":
        cid = Digest(view.video_path.removeprefix("/videos/").removesuffix(".mp4"))
        manifest = await gateway.work.run(gateway.videos.manifest, cid)
        model = (
            next((m.name for m in manifest.models if m.role != "writer"), "") if manifest else ""
        )
        note = ""
        if view.stands_in_for:
            note = f"{model} of the demo set stands in for {view.stands_in_for}, at its own size"
        return Generated(
            video_path=view.video_path,
            video_url=gateway.address(view.video_path),
            run=where,
            watch=gateway.address(view.watch),
            model=model,
            stands_in_for=view.stands_in_for,
            note=note,
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
    )
    return JSONResponse(
        body.model_dump(), 202, headers={"Location": where, "Preference-Applied": "respond-async"}
    )


def _task(kind: Kind, name: str) -> WanTask:
    task = WAN_TASKS.get(name or DEFAULT_TASKS[kind])
    if task is None or task.kind != kind:
        names = ", ".join(item.name for item in WAN_TASKS.values() if item.kind == kind)
        raise ProblemError(
            422, "unknown_task", f"task {name!r} is none of {kind}; choose of {names}"
        )
    return task


def _model_set(gateway: Gateway, task: WanTask) -> str:
    """Raises ProblemError 409 if no model set may answer."""
    installed = gateway.installed()
    if task.served and "studio" in installed:
        return "studio"
    if task.kind in STANDS_IN and "demo" in installed and gateway.settings.gateway.stand_in:
        return "demo"
    remedy = (
        "run: reelwright models download studio"
        if task.served
        else "Reelwright cannot run it yet; t2v-1.3B is what it can be given"
    )
    raise ProblemError(
        409, "model_not_installed", f"{task.name} needs {task.model}, which is not here: {remedy}"
    )


def brief_of(body: Generate, task: WanTask, model_set: str) -> Brief:
    """The brief of a request; the demo set makes it at its own size, steps and guidance.

    Raises BriefError, or ProblemError 422 for a size that is no size.
    """
    if not _SIZE.match(body.size) or body.size not in SIZES:
        raise ProblemError(
            422, "invalid", f"size {body.size!r} is not offered; choose one of {', '.join(SIZES)}"
        )
    values: dict[str, Any] = {
        "prompt": body.prompt,
        "seed": body.base_seed,
        "enhance": False,
        "kind": "image" if body.frame_num == 1 else "video",
        "seconds": max(body.frame_num, 4) / FPS,
    }
    if model_set == "demo":
        preset = "demo"
        values |= {"stands_in_for": task.model, "joins": "continue"}
    else:
        width, height = map(int, body.size.split("*"))
        preset = "video_high" if width * height / 1e6 > _HIGH else "video_fast"
        values |= {
            "size": body.size,
            "steps": body.sample_steps,
            "guidance": body.sample_guide_scale,
        }
    if is_chunk_length(body.frame_num) and 9 <= body.frame_num <= _longest(preset, model_set):
        values["frames"] = body.frame_num
    if body.frame_num == 1:
        values.pop("joins", None)
    if isinstance(body, GenerateImage):
        if not body.image_path:
            raise ProblemError(422, "invalid", "image_path is empty; POST /uploads answers one")
        values["image"] = body.image_path
    return parse_brief(values | {"preset": preset})


def _longest(preset: str, model_set: str) -> int:
    """Frames that one chunk may have: the demo model knows no more than its own."""
    return PRESETS[preset].frames if model_set == "demo" else 77
