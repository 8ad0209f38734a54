"""How often the object store is asked again, and its errors in words."""

import urllib3
from minio.error import S3Error

_BACKOFF = 0.3
_LONGEST_WAIT = 10.0
_REFUSED = {"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "Forbidden"}
_FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XAmzQuotaExceeded"}


def retries(patience: float) -> urllib3.Retry:
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
        status_forcelist=[500, 502, 503, 504],
    )


def reason(error: S3Error) -> str:
    """What the store said, and what to do about it."""
    code = str(error.code)
    if code in _REFUSED:
        return (
            f"the store refuses our keys ({code}); check REELWRIGHT_S3_ACCESS_KEY and "
            "REELWRIGHT_S3_SECRET_KEY"
        )
    if code in _FULL:
        return f"the store is full ({code}); what was stored before is safe: free some room"
    return f"{code}: {error.message}"


def root_of(error: BaseException) -> str:
    """What urllib3 wrapped several times, in its own words."""
    while (inner := getattr(error, "reason", None)) and isinstance(inner, BaseException):
        error = inner
    return str(error).rpartition(": ")[2] or type(error).__name__
