"""Veo 3.1 on Google Cloud (Vertex AI, Agent Platform), over plain HTTP.

Sources: cloud.google.com/vertex-ai/generative-ai/docs/model-reference/veo-video-generation and the
converters of google-genai 3.6.1, against whose client the fake of the tests is checked. An
operation is known by the name that the service chose, and there is no list of those of a model, so
a job whose answer was lost cannot be found. It cannot be stopped either.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipelines.backends.base import InputMedia
from pipelines.backends.remote.access import Connection
from pipelines.backends.remote.google.clips import LONGEST_CLIP, write_base64
from pipelines.backends.remote.google.config import VeoConfig
from pipelines.backends.remote.google.failures import (
    availability_of,
    clean,
    failure_of,
    is_refusal,
    not_answered,
    not_submitted,
)
from pipelines.backends.remote.google.offer import (
    LONGEST_VEO,
    VEO_MOST_REFERENCES,
    veo_offer,
    veo_prices,
)
from pipelines.backends.remote.google.pictures import (
    MIME,
    Pictures,
    pictures_of,
    references_of,
)
from pipelines.backends.remote.google.sizes import (
    FPS,
    aspect_of,
    check_size,
    resolution_of,
    seconds_of,
)
from pipelines.backends.remote.kind import Kind
from pipelines.backends.remote.service import Bill, JobStatus
from pipelines.errors import (
    AnswerLostError,
    BriefError,
    MediaError,
    QuotaError,
    UnavailableError,
)
from pipelines.schema.availability import Availability
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest

_SEEDS = 2**32
"""Google's seed is an unsigned number of 32 bits."""
_INVALID_ARGUMENT, _RESOURCE_EXHAUSTED = 3, 8
"""Of google.rpc.Code."""
_OPERATION = re.compile(
    r"(?:projects/[\w.:-]+/locations/[\w-]+/)?publishers/google/models/[\w.-]+/operations/[\w.-]+"
)


