"""A reviewed storyboard, whose shots are made by another preset than the one that drafted them."""

from collections.abc import Sequence
from typing import Any

from pipelines.documents.brief import Brief
from pipelines.planning.plan import seconds_for, timeline


def with_other_preset(brief: Brief, name: str) -> Brief:
    """`brief`, whose shots by hand have lengths in chunks, with the preset `name`.

    Chunks of that preset may have another length. So each shot gets the share of the video that it
    had, in whole chunks and at least one. If the shots are more than the chunks, the video becomes
    longer: no shot that a person approved is left out. Raises ValidationError if the brief does not
    fit the preset, and BriefError if the video would be longer than a video may be.
    """
    moved = brief.with_preset(name)
    lengths = [shot.chunks for shot in brief.storyboard]
    if not all(lengths) or not lengths:
        return moved
    plain: dict[str, Any] = {"storyboard": (), "shots": ()}
    room = len(timeline(moved.model_copy(update=plain)))
    count = max(room, len(lengths))
    shots = [
        shot.model_copy(update={"chunks": chunks}).model_dump()
        for shot, chunks in zip(brief.storyboard, _shared(lengths, count), strict=True)
    ]
    seconds = moved.seconds if count == room else seconds_for(moved, count)
    return Brief.model_validate(moved.model_dump() | {"storyboard": shots, "seconds": seconds})


def _shared(lengths: Sequence[int], count: int) -> list[int]:
    """`count` chunks in proportion to `lengths`, at least one each. The same `count` gives the same
    lengths."""
    shared = [1] * len(lengths)
    wanted = [length * count / sum(lengths) for length in lengths]
    for _ in range(count - len(lengths)):
        index = max(range(len(lengths)), key=lambda item: wanted[item] - shared[item])
        shared[index] += 1
    return shared
