"""Speaks to one ComfyUI server: uploads, the queue, progress, and the finished clip."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pipelines.backends.base import InputMedia
from pipelines.backends.remote.access import Connection, Listening, Reply
from pipelines.backends.remote.comfyui import answers
from pipelines.backends.remote.comfyui.config import ComfyConfig
from pipelines.backends.remote.comfyui.fill import filled
from pipelines.backends.remote.comfyui.media import InputFile, input_files
from pipelines.backends.remote.comfyui.preflight import problems
from pipelines.backends.remote.comfyui.progress import JobProgress
from pipelines.backends.remote.comfyui.reading import Workflow
from pipelines.backends.remote.service import Bill, JobStatus
from pipelines.errors import (
    AnswerLostError,
    BriefError,
    GenerationError,
    ReelwrightError,
    UnavailableError,
)
from pipelines.schema.availability import Availability
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest, ReferenceVideo

_FOLDER = "reelwright"
"""Of our uploads in the server's folder of inputs."""
_LARGEST = 1_000_000_000
"""Bytes of a clip. The longest one of 1080p, without loss, has about half of it."""
_LOOKS = 3
"""Looks in a row that must not find a job before it is called gone: one that has just ended may be
in neither list for a moment."""
_FRESH = 300.0
"""Seconds for which a server that has all nodes and models is not asked for them again."""
_STALE = 30.0
"""The same for one that lacks something: somebody may be installing it."""


@dataclass(frozen=True)
class _Checked:
    lacking: str
    until: float


_checked: dict[tuple[str, str], _Checked] = {}
"""What the servers of this process have, by address and workflow. Every question has a service of
its own, and a page with cards asks often."""


