"""Refuses a brief at once, with a sentence on the page of its run and without a traceback.

Prefect itself would say "Validation of flow parameters failed" and print pydantic's report over
several lines, and log a traceback for every exception that leaves a flow.
"""

import functools
import logging
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from prefect.client.schemas.objects import State

from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from pipelines.planning.plan import check_timeline
from tasks.dispatch import is_deployed
from tasks.options import failed

REFUSED = "This brief cannot be made: "
"""Begins the message of a run whose brief breaks a rule."""
_LONGEST = 4_000
"""Characters of a sentence; a traceback in Prefect's message would have more."""
_FRAME = re.compile(
    r"(?:(?:Flow|Task) run encountered an exception:? "
    r"|Validation of flow parameters failed with error:? "
    r"|the run on the GPU host (?:ended as \w+: |failed \d+ times, at last with \w+: )"
    r"|(?P<error>[A-Za-z_]\w*(?:Error|Exception)): )"
)
_log = logging.getLogger("reelwright.refusals")
_Result = TypeVar("_Result")


class Told(NamedTuple):
    """What Prefect's message of a state says."""

    sentence: str
    """In one line, without Prefect's frames and names of classes around it."""
    error: str
    """Name of the class of the error that ended the run; empty if none is named."""


def told(message: str | None) -> Told:
    """The sentence in the message of a state."""
    text, error = " ".join((message or "").split()), ""
    while match := _FRAME.match(text):
        text, error = text[match.end() :], match["error"] or error
    if not text and error:  # an exception without words
        text = error
    return Told(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", error)


def refuses_briefs(
    function: Callable[[Brief], _Result],
) -> Callable[[Brief], _Result | State[Any]]:
    """Make a flow's function refuse a brief that breaks a rule before its first task.

    Prefect must not validate the parameters (`validate_parameters=False`): the function gets the
    form's values, and this makes a Brief of them. In a studio the run ends as failed, with the
    sentence as its message, also if a later stage raises BriefError. Outside, BriefError is raised.
    """

    @functools.wraps(function)
    def checked(brief: Brief) -> _Result | State[Any]:
        try:
            return function(_understood(brief))
        except BriefError as error:
            if not is_deployed():
                raise
            _log.info("%s%s", REFUSED, error)
            return failed(f"{REFUSED}{error}")

    return checked


def _understood(brief: Any) -> Brief:
    if isinstance(brief, Brief):
        found = brief
    elif isinstance(brief, dict):
        found = parse_brief(brief)
    else:
        raise BriefError(f"a brief is a form with a prompt, and not {brief!r:.80}")
    check_timeline(found)
    return found
