"""Gemini Omni through the Interactions API, over plain HTTP.

Sources: ai.google.dev/gemini-api/docs/omni (page of 2026-09-18) and the types of google-genai
3.6.1, against whose client the fake of the tests is checked. The API has no list of interactions
and no key of the client's choice, so a job whose answer was lost cannot be found.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pipelines.backends.base import InputMedia
from pipelines.backends.remote.access import Connection, Reply
from pipelines.backends.remote.google.clips import LONGEST_CLIP, write_base64
from pipelines.backends.remote.google.config import OmniConfig
from pipelines.backends.remote.google.failures import (
    availability_of,
    failure_of,
    is_refusal,
    not_answered,
    not_submitted,
)
from pipelines.backends.remote.google.interactions import (
    content_of,
    errors_of,
    said_in,
    usage_of,
)
from pipelines.backends.remote.google.offer import MOST_REFERENCES, omni_offer, omni_prices
from pipelines.backends.remote.google.pictures import (
    MIME,
    Pictures,
    pictures_of,
    references_of,
)
from pipelines.backends.remote.google.prompt import prompt_of, task_of
from pipelines.backends.remote.google.sizes import (
    FPS,
    aspect_of,
    check_size,
    resolution_of,
    seconds_of,
)
from pipelines.backends.remote.kind import Kind
from pipelines.backends.remote.service import Bill, JobState, JobStatus
from pipelines.errors import (
    AnswerLostError,
    BriefError,
    GenerationError,
    MediaError,
    QuotaError,
    ReelwrightError,
    UnavailableError,
)
from pipelines.schema.availability import Availability
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest

_LONGEST_BETWEEN_FRAMES = 10
"""Seconds of a clip with a first and a last frame. Source: pages of resellers of Omni 1.2 that
agree (docs.pollo.ai, developer.civitai.com, muapi.ai), November 2026."""
_WAITING: Mapping[str, JobState] = {"queued": "queued", "in_progress": "running"}
_ENDED = ("failed", "cancelled", "incomplete", "requires_action", "requires_continuation", "idle")
"""States after which no clip comes by itself."""
_INVALID = frozenset({"invalid_argument", "invalid_request"})
"""Codes of an error for which the request is to blame."""
_FILE = re.compile(r"files/([A-Za-z0-9_-]+)")


class OmniService:
    """A RemoteService."""

    paid = True
    finds = False

    def __init__(self, config: OmniConfig, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._prices = omni_prices(config)
        self._base = f"/{config.api_version}"
        self._inline: dict[str, str] = {}
        """Clips as base64 that came with a status and are not written yet, by interaction."""
        self._budget_message = ""
        """What the service said when our budget there was spent."""

    def availability(self) -> Availability:
        model = self._config.model
        return availability_of(
            self._connection, f"{self._base}/models/{model}", self._config, model
        )

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        del key  # there is no field for it
        if self._budget_message:
            raise QuotaError(f"{self._config.model}: {self._budget_message}")
        body = self._body(request, pictures_of(request, media))
        reply = self._connection.send("POST", f"{self._base}/interactions", json=body)
        if reply.status != 200:
            raise not_submitted(reply, self._config, self._config.model)
        operation = _mapping(reply).get("id")
        if not isinstance(operation, str) or not operation:
            raise AnswerLostError(f"{self._config.model} took a job and did not say its id")
        return operation

    def find(self, key: str) -> str | None:
        raise NotImplementedError("the Interactions API lists no interactions")

    def look(self, operation: str) -> JobStatus:
        given = self._interaction(operation)
        if given is None:
            return JobStatus("gone", message="the service does not know this interaction")
        state = str(given.get("status"))
        if state in _WAITING:
            return JobStatus(_WAITING[state])
        usage, said = usage_of(given), said_in(given)
        if state == "completed":
            return self._completed(operation, given, usage, said)
        if state == "budget_exceeded":
            self._budget_message = said or "the budget that is set at Google is spent"
            return JobStatus("failed", message=self._budget_message, usage=usage)
        if state not in _ENDED:
            return JobStatus("running", message=f"in a state that is not known here: {state}")
        words = tuple(str(item.get("code")) for item in errors_of(given))
        message = said or f"it ended as “{state}” without a reason"
        if is_refusal(words, said):
            return JobStatus("refused", message=message, usage=usage)
        invalid = not _INVALID.isdisjoint(word.lower() for word in words)
        return JobStatus("failed", message=message, usage=usage, invalid=invalid)

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        address = status.result.get("address")
        if address:
            self._connection.download(address, path, limit=LONGEST_CLIP)
            return
        data = self._inline.pop(operation, "") or self._asked_again(operation)
        write_base64(data, path)

    def cancel(self, operation: str) -> None:
        path = f"{self._base}/interactions/{quote(operation, safe='')}/cancel"
        try:
            self._connection.send("POST", path, json={})
        except ReelwrightError:
            return  # the job goes on, and so does the next run

    def price(self, request: ClipRequest) -> Money:
        check_size(request.size, self._config.resolutions, self._config.model)
        return self._prices.most(seconds_of(request.frames), resolution_of(request.size))

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        """From the tokens if they are priced and counted. Without them, a job without a clip costs
        nothing."""
        counted = self._prices.of_tokens(status.usage)
        if counted is not None:
            return Bill(counted, "billed")
        if status.state != "done":
            return Bill(self._prices.nothing, "estimated")
        seconds, resolution = seconds_of(request.frames), resolution_of(request.size)
        return Bill(self._prices.of_seconds(seconds, resolution), "estimated")

    def check(self, requests: Sequence[ClipRequest]) -> None:
        for request in requests:
            self._check(request)

    def _check(self, request: ClipRequest) -> None:
        model = self._config.model
        check_size(request.size, self._config.resolutions, model)
        if "last_frame" in request.kinds:
            if "first_frame" not in request.kinds:
                raise BriefError(
                    f"{model} is given a last picture without a first one, which it does not take; "
                    "add the first picture, or let the film have one chunk"
                )
            if request.frames > _LONGEST_BETWEEN_FRAMES * FPS:
                raise BriefError(
                    f"{model} makes at most {_LONGEST_BETWEEN_FRAMES} s between a first and a last "
                    f"picture, not {seconds_of(request.frames)} s; ask for fewer frames a chunk"
                )
        count = len(references_of(request))
        if count > MOST_REFERENCES:
            raise BriefError(
                f"{model} takes at most {MOST_REFERENCES} reference pictures, not {count}; "
                "leave some out"
            )

    def _body(self, request: ClipRequest, pictures: Pictures) -> dict[str, Any]:
        text = prompt_of(request, pictures)
        images = [{"type": "image", "data": item, "mime_type": MIME} for item in pictures.all]
        # Google's client wraps pictures and text in a step, and so do we.
        step = {"type": "user_input", "content": [*images, {"type": "text", "text": text}]}
        body: dict[str, Any] = {
            "model": self._config.model,
            "background": True,  # or the request would wait for the clip
            "input": [step] if images else text,
            "response_format": {
                "type": "video",
                "aspect_ratio": aspect_of(request.size),
                "resolution": resolution_of(request.size),
                "duration": f"{seconds_of(request.frames)}s",  # a number is refused
                "delivery": self._config.delivery,
            },
        }
        task = task_of(pictures)
        if task:
            body["generation_config"] = {"video_config": {"task": task}}
        return body

    def _interaction(self, operation: str) -> Mapping[str, Any] | None:
        """The interaction as the service has it; None if it does not know it."""
        path = f"{self._base}/interactions/{quote(operation, safe='')}"
        reply = self._connection.send("GET", path, query={"stream": "false"})
        if reply.status == 200:
            given = reply.json()
            if isinstance(given, Mapping):
                return given
            raise UnavailableError(f"{self._config.model} answered with no interaction")
        if failure_of(reply).is_gone:
            return None
        raise not_answered(reply, self._config, self._config.model)

    def _completed(
        self, operation: str, given: Mapping[str, Any], usage: Mapping[str, float], said: str
    ) -> JobStatus:
        """`done` with a clip that can be fetched. A refusal is “completed” with words alone."""
        video = next((item for item in content_of(given) if item.get("type") == "video"), {})
        if video.get("data"):
            self._inline[operation] = str(video["data"])
            return JobStatus("done", 1.0, usage=usage)
        if video.get("uri"):
            return self._at_address(str(video["uri"]), usage)
        if usage.get("video_tokens"):
            raise GenerationError(
                f"{self._config.model} made a clip and charges for it, but its answer to "
                f"{operation} holds none that this version can read; it is not made again"
            )
        return JobStatus("refused", message=said or "it gave no reason", usage=usage)

    def _at_address(self, uri: str, usage: Mapping[str, float]) -> JobStatus:
        """A clip in Google's file store, which may still be being written."""
        found, host = _FILE.search(uri), urlsplit(uri).netloc
        ours = host in ("", urlsplit(self._config.address).netloc)
        if found and ours:
            reply = self._connection.send("GET", f"{self._base}/files/{found[1]}")
            state = _mapping(reply).get("state") if reply.status == 200 else "ACTIVE"
            if state == "PROCESSING":
                return JobStatus("running", 0.95, "the clip is being stored")
            if state == "FAILED":
                return JobStatus("failed", message="the clip could not be stored", usage=usage)
        if found and not host:
            uri = f"{self._base}/files/{found[1]}:download?alt=media"
        return JobStatus("done", 1.0, result={"address": uri}, usage=usage)

    def _asked_again(self, operation: str) -> str:
        given = self._interaction(operation) or {}
        videos = (item for item in content_of(given) if item.get("type") == "video")
        data = next((item.get("data") for item in videos), None)
        if not data:
            raise MediaError("the service does not hold the clip any more")
        return str(data)


def _mapping(reply: Reply) -> Mapping[str, Any]:
    """The JSON object in an answer, empty if there is none."""
    try:
        given = reply.json()
    except UnavailableError:
        return {}
    return given if isinstance(given, Mapping) else {}


KIND = Kind("google-omni", OmniConfig, omni_offer, OmniService)
