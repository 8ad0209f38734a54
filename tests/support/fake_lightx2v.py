"""A FAKE of a LightX2V server. No machine of ours can run one.

What it takes, answers and refuses is read in ModelTC/LightX2V at f8aee98b5462: lightx2v/server/
api/tasks/video.py, api/tasks/common.py, schema.py, task_manager.py, services/generation/base.py.
A task comes one step further with each question about it.
"""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size
from tests.support.pictures import moving_frames, write_clip
from tests.support.serving import serving


class Task(BaseModel):
    """The fields of `VideoTaskRequest` that concern a clip; others are ignored there, too."""

    task_id: str
    prompt: str = ""
    negative_prompt: str = ""
    image_path: str = ""
    last_frame_path: str = ""
    save_result_path: str = ""
    infer_steps: int = 5
    seed: int = 42
    target_shape: list[int] = Field(default_factory=list)
    target_video_length: int = 81
    target_fps: int | None = 16


@dataclass
class FakeLightX2V:
    """One server, and how it misbehaves."""

    tool: Ffmpeg
    folder: Path
    most: int = 10
    """Tasks that its queue holds."""
    outcomes: list[str] = field(default_factory=list)
    """What becomes of the next tasks: `ok`, `failed` or `endless`."""
    lose: int = 0
    """How many of the next answers are lost in a proxy, after the task was started."""
    steps: int = 2
    sent: list[Task] = field(default_factory=list)
    status: dict[str, str] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def restart(self) -> None:
        """All tasks are forgotten."""
        self.status.clear()
        self.looks.clear()

    @property
    def active(self) -> int:
        return sum(state in ("pending", "processing") for state in self.status.values())

    def start(self, task: Task) -> Response:
        if task.task_id in self.status:
            return _error(503, f"Task ID {task.task_id} already exists")
        if self.active >= self.most:
            return _error(503, f"Task queue is full (max {self.most} tasks)")
        self.status[task.task_id] = "pending"
        self.ends[task.task_id] = self.outcomes.pop(0) if self.outcomes else "ok"
        self.sent.append(task)
        if self.lose:
            self.lose -= 1
            return Response("bad gateway", 502)
        body = {"task_id": task.task_id, "task_status": "pending", "save_result_path": task.task_id}
        return JSONResponse(body)

    def look(self, name: str) -> dict[str, Any]:
        if self.status[name] in ("pending", "processing"):
            self.looks[name] = self.looks.get(name, 0) + 1
            self.status[name] = "processing"
            if self.looks[name] >= self.steps and self.ends[name] != "endless":
                self.status[name] = "failed" if self.ends[name] == "failed" else "completed"
        failed = self.status[name] == "failed"
        cancelled = self.status[name] == "cancelled"
        return {
            "task_id": name,
            "status": self.status[name],
            "start_time": "2026-11-27T12:00:00",
            "end_time": None,
            "error": "CUDA out of memory" if failed else "Task cancelled by user" * cancelled,
            "error_type": "OutOfMemoryError" if failed else "",
            "save_result_path": name,
        }

    def clip(self, name: str) -> bytes:
        task = next(item for item in self.sent if item.task_id == name)
        height, width = task.target_shape or (480, 832)
        size, frames = Size(width, height), task.target_video_length
        path = self.folder / f"{name}.mp4"
        moving = moving_frames(size, frames, seed=task.seed)
        # Its own rate: `target_fps` matters to a server that interpolates only.
        return write_clip(self.tool, path, moving, size, frames, fps=16).read_bytes()


def picture_in(task: Task) -> bytes:
    """The picture of a task, as the server decodes it."""
    assert task.image_path.startswith("data:image/png;base64,")
    return base64.b64decode(task.image_path.partition(",")[2])


def _error(status: int, words: str) -> JSONResponse:
    return JSONResponse({"detail": words}, status)


def _app(fake: FakeLightX2V) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.post("/v1/tasks/video/")
    def create(task: Task) -> Any:
        return fake.start(task)

    @app.get("/v1/tasks/queue/status")
    def queue() -> Any:
        left = fake.most - fake.active
        return {"is_processing": False, "queue_size": fake.most, "queue_available": left}

    @app.get("/v1/tasks/{name}/status")
    def status(name: str) -> Any:
        return fake.look(name) if name in fake.status else _error(404, "Task not found")

    @app.get("/v1/tasks/{name}/result")
    def result(name: str) -> Any:
        if fake.status.get(name) != "completed":
            return _error(404, "Task not completed")
        return Response(fake.clip(name), media_type="video/mp4")

    @app.delete("/v1/tasks/{name}")
    def stop(name: str) -> Any:
        if fake.status.get(name) in ("pending", "processing"):
            fake.status[name] = "cancelled"
            return {"stop_status": "success", "reason": "Task stopped successfully."}
        reason = "Task not found or already completed."
        return {"stop_status": "do_nothing", "reason": reason}

    return app


@contextmanager
def fake_lightx2v(tool: Ffmpeg, folder: Path) -> Iterator[FakeLightX2V]:
    """A server which makes its clips in `folder`."""
    fake = FakeLightX2V(tool, folder)
    with serving(_app(fake)) as url:
        fake.url = url
        yield fake
