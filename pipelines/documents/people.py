"""Who asked for a video and who approved it, for its manifest."""

from collections.abc import Iterable
from typing import Literal
from uuid import UUID

from pipelines.schema.frozen import Frozen


class Act(Frozen):
    """What one person, system or schedule did for a video."""

    did: Literal["asked", "approved"]
    about: Literal["", "cost", "storyboard", "video"] = ""
    """What was approved."""
    name: str
    """A user or API key of the gateway, `operator`, `webhook:NAME`, `calendar:NAME`, or `prefect`
    for somebody on Prefect's pages, which know no names; `silence` if nobody decided in time."""
    when: str
    """UTC, ISO 8601."""
    run: UUID
    """The run of `produce-content`."""


def merged(before: Iterable[Act], later: Iterable[Act]) -> tuple[Act, ...]:
    """All acts in their order, each by its name once: who asks for the same video again is no other
    person."""
    found: dict[tuple[str, str, str], Act] = {}
    for act in (*before, *later):
        found.setdefault((act.did, act.about, act.name), act)
    return tuple(found.values())
