"""What becomes of a delivery of a webhook: one way for the gateway and for `reelwright hooks try`.

Nothing here starts a run or remembers a delivery.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.apps.gateway.hooks import Source
from infra.apps.gateway.problems import ProblemError
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.plan import check_timeline


@dataclass(frozen=True)
class Outcome:
    """What a delivery means."""

    event: str
    brief: Brief | None
    """None if its source does not ask for this event."""
    sentence: str = ""
    """Why nothing is started."""


def require_size(source: Source, size: int) -> None:
    """Raises ProblemError 413 if a body of `size` bytes is larger than `source` may send."""
    if size > source.max_bytes:
        raise ProblemError(
            413,
            "too_large",
            f"the body is too large: this source may send {source.max_bytes:,} bytes at most",
        )


def outcome_of(source: Source, headers: Mapping[str, str], body: bytes) -> Outcome:
    """What a delivery means whose signature is proved. Names of headers are in small letters.

    Raises ProblemError 400 if the body is no JSON, and 422 if it makes no brief.
    """
    payload = parse_body(body)
    event = source.event_of(headers, payload)
    if not source.wants(event):
        return Outcome(event, None, _not_wanted(source, event))
    try:
        brief = source.brief_of(payload)
        check_timeline(brief)
    except BriefError as error:
        raise ProblemError(422, "invalid_payload", str(error)) from error
    return Outcome(event, brief)


def tried(
    source: Source, headers: Mapping[str, str], body: bytes, event: str | None = None
) -> Outcome:
    """What the gateway would make of this delivery; starts nothing.

    Without `headers`, the delivery is signed here with the source's own secret, and `event` is the
    name that the sender would give it in a header. Raises ProblemError as the gateway answers.
    """
    require_size(source, len(body))
    given = {name.lower(): value for name, value in headers.items()}
    signed = given or source.signed(body, event)
    source.delivery(signed, body)
    return outcome_of(source, signed, body)


def parse_body(body: bytes) -> Any:
    """JSON. Raises ProblemError 400."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "no_json", f"the body is no JSON: {error}") from error


def _not_wanted(source: Source, event: str) -> str:
    return (
        f"the event {event!r:.60} is not asked for; this source asks for "
        f"{', '.join(source.events)}, and {source.place_of_event} names it"
    )
