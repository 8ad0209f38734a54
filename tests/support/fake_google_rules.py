"""The rules by which the fake of Google's services takes or refuses a request."""

import base64
import io
import re
from typing import Any

from PIL import Image

OMNI_MODELS = ("gemini-omni-1.2-flash", "gemini-omni-1.1-flash")
VEO_MODELS = (
    "veo-3.1-generate-001",
    "veo-3.1-fast-generate-001",
    "veo-3.1-lite-generate-001",
)
_OMNI_FIELDS = {"model", "background", "input", "response_format", "generation_config", "store"}
_FORMAT_FIELDS = {"type", "aspect_ratio", "resolution", "duration", "delivery"}
_TASKS = {"text_to_video", "image_to_video", "reference_to_video"}
_INSTANCE_FIELDS = {"prompt", "image", "lastFrame", "referenceImages"}
_PARAMETERS: dict[str, tuple[Any, ...] | type] = {
    "sampleCount": (1, 2, 3, 4),
    "durationSeconds": (4, 6, 8),
    "aspectRatio": ("16:9", "9:16"),
    "resolution": ("720p", "1080p"),
    "personGeneration": ("allow_adult", "allow_all", "dont_allow"),
    "generateAudio": (True, False),
    "seed": int,
    "negativePrompt": str,
    "storageUri": str,
}


class RefusedRequestError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, word: str, reason: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.word, self.reason = status, message, word, reason


def google_error(error: RefusedRequestError, path: str) -> dict[str, Any]:
    """An error as Google writes it. Those of the Interactions API itself have words as codes; those
    of the servers before it, which check the key, have numbers."""
    if "/interactions" in path and not error.reason:
        word = "invalid_request" if error.status == 400 else error.word.lower()
        return {"error": {"code": word, "message": error.message}}
    given: dict[str, Any] = {
        "code": error.status,
        "message": error.message,
        "status": error.word,
    }
    if error.reason:
        kind = "type.googleapis.com/google.rpc.ErrorInfo"
        given["details"] = [{"@type": kind, "reason": error.reason, "domain": "googleapis.com"}]
    return {"error": given}


def omni_wish(body: Any) -> dict[str, Any]:
    """Model, size and length of a valid request for an interaction; raises for any other."""
    _only(body, _OMNI_FIELDS, "request")
    if body["model"] not in OMNI_MODELS:
        raise RefusedRequestError(404, f"models/{body['model']} is not found", "NOT_FOUND")
    given = body["response_format"]
    _only(given, _FORMAT_FIELDS, "response_format")
    seconds = re.fullmatch(r"(\d+)s", str(given.get("duration", "8s")))
    if given.get("type") != "video" or not seconds or not 3 <= int(seconds[1]) <= 15:
        raise _invalid("response_format", given)
    _one_of(given, "aspect_ratio", ("16:9", "9:16"))
    _one_of(given, "resolution", ("360p", "720p", "1080p", "4k"))
    _one_of(given, "delivery", ("inline", "uri"))
    task = ((body.get("generation_config") or {}).get("video_config") or {}).get("task")
    if task is not None and task not in _TASKS:
        raise _invalid("task", task)
    if not body.get("background"):
        raise _invalid("background: this fake only works in the background", None)
    _check_omni_input(body["input"], int(seconds[1]))
    return {
        "model": body["model"],
        "resolution": given.get("resolution", "720p"),
        "aspect": given.get("aspect_ratio", "16:9"),
        "seconds": int(seconds[1]),
        "delivery": given.get("delivery", "inline"),
    }


def _check_omni_input(given: Any, seconds: int) -> None:
    """Pictures are pictures, and every tag of the prompt has one."""
    parts = [{"type": "text", "text": given}] if isinstance(given, str) else given
    if [item["type"] for item in parts] == ["user_input"]:
        parts = parts[0]["content"]
    text = " ".join(item["text"] for item in parts if item["type"] == "text")
    images = [item for item in parts if item["type"] == "image"]
    if not text or len(text) + len(images) == 0:
        raise _invalid("input", given)
    for image in images:
        _check_picture(image["data"], image["mime_type"])
    numbers = {int(number) for number in re.findall(r"@Image(\d+)", text)}
    if numbers - set(range(1, len(images) + 1)) or len(images) > 8:
        raise _invalid("tags", text)
    if "<LAST_FRAME>" in text and ("<FIRST_FRAME>" not in text or seconds > 10):
        raise _invalid("LAST_FRAME", text)


def veo_wish(model: str, body: Any) -> dict[str, Any]:
    """Size and length of a valid request for a prediction; raises for any other."""
    if model not in VEO_MODELS:
        raise RefusedRequestError(404, f"Publisher model {model} was not found", "NOT_FOUND")
    _only(body, {"instances", "parameters"}, "request")
    instance, given = body["instances"][0], body["parameters"]
    _only(instance, _INSTANCE_FIELDS, "instances[0]")
    _only(given, set(_PARAMETERS), "parameters")
    for name, allowed in _PARAMETERS.items():
        if isinstance(allowed, tuple):
            _one_of(given, name, allowed)
        elif name in given and not isinstance(given[name], allowed):
            raise _invalid(name, given[name])
    if not 0 <= given.get("seed", 0) < 2**32:
        raise _invalid("seed", given["seed"])
    _check_veo_pictures(instance, given)
    return {
        "resolution": given.get("resolution", "720p"),
        "aspect": given.get("aspectRatio", "16:9"),
        "seconds": given["durationSeconds"],
        "delivery": given.get("storageUri", ""),
    }


def _check_veo_pictures(instance: Any, given: Any) -> None:
    references = instance.get("referenceImages", [])
    pictures = [instance[name] for name in ("image", "lastFrame") if name in instance]
    for picture in (*pictures, *(item["image"] for item in references)):
        _check_picture(picture["bytesBase64Encoded"], picture["mimeType"])
    if any(item["referenceType"].lower() != "asset" for item in references) or len(references) > 3:
        raise _invalid("referenceImages", len(references))
    if ("lastFrame" in instance and "image" not in instance) or (references and pictures):
        raise _invalid("image, lastFrame and referenceImages", sorted(instance))
    needs_eight = bool(references) or "lastFrame" in instance or given.get("resolution") == "1080p"
    if needs_eight and given["durationSeconds"] != 8:
        raise _invalid("durationSeconds", given["durationSeconds"])


def _check_picture(data: str, mime: str) -> None:
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
        picture.load()
        if picture.get_format_mimetype() != mime:
            raise _invalid("mime_type", mime)


def _only(given: Any, fields: set[str], where: str) -> None:
    if set(given) - fields:
        raise _invalid(f"unknown fields of {where}", sorted(set(given) - fields))


def _one_of(given: Any, name: str, allowed: tuple[Any, ...]) -> None:
    if name in given and given[name] not in allowed:
        raise _invalid(name, given[name])


def _invalid(what: str, value: Any) -> RefusedRequestError:
    return RefusedRequestError(400, f"Invalid value: {what} {str(value)[:80]}", "INVALID_ARGUMENT")
