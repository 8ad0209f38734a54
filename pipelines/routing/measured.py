"""Qualities that people have rated, which replace the policy's assumptions."""

import json
from collections.abc import Mapping

from pipelines.schema.frozen import Frozen

_PEOPLE = "people"
"""Scorers of ratings by people begin with it. Values of other scorers have other scales."""


class Measured(Frozen):
    """The mean rating of a preset's videos."""

    rating: float
    """1 to 5."""
    videos: int
    """Videos that were rated."""
    scorer: str


def measured_in(data: bytes) -> Mapping[str, Measured]:
    """The ratings in the summary that a comparison of backends writes, by preset.

    Whatever is not as expected is left out: the policy's assumption holds then.
    """
    try:
        listed = json.loads(data)["presets"]
        rows = [(name, item) for name, values in listed.items() for item in values["qualities"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    found: dict[str, Measured] = {}
    for name, item in rows:
        try:
            measured = Measured(rating=item["value"], videos=item["n"], scorer=item["scorer"])
        except (ValueError, KeyError, TypeError):
            continue
        if measured.scorer.startswith(_PEOPLE) and 1 <= measured.rating <= 5:
            found[name] = measured
    return found
