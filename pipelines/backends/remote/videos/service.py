"""The kind `videos`: a server that speaks `/v1/videos`, in one of four dialects.

Read in the servers' own sources: SGLang's and FastVideo's `entrypoints/openai/video_api.py`,
vLLM-Omni's `entrypoints/openai/api_server.py`. They share the paths and most names of OpenAI's
Videos API, and differ in what they take:

`sglang`, `fastvideo`  JSON; a picture comes as a file in a form, because `input_reference` in JSON
                       is a path on the server
`vllm-omni`            forms only
`reelwright`           JSON, or a form with a picture; finds a job by the key it was submitted with

What a server leaves out it replaces by defaults (a seed of 1024, 24 frames a second), so frames,
rate, size and seed are always sent. `seconds` is not: SGLang makes 24 frames of each, which is not
a length that Wan can make.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.backends.base import InputMedia
from pipelines.backends.remote.access import Connection, Reply
from pipelines.backends.remote.kind import Kind, Offer
from pipelines.backends.remote.service import JobState, JobStatus
from pipelines.backends.remote.videos.answers import (
    MOST_BYTES,
    check,
    is_refusal,
    record,
    started,
)
from pipelines.backends.remote.videos.config import VideosConfig
from pipelines.backends.remote.videos.free import FreeService
from pipelines.backends.remote.videos.offers import offer_of
from pipelines.backends.remote.videos.options import VideosOptions, options_in
from pipelines.backends.remote.videos.pictures import first_picture
from pipelines.backends.remote.words import words_of
from pipelines.errors import BriefError, ReelwrightError, UnavailableError
from pipelines.schema.availability import Availability
from pipelines.schema.request import ClipRequest

_STATES: Mapping[str, JobState] = {
    "queued": "queued",
    "in_progress": "running",
    "completed": "done",
    "failed": "failed",
    "cancelled": "failed",
    "deleted": "gone",  # SGLang and FastVideo, for a record that somebody removed
}
_PATH = "/v1/videos"


class VideosService(FreeService):
    """One server."""

    def __init__(self, config: VideosConfig, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._title = config.title or config.name
        self.finds = config.dialect == "reelwright"

    def availability(self) -> Availability:
        """Lists one job: that shows the address, the path and the key."""
        try:
            reply = self._send_get(_PATH, {"limit": "1"})
            check(reply, self._title)
            if not isinstance(record(reply, self._title).get("data"), list):
                return Availability(
                    available=False, reason=f"{self._title} does not list jobs as /v1/videos does"
                )
        except ReelwrightError as error:
            return Availability(available=False, reason=str(error))
        return Availability(available=True)

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        """As `RemoteService.submit`."""
        fields = self._fields(request, key)
        picture = first_picture(request, media)
        files = {"input_reference": ("first.png", picture, "image/png")} if picture else {}
        if files or self._config.dialect == "vllm-omni":
            form = {name: _as_text(value) for name, value in fields.items()}
            # One part is a file or this text, so that the form is a multipart one.
            prompt = form.pop("prompt")
            parts = {"prompt": ("", prompt.encode(), "text/plain; charset=utf-8"), **files}
            reply = self._connection.send("POST", _PATH, data=form, files=parts)
        else:
            reply = self._connection.send("POST", _PATH, json=fields)
        check(reply, self._title)
        return started(reply, "id", self._title)

    def find(self, key: str) -> str | None:
        """Asks another Reelwright for the job that has our key; other servers keep none."""
        if not self.finds:
            return None
        reply = self._send_get(_PATH, {"idempotency_key": key, "limit": "1"})
        check(reply, self._title)
        jobs = record(reply, self._title).get("data")
        return str(jobs[0]["id"]) if isinstance(jobs, list) and jobs else None

    def look(self, operation: str) -> JobStatus:
        """As `RemoteService.look`. `seconds` of the answer is not read: it is rounded."""
        reply = self._send_get(_path_of(operation))
        if reply.status == 404:
            return JobStatus("gone", message=f"{self._title} does not know the job")
        check(reply, self._title)
        job = record(reply, self._title)
        error = job.get("error")
        state = _STATES.get(str(job.get("status")))
        if state is None:
            raise UnavailableError(
                f"{self._title} says that a job is {job.get('status')!r:.40}, which this version "
                "does not know"
            )
        if state == "failed" and is_refusal(error):
            state = "refused"
        return JobStatus(
            state,
            progress=_share(job.get("progress")),
            message=words_of(error),
            # SGLang with cloud storage gives an address and serves no content of its own.
            result={"url": str(job["url"])} if job.get("url") else {},
            usage=_usage(job),
        )

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        """Only for a job that is done: FastVideo serves a file while it is still written."""
        address = status.result.get("url") or f"{_path_of(operation)}/content"
        self._connection.download(address, path, limit=MOST_BYTES)

    def cancel(self, operation: str) -> None:
        """vLLM-Omni and Reelwright stop the job. SGLang and FastVideo only forget it, and the work
        goes on there."""
        try:
            self._connection.send("DELETE", _path_of(operation))
        except ReelwrightError:
            return

    def check(self, requests: Sequence[ClipRequest]) -> None:
        """Raises BriefError for an option that the dialect does not have."""
        for request in requests:
            options = self._options(request)
            if self._config.dialect == "fastvideo" and options.flow_shift is not None:
                raise BriefError(
                    f"flow_shift {options.flow_shift:g} is set, but {self._title} has no such "
                    "option; leave it out"
                )

    def _fields(self, request: ClipRequest, key: str) -> dict[str, str | int | float]:
        options = self._options(request)
        fields: dict[str, str | int | float | None] = {
            "prompt": request.prompt,
            "model": self._config.model,
            "size": f"{request.size.width}x{request.size.height}",
            "fps": request.fps,
            "num_frames": request.frames,
            "seed": request.seed,
            "negative_prompt": request.negative or None,
            "num_inference_steps": options.steps,
            "guidance_scale": options.guidance,
            "flow_shift": options.flow_shift,
        }
        if self._config.dialect == "reelwright":
            fields["idempotency_key"] = key
        if self._config.dialect == "vllm-omni" and self._config.sound:
            fields["generate_sound"] = "true"
        return {name: value for name, value in fields.items() if value is not None}

    def _options(self, request: ClipRequest) -> VideosOptions:
        return options_in(request, VideosOptions, self._title)

    def _send_get(self, path: str, query: Mapping[str, str] | None = None) -> Reply:
        return self._connection.send("GET", path, query=query)


def _path_of(operation: str) -> str:
    return f"{_PATH}/{quote(operation, safe='')}"


def _as_text(value: str | int | float) -> str:
    return value if isinstance(value, str) else repr(value)


def _share(progress: Any) -> float:
    """0 to 1 of a percentage."""
    return min(max(float(progress), 0.0), 100.0) / 100 if isinstance(progress, int | float) else 0.0


def _usage(job: Mapping[str, Any]) -> dict[str, float]:
    seconds = job.get("inference_time_s")
    return {"seconds": float(seconds)} if isinstance(seconds, int | float) else {}


def _offer(config: VideosConfig) -> Offer:
    return offer_of(
        config,
        VideosOptions(steps=config.steps, guidance=config.guidance, flow_shift=config.flow_shift),
    )


KIND = Kind("videos", VideosConfig, _offer, VideosService)
