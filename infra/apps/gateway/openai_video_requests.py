"""Requests of `/v1/videos`, as JSON or as a form, and the briefs that they become.

The names are those of OpenAI's Videos API, and for what it lacks (frames, rate, seed, steps) those
of the servers that speak it too: SGLang, vLLM-Omni, FastVideo.
"""

import base64
import binascii
import io
import json
import re
from typing import Any, Literal

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from infra.apps.gateway.lengths import chunk_frames
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.routing import preset_for
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.uploads import keep_picture
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definition_of, definitions, presets
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.schema.languages import AS_WRITTEN
from pipelines.schema.limits import MAX_GUIDANCE, MAX_SECONDS, MAX_STEPS, MIN_SECONDS
from pipelines.schema.presets import Preset
from pipelines.schema.shots import MAX_PROMPT, MAX_SEED, PICK
from pipelines.schema.sizes import Size

MAX_BODY = 28_000_000
"""Bytes of a request: a picture of 20 MB in base64, and its words."""
_SECONDS = 4.0
"""OpenAI's default."""
_DATA = re.compile(r"data:image/[a-z+]+;base64,", re.IGNORECASE)


class InputReference(BaseModel):
    """A picture to begin with, in JSON."""

    model_config = ConfigDict(extra="forbid")

    image_url: str = Field(
        "", description="`data:image/png;base64,…`. Nothing is fetched from other addresses."
    )
    file_id: str = Field(
        "", max_length=300, description="`uploads/….png`, as `POST /uploads` answers it."
    )


class VideoRequest(BaseModel):
    """A clip to make. The words are used as they are."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    model: str = Field(
        "", max_length=100, description="A preset or a backend; empty: what a route would take."
    )
    size: str = Field(
        "",
        pattern=r"^(\d{2,5}x\d{2,5})?$",
        description="`832x480`, one of the model's; empty: the preset's.",
    )
    num_frames: int | None = Field(None, ge=1, description="Frames of the clip, exactly.")
    seconds: float | None = Field(
        None, gt=0, le=MAX_SECONDS, description="Its length, if `num_frames` is not given; 4."
    )
    fps: int | None = Field(
        None, ge=1, description="Must be the model's own rate; it can be left out."
    )
    seed: int = Field(PICK, ge=PICK, le=MAX_SEED, description="-1 derives it from the prompt.")
    negative_prompt: str = Field("", max_length=MAX_PROMPT // 2)
    num_inference_steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance_scale: float | None = Field(None, ge=0, le=MAX_GUIDANCE)
    flow_shift: float | None = Field(None, ge=0.1, le=30)
    input_reference: InputReference | None = Field(
        None, description="A picture to begin with; in a form: its file."
    )
    idempotency_key: str = Field(
        "", max_length=200, description="As the header `Idempotency-Key`, for clients without one."
    )


def document() -> dict[str, Any]:
    """The body for the OpenAPI document: the route reads it itself, because it has two shapes."""
    as_json = VideoRequest.model_json_schema()
    reference = as_json.pop("$defs")["InputReference"]
    as_json["properties"]["input_reference"] = {"anyOf": [reference, {"type": "null"}]}
    fields = as_json["properties"] | {"input_reference": {"type": "string", "format": "binary"}}
    form = as_json | {"properties": {name: _plain(field) for name, field in fields.items()}}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": as_json},
                "multipart/form-data": {"schema": form},
            },
        }
    }


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """A field of a form, which has no null."""
    kinds = [kind for kind in field.get("anyOf", []) if kind.get("type") != "null"]
    return (
        {**{k: v for k, v in field.items() if k not in ("anyOf", "default")}, **kinds[0]}
        if (kinds)
        else field
    )


async def read_request(request: Request) -> tuple[VideoRequest, bytes]:
    """The request and the bytes of its picture, if it has one. Raises RequestValidationError, and
    ProblemError 422 for what is neither JSON nor a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=30) as form:
            fields: dict[str, Any] = {name: value for name, value in form.items() if value != ""}
            upload = fields.pop("input_reference", None)
            if isinstance(upload, str):
                fields["input_reference"] = _json_in(upload.encode())
            picture = await upload.read() if isinstance(upload, UploadFile) else b""
            return _validated(fields), picture
    if kind != "application/json":
        raise ProblemError(422, "invalid", "send JSON, or a form as multipart/form-data")
    body = _validated(_json_in(await request.body()))
    reference = body.input_reference
    return body, _decoded(reference.image_url) if reference and reference.image_url else b""