class ComfyService:
    """A server and one workflow. It keeps the progress of its jobs, and may be used by one thread
    at a time."""

    finds = True

    def __init__(self, config: ComfyConfig, workflow: Workflow, connection: Connection) -> None:
        self.config, self.workflow, self.connection = config, workflow, connection
        self.paid = config.price_per_hour > 0
        self._missed: dict[str, int] = {}
        self._progress: dict[str, JobProgress] = {}

    def availability(self) -> Availability:
        """Whether the server can be reached and has all nodes and models of the workflow."""
        try:
            about = self._get("/system_stats", "ask for its version").json()["system"]
            lacking = self._lacking()
        except ReelwrightError as error:
            return Availability(available=False, reason=str(error))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            return Availability(
                available=False,
                reason=f"{self.config.address} does not answer like a ComfyUI server; check its "
                "address in the backends file",
            )
        if lacking:
            return Availability(available=False, reason=lacking)
        return Availability(available=True, reason=f"ComfyUI {about.get('comfyui_version', '?')}")

    def _lacking(self) -> str:
        """What the server lacks for the workflow, in words; empty if it has everything."""
        now, key = time.monotonic(), (self.config.address, self.workflow.digest)
        known = _checked.get(key)
        if known is None or now >= known.until:
            signatures: dict[str, Mapping[str, Any]] = {}
            for kind in sorted({node.kind for node in self.workflow.graph.values()}):
                reply = self._get(f"/object_info/{quote(kind, safe='')}", "ask for its nodes")
                signatures.update(reply.json())
            found = problems(self.workflow.graph, signatures, self.workflow.mapping)
            lacking = "; ".join(problem.text for problem in found)
            known = _Checked(lacking, now + (_STALE if lacking else _FRESH))
            _checked[key] = known
        return known.lacking

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        """Upload the inputs, and put the workflow into the server's queue as `key`."""
        mapping = self.workflow.mapping
        files: dict[str, str] = {}
        for file in input_files(mapping, request, media):
            name = self._upload(file)
            files |= {target.to: name for target in file.targets}
        graph = filled(self.workflow, request, files)
        # `client_id` is who hears of the progress: with the key, any later process of ours can.
        reply = self.connection.send(
            "POST", "/prompt", json={"prompt": graph, "prompt_id": key, "client_id": key}
        )
        if reply.status in (500, 502, 504):
            raise AnswerLostError(f"the ComfyUI server answered {reply.status} to a new job")
        if reply.status == 400:
            raise answers.rejected(reply)
        if reply.status != 200:
            raise answers.unexpected(reply, "start a job")
        found = reply.json()
        job = str(found.get("prompt_id", key)) if isinstance(found, dict) else key
        self._missed.pop(job, None)
        return job

    def _upload(self, file: InputFile) -> str:
        """Name of the file for a node that loads it. An upload can be repeated: it starts nothing,
        so that one whose answer is lost only makes the server unavailable."""
        try:
            reply = self.connection.send(
                "POST",
                "/upload/image",
                data={"type": "input", "subfolder": _FOLDER, "overwrite": "true"},
                files={"image": (file.name, file.data, file.media_type)},
            )
        except AnswerLostError as error:
            raise UnavailableError(f"an upload to the ComfyUI server broke off: {error}") from error
        if reply.status == 413:
            raise GenerationError(
                f"the ComfyUI server takes no upload of {len(file.data):,} bytes; start it with a "
                "larger --max-upload-size, or raise the limit of its proxy"
            )
        if reply.status != 200:
            raise answers.unexpected(reply, "upload a file")
        found = reply.json()
        try:
            folder, name = found.get("subfolder", ""), found["name"]
        except (AttributeError, KeyError, TypeError) as error:
            raise UnavailableError("the ComfyUI server names no file after an upload") from error
        return f"{folder}/{name}" if folder else str(name)

    def find(self, key: str) -> str | None:
        """The job `key` if the server has it, waiting, running or ended."""
        reply = self.connection.send("GET", f"/api/jobs/{key}")
        if reply.status == 200:
            return key
        if reply.status == 404 and b'"error"' in reply.body:
            return None  # a server that knows this route: it looked in the queue and the history
        return key if self._state(key) else None

    def look(self, operation: str) -> JobStatus:
        """The state of a job, with its progress if it runs."""
        status = self._state(operation)
        if status is None:
            missed = self._missed[operation] = self._missed.get(operation, 0) + 1
            if missed < _LOOKS:
                return JobStatus("running", self._share(operation))
            self._forget(operation)
            return JobStatus("gone", message="the ComfyUI server does not know the job any more")
        self._missed.pop(operation, None)
        if status.state == "running":
            return replace(status, progress=self._listened(operation))
        if status.state != "queued":
            self._forget(operation)
        return status

    def _state(self, job: str) -> JobStatus | None:
        """From the history, the queue, and the history again: the job may end in between."""
        for path in (f"/history/{job}", "/queue", f"/history/{job}"):
            reply = self._get(path, "ask for a job")
            if path == "/queue":
                status = answers.queue_status(reply, job)
            else:
                status = answers.history_status(reply, job, self.workflow.mapping.output)
            if status:
                return status
        return None

    def _listened(self, job: str) -> float:
        connection = self.connection
        if not isinstance(connection, Listening):
            return 0.0
        if job not in self._progress:
            self._progress[job] = JobProgress(
                job,
                self.workflow.mapping.sampler,
                len(self.workflow.graph),
                lambda: connection.listen("/ws", query={"clientId": job}),
            )
        return self._progress[job].update()

    def _share(self, job: str) -> float:
        return self._progress[job].share if job in self._progress else 0.0

    def _forget(self, job: str) -> None:
        self._missed.pop(job, None)
        if progress := self._progress.pop(job, None):
            progress.close()

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        """Write the clip to `path`."""
        del operation
        query = urlencode({key: status.result[key] for key in ("filename", "subfolder", "type")})
        self.connection.download(f"/view?{query}", path, limit=_LARGEST)

    def cancel(self, operation: str) -> None:
        """Take the job out of the queue, or interrupt it, and no other one.

        Servers before 0.3.50 interrupt whatever runs, whichever id they are given. So `/interrupt`
        is sent only while the job itself runs, and never without its id.
        """
        try:
            self._forget(operation)
            reply = self.connection.send("POST", f"/api/jobs/{operation}/cancel")
            if reply.status == 200:
                return
            self.connection.send("POST", "/queue", json={"delete": [operation]})
            status = answers.queue_status(self._get("/queue", "ask for a job"), operation)
            if status and status.state == "running":
                self.connection.send("POST", "/interrupt", json={"prompt_id": operation})
        except ReelwrightError:
            return  # it goes on until its end, and nobody fetches it

    def price(self, request: ClipRequest) -> Money:
        """For the longest time that a job may take, however small the request is."""
        del request
        return self._for_seconds(Decimal(str(self.config.job_seconds)))

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        """For the time that the server says it worked."""
        if "seconds" in status.usage:
            return Bill(self._for_seconds(Decimal(str(status.usage["seconds"]))), "billed")
        return Bill(self.price(request), "estimated")

    def _for_seconds(self, seconds: Decimal) -> Money:
        return Money.of(self.config.price_per_hour * seconds / 3600, self.config.currency)

    def check(self, requests: Sequence[ClipRequest]) -> None:
        """Refuse what the mapping has no place for."""
        mapping, title = self.workflow.mapping, self.config.title or self.workflow.mapping.title
        for request in requests:
            for name in ("steps", "guidance"):
                if request.options.get(name) is not None and name not in mapping.values:
                    raise BriefError(
                        f"{title} has {name} of its own and takes none "
                        f"({request.options[name]} was given); leave it out"
                    )
            roles = {item.role for item in request.inputs if isinstance(item, ReferenceVideo)}
            wanted = set(mapping.videos) if "reference_video" in mapping.required else set()
            if missing := sorted(wanted - roles):
                raise BriefError(
                    f"{title} needs a video of {' and '.join(missing)}; upload an archive with it"
                )

    def _get(self, path: str, what: str) -> Reply:
        reply = self.connection.send("GET", path)
        if reply.status != 200:
            raise answers.unexpected(reply, what)
        return reply
