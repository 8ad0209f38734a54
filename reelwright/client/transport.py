"""Sends requests to the gateway, and repeats those that may be repeated."""

import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from reelwright.client.errors import (
    ClientError,
    NotReachableError,
    UnexpectedAnswerError,
    error_of,
)

Model = TypeVar("Model", bound=BaseModel)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before the first repetition, twice as many before each further one; and the most that is
waited, also if the gateway asks for more."""
_LATER = {429, 503}
"""Statuses that say `try again`: nothing was done."""


class Transport:
    """One connection pool to one gateway."""

    def __init__(
        self,
        client: httpx.Client,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._retries, self._sleep = client, retries, sleep

    def send(self, method: str, path: str, **values: Any) -> httpx.Response:
        """The answer to a request, with a status below 400.

        A GET, and a POST with an `Idempotency-Key`, are sent again if the gateway cannot be
        reached or says that it has no time. Raises ApiError if it refuses, NotReachableError if it
        cannot be reached, UnexpectedAnswerError if something else answers.
        """
        repeatable = method == "GET" or bool(values.get("headers", {}).get("Idempotency-Key"))
        left = self._retries if repeatable else 0
        for number in range(left + 1):
            try:
                answer = self._client.request(method, path, **values)
            except httpx.TransportError as error:
                if number == left:
                    raise unreachable(error, self._client.base_url) from error
                self._sleep(_pause(number, None))
                continue
            if answer.status_code not in _LATER or number == left:
                break
            self._sleep(_pause(number, answer))
        if answer.is_error:
            raise error_of(answer)
        return answer

    def stream(self, path: str, write: Callable[[bytes], object]) -> None:
        """Hand the body of a GET to `write`, block by block. Raises as `send`."""
        try:
            with self._client.stream("GET", path) as answer:
                if answer.is_error:
                    answer.read()
                    raise error_of(answer)
                for block in answer.iter_bytes():
                    write(block)
        except httpx.TransportError as error:
            raise unreachable(error, self._client.base_url) from error


def unreachable(error: Exception, address: object) -> ClientError:
    """The error for a gateway that does not answer."""
    return NotReachableError(
        f"the gateway at {address} does not answer: {error or type(error).__name__}; check the "
        "address, and whether the studio runs"
    )


def json_of(answer: httpx.Response) -> Any:
    """The body as JSON. Raises UnexpectedAnswerError if it is none."""
    try:
        return answer.json()
    except ValueError as error:
        raise UnexpectedAnswerError(
            f"{answer.url} answered something that is no JSON; check the address"
        ) from error


def checked(kind: type[Model], value: Any, answer: httpx.Response) -> Model:
    """`value`, which `answer` contains, as a model. Raises UnexpectedAnswerError if it is none."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UnexpectedAnswerError(
            f"{answer.url.path} answered something that this client cannot read; the gateway may "
            f"be of another version: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}"
        ) from error


def _pause(number: int, answer: httpx.Response | None) -> float:
    """Seconds until the next try: as the gateway asks, else longer each time, never two clients in
    step."""
    asked = answer.headers.get("retry-after", "") if answer is not None else ""
    if asked.isdigit():
        return min(float(asked), _LONGEST_PAUSE)
    return float(min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE) * random.uniform(0.5, 1.0))
