"""The minio SDK's client with timeouts and retries of ours: its own wait for minutes."""

import urllib3
from minio import Minio

from infra.adapters.settings import StoreSettings
from pipelines.errors import SettingsError

TRANSIENT = frozenset({500, 502, 503, 504})
"""Statuses of a store that may be better in a moment."""
_TIMEOUT = urllib3.Timeout(connect=3.0, read=60.0)
_BACKOFF = 0.3
_LONGEST_WAIT = 10.0


def connect(settings: StoreSettings, transient: frozenset[int]) -> Minio:
    """A client that asks again, for `settings.patience` seconds, after a status of `transient`.

    Raises SettingsError if the endpoint cannot be one.
    """
    try:
        return Minio(
            settings.endpoint,
            access_key=settings.access_key,
            secret_key=settings.secret_key.get_secret_value(),
            secure=settings.secure,
            region=settings.region,
            http_client=urllib3.PoolManager(
                timeout=_TIMEOUT, retries=_retries(settings.patience, transient)
            ),
        )
    except ValueError as error:
        raise SettingsError(
            f"REELWRIGHT_S3_ENDPOINT={settings.endpoint}: {error}; write host:port"
        ) from error


def _retries(patience: float, transient: frozenset[int]) -> urllib3.Retry:
    """As many as wait `patience` seconds in all, each twice as long as the one before."""
    count, waited = 0, 0.0
    while waited < patience:
        count += 1
        waited += min(_BACKOFF * 2**count, _LONGEST_WAIT)
    return urllib3.Retry(
        total=count,
        connect=count,
        backoff_factor=_BACKOFF,
        backoff_max=_LONGEST_WAIT,
        status_forcelist=transient,
    )