class VeoService:
    """A RemoteService."""

    paid = True
    finds = False

    def __init__(self, config: VeoConfig, connection: Connection) -> None:
        self._config, self._connection = config, connection
        self._prices = veo_prices(config)
        where = f"projects/{config.project}/locations/{config.location}/" if config.project else ""
        self._version = f"/{config.api_version}"
        self._model = f"{self._version}/{where}publishers/google/models/{config.model}"
        self._inline: dict[str, str] = {}
        """Clips as base64 that came with a status and are not written yet, by operation."""
        self._quota_message = ""
        """What a job said that ended because our quota is spent."""

    def availability(self) -> Availability:
        model = self._config.model
        # A model of Google's is described for everybody, outside of any project.
        path = f"/v1beta1/publishers/google/models/{model}"
        return availability_of(self._connection, path, self._config, model)

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        del key  # there is no field for it
        if self._quota_message:
            raise QuotaError(f"{self._config.model}: {self._quota_message}")
        body = self._body(request, pictures_of(request, media))
        reply = self._connection.send("POST", f"{self._model}:predictLongRunning", json=body)
        if reply.status != 200:
            raise not_submitted(reply, self._config, self._config.model)
        try:
            name = reply.json()["name"]
        except (UnavailableError, KeyError, TypeError) as error:
            raise AnswerLostError(f"{self._config.model} took a job without a name") from error
        if not _OPERATION.fullmatch(str(name)):
            raise AnswerLostError(f"{self._config.model} took a job with a name that is no path")
        return str(name)

    def find(self, key: str) -> str | None:
        raise NotImplementedError("the service lists no operations of a model")

    def look(self, operation: str) -> JobStatus:
        given = self._operation(operation)
        if given is None:
            return JobStatus("gone", message="the service does not know this operation")
        if not given.get("done"):
            return JobStatus("running")
        error = given.get("error")
        if error:
            return self._failed(error)
        response = given.get("response") or {}
        video: Mapping[str, Any] = next(iter(response.get("videos") or []), {})
        if video.get("bytesBase64Encoded"):
            self._inline[operation] = str(video["bytesBase64Encoded"])
            return JobStatus("done", 1.0)
        if video.get("gcsUri"):
            return JobStatus("done", 1.0, result={"address": self._address(video["gcsUri"])})
        reasons = clean(" ".join(map(str, response.get("raiMediaFilteredReasons") or [])))
        return JobStatus("refused", message=reasons or "it gave no reason")

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        address = status.result.get("address")
        if address:
            self._connection.download(address, path, limit=LONGEST_CLIP)
            return
        write_base64(self._inline.pop(operation, "") or self._asked_again(operation), path)

    def cancel(self, operation: str) -> None:
        """Google documents no way to stop such an operation."""

    def price(self, request: ClipRequest) -> Money:
        check_size(request.size, self._config.resolutions, self._config.model)
        return self._prices.most(seconds_of(request.frames), resolution_of(request.size))

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        """By the list: the answer says no usage, and only clips that were made are charged."""
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
        kinds, count = request.kinds, len(references_of(request))
        if "last_frame" in kinds and "first_frame" not in kinds:
            raise BriefError(
                f"{model} is given a last picture without a first one, which it does not take; "
                "add the first picture, or let the film have one chunk"
            )
        if count and "first_frame" in kinds:
            raise BriefError(
                f"{model} takes a first picture or references, not both; leave one of them out"
            )
        if count > VEO_MOST_REFERENCES:
            raise BriefError(
                f"{model} takes at most {VEO_MOST_REFERENCES} reference pictures, not {count}; "
                "leave some out"
            )
        self._check_length(request)

    def _check_length(self, request: ClipRequest) -> None:
        needs = {
            "1080p": resolution_of(request.size) == "1080p",
            "a last picture": "last_frame" in request.kinds,
            "reference pictures": bool(references_of(request)),
        }
        reason = next((name for name, needed in needs.items() if needed), None)
        if reason and request.frames != LONGEST_VEO * FPS:
            raise BriefError(
                f"{self._config.model} makes clips with {reason} in {LONGEST_VEO} s only, not in "
                f"{seconds_of(request.frames)} s; set frames to {LONGEST_VEO * FPS}, and with a "
                f"last picture the length of the video to a multiple of {LONGEST_VEO} s"
            )

    def _body(self, request: ClipRequest, pictures: Pictures) -> dict[str, Any]:
        instance: dict[str, Any] = {"prompt": request.prompt}
        if pictures.first is not None:
            instance["image"] = _picture(pictures.first)
        if pictures.last is not None:
            instance["lastFrame"] = _picture(pictures.last)
        if pictures.references:
            instance["referenceImages"] = [
                {"image": _picture(item), "referenceType": "ASSET"} for item in pictures.references
            ]
        parameters: dict[str, Any] = {
            "sampleCount": 1,
            "durationSeconds": seconds_of(request.frames),
            "aspectRatio": aspect_of(request.size),
            "resolution": resolution_of(request.size),
            "personGeneration": request.options.get("people", "allow_adult"),
            "generateAudio": True,
            "seed": request.seed % _SEEDS,
        }
        if request.negative:
            parameters["negativePrompt"] = request.negative
        if self._config.storage:
            parameters["storageUri"] = self._config.storage
        return {"instances": [instance], "parameters": parameters}

    def _operation(self, operation: str) -> Mapping[str, Any] | None:
        """The operation as the service has it; None if it does not know it."""
        resource = operation.rpartition("/operations/")[0]
        path = f"{self._version}/{quote(resource, safe='/:')}:fetchPredictOperation"
        try:
            reply = self._connection.send("POST", path, json={"operationName": operation})
        except AnswerLostError as error:  # it only asks: it may be sent again
            raise UnavailableError(f"{self._config.model} did not answer: {error}") from error
        if reply.status == 200:
            given = reply.json()
            if isinstance(given, Mapping):
                return given
            raise UnavailableError(f"{self._config.model} answered with no operation")
        if failure_of(reply).is_gone:
            return None
        raise not_answered(reply, self._config, self._config.model)

    def _failed(self, error: Mapping[str, Any]) -> JobStatus:
        message = clean(error.get("message") or f"code {error.get('code')} without a reason")
        if is_refusal((), message):
            return JobStatus("refused", message=message)
        if error.get("code") == _RESOURCE_EXHAUSTED:
            self._quota_message = message
        invalid = error.get("code") == _INVALID_ARGUMENT
        return JobStatus("failed", message=message, invalid=invalid)

    def _address(self, uri: object) -> str:
        """Where a clip in the operator's bucket is read: the XML API of Cloud Storage."""
        return f"{self._config.storage_address}/{quote(str(uri).removeprefix('gs://'))}"

    def _asked_again(self, operation: str) -> str:
        response = (self._operation(operation) or {}).get("response") or {}
        video: Mapping[str, Any] = next(iter(response.get("videos") or []), {})
        if not video.get("bytesBase64Encoded"):
            raise MediaError("the service does not hold the clip any more")
        return str(video["bytesBase64Encoded"])


def _picture(data: str) -> dict[str, str]:
    return {"bytesBase64Encoded": data, "mimeType": MIME}


KIND = Kind("google-veo", VeoConfig, veo_offer, VeoService)
