"""Stores why a run on the GPU host failed, if that decides what the waiting flow does next."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.runtime import deployment, flow_run
from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.failure import Failure
from pipelines.errors import ReelwrightError, StoreError
from pipelines.schema.keys import ObjectKey

_log = logging.getLogger("reelwright.failures")


@contextmanager
def failures_handed_off() -> Iterator[None]:
    """Raise every error of the block again, after storing it if `Failure` knows its kind.

    If the store fails, the waiting flow sees a failed run without a kind, and ends as failed: no
    other backend is tried by mistake.
    """
    try:
        yield
    except ReelwrightError as error:
        failure = Failure.of(error)
        if failure and deployment.id is not None:
            try:
                ObjectStore(Settings.load().store).put_bytes(
                    ObjectKey.failure(flow_run.id),
                    failure.model_dump_json().encode(),
                    "application/json",
                )
            except ReelwrightError as problem:
                _log.warning("the kind of this failure could not be stored: %s", problem)
        raise


def failure_of(run: UUID) -> ReelwrightError | None:
    """The error that `run` stored; None if it stored none that can be read."""
    try:
        data = ObjectStore(Settings.load().store).get_bytes(ObjectKey.failure(run))
        return Failure.model_validate_json(data).error if data else None
    except (StoreError, ValidationError) as error:
        _log.warning("why run %s failed cannot be read: %s", run, error)
        return None
