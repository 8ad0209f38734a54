"""What becomes of the Prefect server's errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from infra.apps.gateway.problems import ProblemError
from pipelines.errors import ServerError


@contextmanager
def asking() -> Iterator[None]:
    """Raises ServerError for a server that does not answer."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"the Prefect server does not answer: {error}") from error


@contextmanager
def there(run: UUID) -> Iterator[None]:
    """Raises ProblemError 404 for a run that the server does not know."""
    try:
        yield
    except ObjectNotFound as error:
        raise unknown(run) from error


def unknown(run: UUID) -> ProblemError:
    """A 404 for `run`."""
    return ProblemError(404, "not_found", f"there is no run {run}")
