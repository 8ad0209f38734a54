"""What Google's errors mean: refused, invalid, no quota, unavailable, a wrong key, or an answer
that leaves open whether a job was started.

Sources: google.rpc.Code and `error.details[].reason` as documented at cloud.google.com/apis/design/
errors; the texts of the safety filters at cloud.google.com/vertex-ai/generative-ai/docs/video/
responsible-ai-and-usage-guidelines.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.backends.remote.access import Connection, Reply
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import (
    AnswerLostError,
    GenerationError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from pipelines.schema.availability import Availability

_LONGEST = 300
_SECRET = re.compile(r"AIza[\w-]{8,}|ya29\.[\w.-]+|(?<=key=)[^\s&\"]+|X-Goog-Signature=\w+")
_SAFETY_WORD = re.compile(r"(?:image_)?safety|prohibited_content|blocklist|spii", re.IGNORECASE)
_SAFETY_TEXT = re.compile(
    r"blocked\b[^.]*\b(?:safety|polic)|responsible ai|usage guidelines|sensitive words"
    r"|violat\w+[^.]*\bpolic|support codes?:",
    re.IGNORECASE,
)
_QUOTA_TEXT = re.compile(r"quota|billing|rate limit|prepay", re.IGNORECASE)
_PLACE_TEXT = re.compile(r"location is not supported|not available in your", re.IGNORECASE)
_GONE_TEXT = re.compile(r"invalid interaction name|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Failure:
    """An error of the service in one form."""

    status: int
    """Of HTTP."""
    words: tuple[str, ...]
    """Codes and reasons, such as `RESOURCE_EXHAUSTED` and `API_KEY_INVALID`."""
    message: str
    """The service's own sentence, shortened and without secrets."""

    @property
    def is_refusal(self) -> bool:
        """Whether the content is refused."""
        return is_refusal(self.words, self.message)

    @property
    def is_wrong_key(self) -> bool:
        """Whether the key, and not the request, is refused."""
        return self.status == 401 or "API_KEY_INVALID" in self.words

    @property
    def is_quota(self) -> bool:
        """Whether no more requests of ours are taken."""
        if self.status in (402, 429):
            return True
        text = " ".join((*self.words, self.message))
        return self.status in (400, 403) and bool(_QUOTA_TEXT.search(text))

    @property
    def is_gone(self) -> bool:
        """Whether the service does not know the job that was asked for.

        The Interactions API says 400 “Invalid interaction name” for an unknown id.
        """
        return self.status == 404 or (self.status == 400 and bool(_GONE_TEXT.search(self.message)))


def clean(text: object) -> str:
    """`text` on one line, shortened, without anything that looks like a key."""
    line = _SECRET.sub("…", " ".join(str(text).split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def is_refusal(words: tuple[str, ...], message: str) -> bool:
    """Whether these codes or this sentence say that a safety filter refused the content."""
    return any(_SAFETY_WORD.fullmatch(word) for word in words) or bool(_SAFETY_TEXT.search(message))


def failure_of(reply: Reply) -> Failure:
    """The error in an answer: `{"error": …}`, or a list of it, or any text."""
    try:
        given: Any = json.loads(reply.body)
    except ValueError:
        return Failure(reply.status, (), clean(reply.body[:_LONGEST].decode(errors="replace")))
    if isinstance(given, list) and given:
        given = given[0]
    error = given.get("error", given) if isinstance(given, Mapping) else {}
    if not isinstance(error, Mapping):
        error = {"message": error}
    details = error.get("details") or []
    reasons = [item.get("reason") for item in details if isinstance(item, Mapping)]
    words = (error.get("status"), error.get("code"), *reasons)
    return Failure(
        reply.status,
        tuple(str(word) for word in words if word is not None),
        clean(error.get("message", "")),
    )


def not_submitted(reply: Reply, config: RemoteConfig, model: str) -> ReelwrightError:
    """The error for an answer to the request that starts a job, which is not 200.

    After 500, 502 and 504 the job may have been started: AnswerLostError.
    """
    failure = failure_of(reply)
    said = f"{model} answered {reply.status}: {failure.message or 'without a reason'}"
    error = _rejected(failure, config, said)
    if error is not None:
        return error
    if failure.is_refusal:
        return RefusedError(failure.message)
    if reply.status == 404:
        return SettingsError(f"{said}; check `model` and `address` of {config.name}")
    if reply.status == 503:
        return UnavailableError(f"{said}; try again later")
    if _PLACE_TEXT.search(failure.message):
        return UnavailableError(f"{said}; Google does not offer it where this host is")
    if reply.status == 408 or reply.status >= 500:
        return AnswerLostError(said)
    return GenerationError(f"{said}; the request is invalid and is not repeated")


def not_answered(reply: Reply, config: RemoteConfig, model: str) -> ReelwrightError:
    """The error for an answer to a safe request, which is not 200."""
    failure = failure_of(reply)
    said = f"{model} answered {reply.status}: {failure.message or 'without a reason'}"
    # 400 for a running job was seen as a fault of the service: it may be asked again.
    return _rejected(failure, config, said) or UnavailableError(f"{said}; try again later")


def _rejected(failure: Failure, config: RemoteConfig, said: str) -> ReelwrightError | None:
    """The error for a wrong key or no quota."""
    if failure.is_wrong_key or (failure.status == 403 and not failure.is_quota):
        where = config.key or "`key`, which is not set"
        return SettingsError(f"{said}; {config.name} needs a key that may use it: check {where}")
    if failure.is_quota and not failure.is_refusal:
        return QuotaError(f"{said}; raise the quota, or wait")
    return None


def availability_of(
    connection: Connection, path: str, config: RemoteConfig, model: str
) -> Availability:
    """Whether the service answers for `path`, the address of its model. Raises nothing."""
    try:
        reply = connection.send("GET", path)
        if reply.status == 404:
            reason = f"{model} is not known there; check `model` and `address` of {config.name}"
            return Availability(available=False, reason=reason)
        if reply.status != 200:
            raise not_answered(reply, config, model)
    except ReelwrightError as error:
        return Availability(available=False, reason=str(error))
    return Availability(available=True)
