"""Reads what the servers answer, above all when they refuse.

Errors come as `{"error": {"code", "message"}}` (vLLM-Omni, Reelwright), as `{"error": {"message"}}`
and as FastAPI's `{"detail": …}` (all of them).
"""

from typing import Any

from pipelines.backends.remote.access import Reply
from pipelines.backends.remote.words import words_of
from pipelines.errors import (
    AnswerLostError,
    GenerationError,
    QuotaError,
    RefusedError,
    SettingsError,
    UnavailableError,
)

_REFUSALS = frozenset(
    {"content_policy_violation", "moderation_blocked", "run_refused", "run_rejected"}
)
"""Codes of errors about content: OpenAI's two, and Reelwright's own. `run_rejected`: a person
there rejected it."""
_LONGEST = 300
"""Characters of the id of a job."""
MOST_BYTES = 1_000_000_000
"""Of a clip that is fetched."""


def is_refusal(error: object) -> bool:
    """Whether an error object is about content."""
    return isinstance(error, dict) and error.get("code") in _REFUSALS


def check(reply: Reply, server: str) -> None:
    """Raises what the status of `reply` means; nothing for one from 200 to 299.

    RefusedError for content, QuotaError, SettingsError for a key that is not accepted,
    GenerationError for an invalid request, UnavailableError for everything else.
    """
    if 200 <= reply.status < 300:
        return
    body = body_of(reply)
    said = words_of(body) or f"status {reply.status} without a reason"
    if isinstance(body, dict) and is_refusal(body.get("error")):
        raise RefusedError(said)
    match reply.status:
        case 401 | 403:
            raise SettingsError(
                f"{server} does not accept our key ({said}); correct `key` in the backends file"
            )
        case 429:
            raise QuotaError(f"{server} takes no more requests for now: {said}")
        case 400 | 413 | 422:
            raise GenerationError(f"{server} calls the request invalid: {said}")
        case 404 | 405:
            raise UnavailableError(
                f"{server} has no such address ({said}); give `address` in the backends file "
                "without /v1, and check `kind` and `dialect`"
            )
        case status if 300 <= status < 400:
            raise UnavailableError(
                f"{server} answers with a redirection, which is not followed; give its final "
                "address in the backends file"
            )
    raise UnavailableError(f"{server} cannot work now: {said}")


def started(reply: Reply, field: str, server: str) -> str:
    """The id in the answer to a request that started a job.

    Raises AnswerLostError if it cannot be read: the job may be there, but nobody knows as what.
    """
    body = body_of(reply)
    found = body.get(field) if isinstance(body, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= _LONGEST:
        raise AnswerLostError(f"{server} accepted a job but did not say under which id")
    return found


def record(reply: Reply, server: str) -> dict[str, Any]:
    """The object in an answer. Raises UnavailableError if it is none."""
    body = reply.json()
    if not isinstance(body, dict):
        raise UnavailableError(f"{server} answered with something else than an object")
    return body


def body_of(reply: Reply) -> Any:
    """The JSON in an answer; None if there is none."""
    try:
        return reply.json()
    except UnavailableError:
        return None
