"""A FAKE of three servers that speak `/v1/videos`: SGLang, vLLM-Omni, FastVideo. No machine of ours
can run one.

What it takes, answers and refuses is read in their sources:

SGLang     sgl-project/sglang, python/sglang/multimodal_gen/runtime/entrypoints/openai/
           video_api.py at 00ae37c817a8 and in a later version of 2026 (forms with all fields,
           content by status, addresses of cloud storage), protocol.py at 020befb61e9e
FastVideo  hao-ai-lab/FastVideo, fastvideo/entrypoints/openai/{video_api,protocol}.py at
           2f3d4074064e
vLLM-Omni  vllm-project/vllm-omni, vllm_omni/entrypoints/openai/protocol/videos.py at 48e60262553e,
           docs/serving/videos_api.md at b82abf662ab0, api_server.py of the same months

All keep their jobs in memory. A job comes one step further with each question about it.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size
from tests.support.pictures import moving_frames, write_clip
from tests.support.serving import serving

_COMMON = {
    *("prompt", "model", "seconds", "size", "fps", "num_frames", "seed", "negative_prompt"),
    *("num_inference_steps", "guidance_scale"),
}
_JSON = {
    "sglang": _COMMON | {"input_reference", "reference_url", "guidance_scale_2", "flow_shift"},
    "fastvideo": _COMMON | {"input_reference", "reference_url", "guidance_scale_2", "output_path"},
}
_FORM = {
    "sglang": _COMMON | {"reference_url", "guidance_scale_2", "flow_shift", "extra_body"},
    "fastvideo": _COMMON | {"reference_url", "extra_body"},
    "vllm-omni": _COMMON
    | {"image_reference", "width", "height", "guidance_scale_2", "flow_shift", "generate_sound"},
}
"""What each one reads; everything else is dropped without a word."""
_WHOLE = {"seconds", "fps", "num_frames", "seed", "num_inference_steps"}


@dataclass
class Sent:
    """One request that started a job."""

    fields: dict[str, Any]
    form: bool
    picture: bytes = b""


@dataclass
class _Job:
    id: str
    sent: Sent
    outcome: str
    looks: int = 0
    status: str = "queued"


@dataclass
class FakeVideos:
    """One server, and how it misbehaves."""

    dialect: str
    tool: Ffmpeg
    folder: Path
    key: str = ""
    """If it is set, requests need it."""
    outcomes: list[str] = field(default_factory=list)
    """What becomes of the next jobs; `ok` if the list is empty.

    `failed`   it fails
    `blocked`  it fails with OpenAI's code for content
    `short`    the clip lacks a frame
    `wide`     the clip is wider
    `cut`      the first download lacks its second half
    `endless`  it never ends
    `cloud`    SGLang with cloud storage: the clip is somewhere else"""
    refuse: list[tuple[int, str]] = field(default_factory=list)
    """Status and words of the answers to the next requests for a job, which start none."""
    lose: int = 0
    """How many of the next answers are lost in a proxy, after the job was started."""
    steps: int = 2
    """Questions until a job is completed."""
    sent: list[Sent] = field(default_factory=list)
    """All requests that started a job, also those of before a restart."""
    jobs: dict[str, _Job] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    early: int = 0
    """Requests for the content of a job that was not done."""
    downloads: int = 0
    url: str = ""

    def restart(self) -> None:
        """All jobs are forgotten."""
        self.jobs.clear()

    def error(self, status: int, words: str) -> JSONResponse:
        """vLLM-Omni's server wraps errors; the others answer as FastAPI does."""
        if self.dialect == "vllm-omni":
            body: Any = {"error": {"message": words, "type": "BadRequestError", "code": status}}
        else:
            body = {"detail": words}
        return JSONResponse(body, status)

    def start(self, sent: Sent) -> Response:
        job = _Job(uuid.uuid4().hex, sent, self.outcomes.pop(0) if self.outcomes else "ok")
        self.jobs[job.id] = job
        self.sent.append(sent)
        if self.lose:
            self.lose -= 1
            return Response("bad gateway", 502)
        return JSONResponse(self.shown(job))

    def look(self, job: _Job) -> None:
        job.looks += 1
        if job.looks >= self.steps and job.outcome != "endless":
            job.status = "failed" if job.outcome in ("failed", "blocked") else "completed"
        elif self.dialect == "vllm-omni":
            job.status = "in_progress"  # the others stay queued until the end

    def shown(self, job: _Job) -> dict[str, Any]:
        values = job.sent.fields
        frames, fps = values["num_frames"], values["fps"]
        body: dict[str, Any] = {
            "id": job.id,
            "object": "video",
            "model": values.get("model") or "model",
            "status": job.status,
            "progress": 100 if job.status == "completed" else 0,
            "created_at": int(time.time()),
            "size": values.get("size") or "",
            "seconds": str(max(1, round(frames / fps))),  # rounded, as all three do
            "quality": "standard",
        }
        if job.status == "completed":
            body |= {"completed_at": int(time.time()), "inference_time_s": 1.5}
            if job.outcome == "cloud":
                body["url"] = f"https://bucket.example/{job.id}.mp4"
        if job.status == "failed":
            code = "moderation_blocked" if job.outcome == "blocked" else "RuntimeError"
            words = {"message": f"the model failed on {job.id}"}
            coded = self.dialect == "vllm-omni" or job.outcome == "blocked"
            body["error"] = words | ({"code": code} if coded else {})
        if self.dialect == "vllm-omni":
            body |= {"prompt": values["prompt"], "quality": "default", "media_type": "video/mp4"}
        return body

    def clip(self, job: _Job) -> bytes:
        """The same request gives the same frames."""
        values = job.sent.fields
        width, height = map(int, values["size"].split("x"))
        size = Size(width + 16 if job.outcome == "wide" else width, height)
        frames = values["num_frames"] - (job.outcome == "short")
        path = self.folder / f"{job.id}.mp4"
        moving = moving_frames(size, frames, seed=values["seed"] or 0)
        write_clip(self.tool, path, moving, size, frames, fps=values["fps"])
        data = path.read_bytes()
        self.downloads += 1
        return data[: len(data) // 2] if job.outcome == "cut" and self.downloads == 1 else data


def _as_read(dialect: str, values: dict[str, Any], *, form: bool) -> dict[str, Any]:
    """The fields that the server reads, with its defaults."""
    known = (_FORM if form else _JSON)[dialect]
    found = {name: value for name, value in values.items() if name in known}
    for name in _WHOLE & set(found):
        found[name] = int(found[name])
    found.setdefault("fps", 24)
    found.setdefault("seed", None if dialect == "vllm-omni" else 1024)
    found.setdefault("num_frames", found["fps"] * found.get("seconds", 4))
    return found


def _app(fake: FakeVideos) -> FastAPI:
    app = FastAPI(openapi_url=None)
    _add_create(app, fake)
    _add_jobs(app, fake)
    _add_content(app, fake)
    return app


def _add_create(app: FastAPI, fake: FakeVideos) -> None:
    @app.middleware("http")
    async def with_key(request: Request, call_next: Any) -> Response:
        if fake.key and request.headers.get("authorization") != f"Bearer {fake.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        answer: Response = await call_next(request)
        return answer

    @app.post("/v1/videos")
    async def create(request: Request) -> Response:
        form = request.headers.get("content-type", "").startswith("multipart/form-data")
        if form:
            values = dict(await request.form())
            upload = values.pop("input_reference", None)
            picture = await upload.read() if isinstance(upload, UploadFile) else b""
        elif fake.dialect == "vllm-omni":
            return fake.error(422, "prompt: Field required")
        else:
            values, picture = await request.json(), b""
        if fake.refuse:
            return fake.error(*fake.refuse.pop(0))
        if not values.get("prompt"):
            return fake.error(400, "prompt is required")
        return fake.start(Sent(_as_read(fake.dialect, values, form=form), form, picture))


def _add_jobs(app: FastAPI, fake: FakeVideos) -> None:
    @app.get("/v1/videos")
    def listing(limit: int = 20) -> Any:
        return {"object": "list", "data": [fake.shown(j) for j in fake.jobs.values()][:limit]}

    @app.get("/v1/videos/{name}")
    def one(name: str) -> Any:
        if name not in fake.jobs:
            return fake.error(404, "Video not found")
        fake.look(fake.jobs[name])
        return fake.shown(fake.jobs[name])

    @app.delete("/v1/videos/{name}")
    def delete(name: str) -> Any:
        job = fake.jobs.pop(name, None)
        if job is None:
            return fake.error(404, "Video not found")
        fake.deleted.append(name)
        if fake.dialect == "vllm-omni":
            return {"id": name, "deleted": True, "object": "video.deleted"}
        job.status = "deleted"
        return fake.shown(job)


def _add_content(app: FastAPI, fake: FakeVideos) -> None:
    @app.get("/v1/videos/{name}/content")
    def content(name: str) -> Any:
        job = fake.jobs.get(name)
        if job is None:
            return fake.error(404, "Video not found")
        if job.status == "failed":
            status = {"vllm-omni": 422, "fastvideo": 500, "sglang": 404}[fake.dialect]
            return fake.error(status, "Video generation failed")
        if job.status != "completed":
            fake.early += 1
            if fake.dialect == "fastvideo":  # it sends a file that is still being written
                return Response(fake.clip(job)[:100], media_type="video/mp4")
            return fake.error(404, "Generation is still in-progress")
        if job.outcome == "cloud":
            return fake.error(400, "Video has been uploaded to cloud storage")
        return Response(fake.clip(job), media_type="video/mp4")


@contextmanager
def fake_videos(dialect: str, tool: Ffmpeg, folder: Path) -> Iterator[FakeVideos]:
    """A server of that dialect, which makes its clips in `folder`."""
    fake = FakeVideos(dialect, tool, folder)
    with serving(_app(fake)) as url:
        fake.url = url
        yield fake
