"""The kind `lightx2v`: a server of LightX2V.

Read in its `lightx2v/server` (api/tasks/video.py, api/tasks/common.py, schema.py, task_manager.py).
Clients choose the id of a task, so that one whose answer was lost is found. Of the request the
server passes on only what is set: steps that are left out are its own.

A picture comes as base64. `last_frame_path` is taken as a path on the server (base64 is not decoded
there), and the form that takes a file for it takes neither size nor id: so a last frame is refused.
`target_shape` sets the size of clips from text; one from a picture has the size that the server
derives from the picture's shape and its own `resolution`: state exactly that in the entry.
`target_fps` only matters to a server that interpolates frames; sent as our rate, it adds none.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.backends.base import InputMedia
from pipelines.backends.remote.access import Connection
from pipelines.backends.remote.kind import Kind, Offer
from pipelines.backends.remote.service import JobState, JobStatus
from pipelines.backends.remote.videos.answers import (
    MOST_BYTES,
    body_of,
    check,
    record,
    started,
)
from pipelines.backends.remote.videos.config import LightX2VConfig
from pipelines.backends.remote.videos.free import FreeService
from pipelines.backends.remote.videos.offers import offer_of
from pipelines.backends.remote.videos.options import StepOptions, options_in
from pipelines.backends.remote.videos.pictures import first_picture
from pipelines.backends.remote.words import words_of
from pipelines.errors import ReelwrightError, UnavailableError
from pipelines.schema.availability import Availability
from pipelines.schema.request import ClipRequest

_STATES: Mapping[str, JobState] = {
    "pending": "queued",
    "processing": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "failed",
}
_TAKEN = "already exists"
"""Of the message for an id that a task has. It is the only sign: the status is that of a full
queue."""


class LightX2VService(FreeService):
    """One server."""

    finds = True

    def __init__(self, config: LightX2VConfig, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._title = config.title or config.name

    def availability(self) -> Availability:
        """Whether its queue has room."""
        try:
            reply = self._connection.send("GET", "/v1/tasks/queue/status")
            check(reply, self._title)
            room = record(reply, self._title).get("queue_available")
        except ReelwrightError as error:
            return Availability(available=False, reason=str(error))
        if not isinstance(room, int):
            return Availability(
                available=False, reason=f"{self._title} does not answer as LightX2V does"
            )
        if room <= 0:
            return Availability(
                available=False, reason=f"the queue of {self._title} is full; wait until it is not"
            )
        return Availability(available=True)

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        """As `RemoteService.submit`; the task gets `key` as its id."""
        body: dict[str, Any] = {
            "task_id": key,
            "prompt": request.prompt,
            "negative_prompt": request.negative,
            "seed": request.seed,
            "target_video_length": request.frames,
            "target_fps": request.fps,
            "target_shape": [request.size.height, request.size.width],
        }
        steps = options_in(request, StepOptions, self._title).steps
        if steps is not None:
            body["infer_steps"] = steps
        if picture := first_picture(request, media):
            body["image_path"] = f"data:image/png;base64,{b64encode(picture).decode()}"
        reply = self._connection.send("POST", "/v1/tasks/video/", json=body)
        if reply.status == 503 and _TAKEN in words_of(body_of(reply)):
            return key
        check(reply, self._title)
        return started(reply, "task_id", self._title)

    def find(self, key: str) -> str | None:
        """Looks for the task that has our key as its id."""
        return None if self.look(key).state == "gone" else key

    def look(self, operation: str) -> JobStatus:
        """As `RemoteService.look`. The server tells no progress."""
        reply = self._connection.send("GET", f"{_path_of(operation)}/status")
        if reply.status == 404:
            return JobStatus("gone", message=f"{self._title} does not know the task")
        check(reply, self._title)
        task = record(reply, self._title)
        state = _STATES.get(str(task.get("status")))
        if state is None:
            raise UnavailableError(
                f"{self._title} says that a task is {task.get('status')!r:.40}, which this version "
                "does not know"
            )
        return JobStatus(
            state, progress=1.0 if state == "done" else 0.0, message=words_of(task.get("error"))
        )

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        """As `RemoteService.fetch`."""
        del status
        self._connection.download(f"{_path_of(operation)}/result", path, limit=MOST_BYTES)

    def cancel(self, operation: str) -> None:
        """The server ends the task after its present step."""
        try:
            self._connection.send("DELETE", _path_of(operation))
        except ReelwrightError:
            return

    def check(self, requests: Sequence[ClipRequest]) -> None:
        """Raises BriefError for an option that it does not have."""
        for request in requests:
            options_in(request, StepOptions, self._title)


def _path_of(operation: str) -> str:
    return f"/v1/tasks/{quote(operation, safe='')}"


def _offer(config: LightX2VConfig) -> Offer:
    return offer_of(config, StepOptions(steps=config.steps))


KIND = Kind("lightx2v", LightX2VConfig, _offer, LightX2VService)
