"""A FAKE of Google's two video services: no machine of ours has an account there.

It speaks the documented parts of the Interactions API (Gemini Omni: ai.google.dev/gemini-api/docs/
omni, page of 2026-09-18) and of Veo on Google Cloud (cloud.google.com/vertex-ai/generative-ai/docs/
model-reference/veo-video-generation), and Google's own client, google-genai 3.6.1, works with it
(tests/remote/test_google_vendor.py). As the real ones, it validates requests, charges for a job
once it took it, and says “completed” for a refusal. It has a bill, so that a test can compare it.
"""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

from tests.support.fake_google_jobs import Job
from tests.support.fake_google_rules import (
    OMNI_MODELS,
    VEO_MODELS,
    RefusedRequestError,
    google_error,
    omni_wish,
    veo_wish,
)

KEY, TOKEN = "AIzaFake-key-of-the-tests", "ya29.fake-token-of-the-tests"
PROJECT = "films-4711"
Clip = Callable[[str, str, int], bytes]
"""(resolution, aspect, seconds) → an MP4."""


@dataclass(frozen=True)
class Sent:
    """A request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class FakeGoogle:
    """What it was asked and how it misbehaves."""

    url: str = ""
    modes: list[str] = field(default_factory=list)
    """Of the next jobs, in order; then `ok`. See `_at_once` and `_omni`, `_veo` below."""
    by_second: Decimal | None = None
    """Price of a second of Omni's clips, in place of tokens."""
    looks: int = 1
    """Questions about a job until it has ended."""
    poll_errors: list[int] = field(default_factory=list)
    """HTTP statuses of the next questions."""
    clip: Clip = lambda resolution, aspect, seconds: f"{resolution} {aspect} {seconds}".encode()
    jobs: dict[str, Job] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    downloads: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bill(self) -> Decimal:
        """What all jobs cost."""
        return sum((job.amount for job in self.jobs.values()), Decimal(0))

    def created(self) -> list[Sent]:
        """The requests that start a job, whatever the answer."""
        return [
            item
            for item in self.sent
            if item.method == "POST"
            and re.search(r"/interactions$|:predictLongRunning$", item.path)
        ]


