"""Housekeeping in the bucket."""

import logging
from datetime import timedelta

from prefect import task

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.errors import BriefError
from tasks.knobs import STAGE

STALE_UPLOAD = timedelta(days=1)
"""No upload of ours takes longer than minutes."""
_log = logging.getLogger(__name__)


@task(name="abort-uploads", **STAGE)
def abort_uploads() -> int:
    """Abort multipart uploads that began more than STALE_UPLOAD ago. Returns how many."""
    count = ObjectStore(Settings.load().store).abort_stale_uploads(STALE_UPLOAD)
    _log.info("%s unfinished uploads aborted", count)
    return count


@task(name="purge-hand-overs", **STAGE)
def purge_hand_overs(keep_days: int) -> int:
    """Remove `runs/…` older than `keep_days`. Returns how many. Raises BriefError."""
    if not 1 <= keep_days <= 365:
        raise BriefError(f"keep_days is {keep_days}; it must be 1 to 365")
    count = ObjectStore(Settings.load().store).delete_older("runs/", timedelta(days=keep_days))
    _log.info("%s hand-overs removed", count)
    return count
