"""Everything that the client raises."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx


class ClientError(Exception):
    """The base of all errors of this client."""


class NotReachableError(ClientError):
    """The gateway did not answer, or broke off. It may have done what was asked."""


class UnexpectedAnswerError(ClientError):
    """What answered is no gateway of Reelwright, or one of a version that this client cannot
    read."""


class WaitTimeoutError(ClientError, TimeoutError):
    """A run did not end in the time that the caller gave. It goes on; wait for it again."""


class RunEndedError(ClientError):
    """A run ended without a video, or has none yet."""


class ApiError(ClientError):
    """The gateway refused a request."""

    def __init__(self, status: int, code: str, message: str, run: str = "") -> None:
        self.status = status
        """HTTP status."""
        self.code = code
        """For programs, such as `invalid_brief`."""
        self.message = message
        """For people: what is wrong."""
        self.remedy = _remedies().get(code, "")
        """For people: what helps; empty for a code that is younger than this client."""
        self.run = run
        """Address of the run, if there is one."""
        super().__init__(
            f"{message} ({code}, {status})" + (f" {self.remedy}" if self.remedy else "")
        )


def error_of(answer: httpx.Response) -> ClientError:
    """The error that a response with a status of 400 or above describes."""
    try:
        error: Any = answer.json()["error"]
        return ApiError(
            answer.status_code, str(error["code"]), str(error["message"]), str(error.get("run", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        text = answer.text[:200]
        return UnexpectedAnswerError(
            f"{answer.url} answered {answer.status_code} and not as a gateway does: {text!r}; "
            "check the address, and what lies before it"
        )


@cache
def _remedies() -> dict[str, str]:
    """What helps, by code; the file is written from the gateway's own table."""
    text = Path(__file__).with_name("remedies.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found
