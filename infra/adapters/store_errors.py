"""The object store's errors in words."""

from minio.error import S3Error

_REFUSED = {"AccessDenied", "SignatureDoesNotMatch", "InvalidAccessKeyId", "Forbidden"}
_FULL = {"XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XAmzQuotaExceeded"}


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
