"""Why a run failed, in one word that a chart can count."""

import re
from collections.abc import Iterator

from pipelines import errors
from pipelines.errors import BriefError, ReelwrightError
from tasks.refusals import REFUSED

CRASHED, OTHER = "crashed", "other"


def _kinds(base: type[ReelwrightError]) -> Iterator[type[ReelwrightError]]:
    for kind in base.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _kinds(kind)


def _word(name: str) -> str:
    """`DiskFullError` as `disk_full`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.removesuffix("Error")).lower()


_WORDS = {kind.__name__: _word(kind.__name__) for kind in _kinds(ReelwrightError)}
CAUSES = (*sorted(set(_WORDS.values())), CRASHED, OTHER)
"""Every cause, so that a counter begins at 0 for each of them."""
_NAMED = re.compile(rf"\b({'|'.join(map(re.escape, _WORDS))}): ")


def cause_of(message: str, *, crashed: bool) -> str:
    """The cause in Prefect's message of a run that failed.

    The message names the class of the error. A run that waited for another one has the message of
    that one within its own, so the last name is the cause.
    """
    if message.startswith(REFUSED):  # such a message names no class
        return _WORDS[BriefError.__name__]
    names = _NAMED.findall(message)
    if names:
        return _WORDS[names[-1]]
    return CRASHED if crashed else OTHER