@contextmanager
def fake_google() -> Iterator[FakeGoogle]:
    """A running fake on loopback."""
    google = FakeGoogle()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, google))
    server.daemon_threads = True
    google.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield google
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, google: FakeGoogle, *args: Any) -> None:
        self.google = google
        super().__init__(*args)

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        length = int(self.headers.get("content-length") or 0)
        text = self.rfile.read(length)
        body = json.loads(text) if text else None
        path = self.path.partition("?")[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            with self.google.lock:
                self.google.sent.append(Sent(method, path, headers, body))
                self._route(method, path, headers, body)
        except RefusedRequestError as error:
            self._json(error.status, google_error(error, path))

    def _route(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> None:
        for wanted, pattern, handle in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                _check_key(headers, path)
                handle(self, match, body)
                return
        raise RefusedRequestError(404, f"{method} {path} is not found", "NOT_FOUND")

    def _json(self, status: int, given: Any) -> None:
        data = json.dumps(given).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _bytes(self, data: bytes, announced: int) -> None:
        self.google.downloads += 1
        self.send_response(200)
        self.send_header("content-type", "video/mp4")
        self.send_header("content-length", str(announced))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def _take(self, job: Job, given: Any) -> None:
        """A job is taken; its answer may be lost."""
        self.google.jobs[job.id] = job
        if job.mode == "lost":
            self.close_connection = True
            return
        self._json(200, {} if job.mode == "no-id" else given)

    def _job(self, name: str, unknown: RefusedRequestError) -> Job:
        if self.google.poll_errors:
            status = self.google.poll_errors.pop(0)
            raise RefusedRequestError(status, "try later", "UNAVAILABLE")
        if name not in self.google.jobs:
            raise unknown
        job = self.google.jobs[name]
        job.looks += 1
        return job

    def _model(self, match: re.Match[str], _: Any) -> None:
        if match["model"] not in (*OMNI_MODELS, *VEO_MODELS):
            raise RefusedRequestError(404, f"models/{match['model']} is not found", "NOT_FOUND")
        self._json(200, {"name": f"models/{match['model']}", "displayName": match["model"]})

    def _create_omni(self, _: re.Match[str], body: Any) -> None:
        wish = omni_wish(body)
        mode = self._at_once()
        job = Job(f"v1_{uuid4().hex}", mode=mode, by_second=self.google.by_second, **wish)
        now = {"id": job.id, "object": "interaction", "model": job.model, "status": "in_progress"}
        self._take(job, now)

    def _create_veo(self, match: re.Match[str], body: Any) -> None:
        wish = veo_wish(match["model"], body)
        mode = self._at_once()
        where = match["where"] or "projects/815/locations/us-central1/"
        resource = f"{where}publishers/google/models/{match['model']}"
        job = Job(f"{resource}/operations/{uuid4()}", match["model"], mode, **wish)
        self._take(job, {"name": job.id})

    def _at_once(self) -> str:
        """The mode of the next job. Raises for those in which none is taken."""
        mode = self.google.modes.pop(0) if self.google.modes else "ok"
        errors = {
            "400": (400, "Request contains an invalid argument.", "INVALID_ARGUMENT"),
            "400-place": (
                400,
                "User location is not supported for the API use.",
                "FAILED_PRECONDITION",
            ),
            "400-safety": (
                400,
                "The prompt contains sensitive words that violate Google's Responsible AI "
                "practices. Support codes: 29310472",
                "INVALID_ARGUMENT",
            ),
            "401": (401, f"Invalid authentication credentials {KEY}", "UNAUTHENTICATED"),
            "403": (403, "Permission 'aiplatform.endpoints.predict' denied", "PERMISSION_DENIED"),
            "403-quota": (403, "Quota exceeded for this project", "PERMISSION_DENIED"),
            "429": (429, "You exceeded your current quota", "RESOURCE_EXHAUSTED"),
            "500": (500, "Internal error encountered.", "INTERNAL"),
            "503": (503, "The model is overloaded.", "UNAVAILABLE"),
            "504": (504, "Deadline expired.", "DEADLINE_EXCEEDED"),
        }
        if mode in errors:
            raise RefusedRequestError(*errors[mode])
        return mode

    def _look_omni(self, match: re.Match[str], _: Any) -> None:
        job = self._job(
            match["id"], RefusedRequestError(400, "Invalid interaction name", "invalid_request")
        )
        given: dict[str, Any] = {
            "id": job.id,
            "object": "interaction",
            "model": job.model,
            "created": "2026-11-27T12:00:00Z",
            "updated": "2026-11-27T12:01:00Z",
            "status": "in_progress",
        }
        if job.cancelled:
            given["status"] = "cancelled"
        elif job.looks > self.google.looks:
            given |= self._ended_omni(job)
        self._json(200, given)

    def _ended_omni(self, job: Job) -> dict[str, Any]:
        """Status, steps, errors and usage of a job that has ended."""
        counted = job.tokens
        usage = {
            "total_input_tokens": counted["in"],
            "total_output_tokens": counted["video"],
            "total_thought_tokens": counted["text"],
            "output_tokens_by_modality": [{"modality": "video", "tokens": counted["video"]}],
        }
        steps: list[dict[str, Any]] = [
            {"type": "user_input", "content": [{"type": "text", "text": "…"}]},
            {"type": "thought", "signature": "c2lnbmVk"},
        ]
        ends = {
            "failed": ("failed", "internal", "The clip could not be made."),
            "filtered": ("failed", "PROHIBITED_CONTENT", "The clip was blocked by safety filters."),
            "budget": ("budget_exceeded", "budget_exceeded", "The project's budget is spent."),
            "incomplete": ("incomplete", "max_output_tokens", "The output was cut off."),
        }
        if job.mode in ends:
            status, code, message = ends[job.mode]
            return {
                "status": status,
                "steps": steps,
                "usage": usage,
                "errors": [{"code": code, "message": message}],
            }
        content: list[dict[str, Any]] = [{"type": "text", "text": "I can't make that video."}]
        if job.mode == "unreadable":
            content = []
        elif job.has_clip:
            content = [{"type": "video", "mime_type": "video/mp4", **self._place(job)}]
        steps.append({"type": "model_output", "content": content})
        return {"status": "completed", "steps": steps, "usage": usage}

    def _place(self, job: Job) -> dict[str, str]:
        """The clip itself, or where it is."""
        if job.mode == "elsewhere":
            return {"uri": "https://clips.example/f.mp4"}
        if job.delivery == "uri":
            return {"uri": f"{self.google.url}/v1beta/files/{job.id}:download?alt=media"}
        return {"data": self._encoded(job)}

    def _encoded(self, job: Job) -> str:
        text = base64.b64encode(self._clip(job)).decode()
        return text[: len(text) // 8 * 4 + 1] if self._is_cut(job) else text

    def _clip(self, job: Job) -> bytes:
        seconds = max(1, job.seconds // 2) if job.mode == "short" else job.seconds
        return self.google.clip(job.resolution, job.aspect, seconds)

    def _is_cut(self, job: Job) -> bool:
        """Whether a transfer breaks off; after `truncated-once` the next one is whole."""
        if job.mode == "truncated-once":
            job.mode = "ok"
            return True
        return job.mode == "truncated"

    def _file(self, match: re.Match[str], _: Any) -> None:
        job = self.google.jobs[match["id"]]
        storing = job.mode == "storing" and job.looks < self.google.looks + 3
        state = "PROCESSING" if storing else "ACTIVE"
        self._json(200, {"name": f"files/{job.id}", "state": state, "mimeType": "video/mp4"})

    def _download(self, match: re.Match[str], _: Any) -> None:
        job = self.google.jobs[match["id"]]
        data = self._clip(job)
        self._bytes(data[: len(data) // 2] if self._is_cut(job) else data, len(data))

    def _cancel(self, match: re.Match[str], _: Any) -> None:
        job = self.google.jobs[match["id"]]
        job.cancelled = True
        self._json(200, {"id": job.id, "status": "cancelled"})

    def _look_veo(self, match: re.Match[str], body: Any) -> None:
        name = body["operationName"]
        if not name.startswith(f"{match['where'] or ''}publishers/google/models/"):
            raise RefusedRequestError(400, "The operation is of another model", "INVALID_ARGUMENT")
        job = self._job(name, RefusedRequestError(404, "Operation not found", "NOT_FOUND"))
        if job.looks <= self.google.looks:
            self._json(200, {"name": name})
            return
        self._json(200, {"name": name, "done": True, **self._ended_veo(job)})

    def _ended_veo(self, job: Job) -> dict[str, Any]:
        errors = {
            "failed": {"code": 13, "message": "Video generation failed. Please try again."},
            "invalid": {"code": 3, "message": "The image is not supported."},
            "image-refused": {
                "code": 3,
                "message": "The input image violates Google's Responsible AI practices.",
            },
            "budget": {"code": 8, "message": "Quota exceeded for this model."},
        }
        if job.mode in errors:
            return {"error": errors[job.mode]}
        kind = "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse"
        if job.mode == "filtered":
            return {
                "response": {
                    "@type": kind,
                    "raiMediaFilteredCount": 1,
                    "raiMediaFilteredReasons": [
                        "Veo could not generate videos because of Google's Responsible AI "
                        "practices. Support codes: 58061214"
                    ],
                }
            }
        if job.mode == "refused":
            return {"response": {"@type": kind}}
        video: dict[str, str] = {"mimeType": "video/mp4"}
        if job.delivery:
            video["gcsUri"] = f"{job.delivery.rstrip('/')}/{job.id.rpartition('/')[2]}/sample_0.mp4"
        else:
            video["bytesBase64Encoded"] = self._encoded(job)
        return {"response": {"@type": kind, "raiMediaFilteredCount": 0, "videos": [video]}}

    def _bucket(self, match: re.Match[str], _: Any) -> None:
        found = [job for name, job in self.google.jobs.items() if name.endswith(match["id"])]
        if not found:
            raise RefusedRequestError(404, "No such object", "NOT_FOUND")
        data = self._clip(found[0])
        self._bytes(data[: len(data) // 2] if self._is_cut(found[0]) else data, len(data))


def _check_key(headers: Mapping[str, str], path: str) -> None:
    """As Google: a wrong API key is 400 with a reason, a wrong token is 401."""
    given = headers.get("authorization")
    if given is not None and given == f"Bearer {TOKEN}" and "/interactions" not in path:
        return
    if given is not None:
        raise RefusedRequestError(401, "Request had invalid credentials.", "UNAUTHENTICATED")
    if headers.get("x-goog-api-key") == KEY:
        return
    if "x-goog-api-key" in headers:
        raise RefusedRequestError(
            400,
            "API key not valid. Please pass a valid API key.",
            "INVALID_ARGUMENT",
            "API_KEY_INVALID",
        )
    raise RefusedRequestError(403, "Method doesn't allow unregistered callers", "PERMISSION_DENIED")


_VERSION = r"/v1(?:beta1?)?"
_WHERE = r"(?P<where>projects/[^/]+/locations/[^/]+/)?publishers/google/models/(?P<model>[^/:]+)"
_ROUTES: tuple[tuple[str, str, Callable[[_Handler, re.Match[str], Any], None]], ...] = (
    ("POST", rf"{_VERSION}/interactions", _Handler._create_omni),
    ("GET", rf"{_VERSION}/interactions/(?P<id>[^/]+)", _Handler._look_omni),
    ("POST", rf"{_VERSION}/interactions/(?P<id>[^/]+)/cancel", _Handler._cancel),
    ("GET", rf"{_VERSION}/files/(?P<id>[^/:]+)", _Handler._file),
    ("GET", rf"{_VERSION}/files/(?P<id>[^/:]+):download", _Handler._download),
    ("GET", rf"{_VERSION}/(?:publishers/google/)?models/(?P<model>[^/:]+)", _Handler._model),
    ("POST", rf"{_VERSION}/{_WHERE}:predictLongRunning", _Handler._create_veo),
    ("POST", rf"{_VERSION}/{_WHERE}:fetchPredictOperation", _Handler._look_veo),
    ("GET", r"/[a-z0-9._-]+/(?:[\w.-]+/)*(?P<id>[0-9a-f-]{36})/sample_0\.mp4", _Handler._bucket),
)