def _json_in(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise ProblemError(422, "invalid", f"the body is no JSON: {error}") from error


def _validated(values: Any) -> VideoRequest:
    try:
        return VideoRequest.model_validate(values)
    except ValidationError as error:
        # A file's bytes must not come back in an answer.
        found = [
            item | {"loc": ("body", *item["loc"])} for item in error.errors(include_input=False)
        ]
        raise RequestValidationError(found) from error


def _decoded(address: str) -> bytes:
    """Raises ProblemError 422 if it is no data address."""
    head = _DATA.match(address)
    try:
        if head is None:
            raise ValueError("it does not begin with data:image/…;base64,")
        return base64.b64decode(address[head.end() :], validate=True)
    except (ValueError, binascii.Error) as error:
        raise ProblemError(
            422,
            "invalid",
            f"input_reference.image_url cannot be read ({error}); nothing is fetched from other "
            "addresses: send the picture itself",
        ) from error


async def brief_of(gateway: Gateway, body: VideoRequest, picture: bytes) -> Brief:
    """The brief of a request; keeps its picture as an upload.

    Raises BriefError, and ProblemError 409 if the model is not installed, 422 for a value that the
    model does not allow.
    """
    size = Size.parse(body.size.replace("x", "*")) if body.size else None
    if body.model:
        preset = _preset_of(gateway, body, size)
    else:
        begins = bool(picture or body.input_reference)
        preset = await run_in_threadpool(preset_for, gateway, body.prompt, begins=begins)
    backend = definition_of(preset)
    values = _values(body, preset, backend, size)
    image = body.input_reference.file_id if body.input_reference else ""
    if picture:
        kept = await gateway.work.run(keep_picture, gateway.store, io.BytesIO(picture))
        image = kept.image_path
    brief = parse_brief(values | ({"image": image} if image else {}))
    for upload in brief.uploads:
        if await gateway.work.run(gateway.store.head, upload) is None:
            raise ProblemError(422, "invalid", f"{upload} was not uploaded; POST /uploads first")
    return brief


def _preset_of(gateway: Gateway, body: VideoRequest, size: Size | None) -> Preset:
    """The preset that `model` names, or the one of its backend that is nearest in size."""
    known, installed = presets(), gateway.installed()
    if body.model in known:
        found = [known[body.model]]
    else:
        found = list(definitions()[body.model].presets) if body.model in definitions() else []
    found = [item for item in found if not item.is_still]
    if not found:
        names = ", ".join(
            item.name for item in known.values() if not item.is_still and item.backend in installed
        )
        raise ProblemError(
            422,
            "unknown_model",
            f"model {body.model!r} is no preset or backend for videos; choose one of {names}",
        )
    preset = min(found, key=lambda item: _distance(item, size))
    if preset.backend not in installed:
        backend = definition_of(preset)
        raise ProblemError(
            409,
            "model_not_installed",
            f"{backend.title} is not here: run: reelwright models download {backend.models[0]}",
        )
    return preset


def _distance(preset: Preset, size: Size | None) -> float:
    if size is None:
        return 0.0
    return abs(preset.size.scaled(preset.upscale).megapixels - size.megapixels)


def _values(
    body: VideoRequest, preset: Preset, backend: BackendDefinition, size: Size | None
) -> dict[str, Any]:
    """The brief's fields. The shot is one by hand, so that words and seed are used as given."""
    can = backend.capabilities
    if body.fps not in (None, can.fps):
        raise ProblemError(
            422,
            "invalid",
            f"fps {body.fps} is not what {backend.title} makes; ask for {can.fps}, or leave it out",
        )
    frames = body.num_frames or round((body.seconds or _SECONDS) * can.fps)
    _check_frames(frames, can.fps)
    continues = "continuation" in can.inputs
    chunk = chunk_frames(frames, preset, backend, continues=False)
    values: dict[str, Any] = {
        "prompt": body.prompt,
        "preset": preset.name,
        "seconds": frames / can.fps,
        "seed": body.seed,
        "negative": body.negative_prompt,
        "enhance": False,
        "language": AS_WRITTEN,  # as the service that this one is like
        "storyboard": [{"prompt": body.prompt, "seed": body.seed}],
        "size": _made_at(preset, backend, size),
        "steps": body.num_inference_steps,
        "guidance": body.guidance_scale,
        "flow_shift": body.flow_shift,
        "frames": chunk,
        "joins": "continue" if continues and chunk is None else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _check_frames(frames: int, fps: int) -> None:
    """Raises ProblemError 422 for a length that a brief cannot have."""
    least, most = -int(-MIN_SECONDS * fps // 1), int(MAX_SECONDS * fps)
    if not least <= frames <= most:
        raise ProblemError(
            422,
            "invalid",
            f"{frames} frames at {fps} a second are outside {least} to {most}; choose a number in "
            "that range",
        )


def _made_at(
    preset: Preset, backend: BackendDefinition, size: Size | None
) -> str | Literal["preset"]:
    """The brief's size for a clip of `size`: the preset may enlarge its pictures."""
    if size is None or size == preset.size.scaled(preset.upscale):
        return "preset"
    offered = {item.scaled(preset.upscale): item for item in backend.capabilities.sizes}
    if size in offered:
        return str(offered[size])
    names = ", ".join(f"{item.width}x{item.height}" for item in offered)
    raise ProblemError(
        422,
        "invalid",
        f"size {size.width}x{size.height} is not offered by {backend.title}; choose one of {names}",
    )
