"""The minio SDK's client with timeouts and retries of ours: its own wait for minutes."""

import logging

import urllib3
from minio import Minio

from infra.adapters.settings import StoreSettings
from pipelines.errors import SettingsError

TRANSIENT = frozenset({500, 502, 503, 504})
"""Statuses of a store that may be better in a moment."""
_CONNECT, _READ = 3.0, 60.0
"""Seconds to wait for a connection, and for the next bytes."""
_BACKOFF = 0.3
_LONGEST_WAIT = 10.0


def _is_news(record: logging.LogRecord) -> bool:
    """False for urllib3's warning that a connection is closed instead of kept: of many calls at
    the same time some are more than `connections`, and nothing is lost by it."""
    return not record.msg.startswith("Connection pool is full")


logging.getLogger("urllib3.connectionpool").addFilter(_is_news)


def connect(
    settings: StoreSettings,
    transient: frozenset[int],
    connections: int,
    read_seconds: float | None,
) -> Minio:
    """A client that asks again, for `settings.patience` seconds, after a status of `transient`.

    `connections` is how many are kept for the next call. With `read_seconds`, silence of that
    length ends a call at its second attempt, for callers that cannot wait longer.
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
                maxsize=connections,
                timeout=urllib3.Timeout(connect=_CONNECT, read=read_seconds or _READ),
                retries=_retries(settings.patience, transient, None if read_seconds is None else 1),
            ),
        )
    except ValueError as error:
        raise SettingsError(
            f"REELWRIGHT_S3_ENDPOINT={settings.endpoint}: {error}; write host:port"
        ) from error


def _retries(patience: float, transient: frozenset[int], reads: int | None) -> urllib3.Retry:
    """As many as wait `patience` seconds in all, each twice as long as the one before; at most
    `reads` of them for a server that was reached and kept silent."""
    count, waited = 0, 0.0
    while waited < patience:
        count += 1
        waited += min(_BACKOFF * 2**count, _LONGEST_WAIT)
    return urllib3.Retry(
        total=count,
        connect=count,
        read=reads,
        backoff_factor=_BACKOFF,
        backoff_max=_LONGEST_WAIT,
        status_forcelist=transient,
    )
