"""What each stage of a run takes on the device, as the plans for this host say it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipelines.backends.base import Effort
from pipelines.schema.sizes import Size
from pipelines.schema.stages import Stage
from pipelines.upscaling.ladder import Way, ways_for

PROCESS_BYTES = 1_000_000_000
"""Resident size with torch and diffusers imported and no model loaded (measured, CPU)."""


@dataclass(frozen=True)
class Footprint:
    """What the models besides the backend's take on this host's device, and what is there."""

    enhancer: int
    """Bytes of the language model while it writes."""
    upscaler: int
    """Bytes of the upscaler's weights."""
    way: Way = field(default_factory=lambda: Way(1))
    """How the upscaler works if the memory allows."""
    scale: int = 4
    """By how much its network enlarges."""
    value_bytes: int = 4
    """Width of its numbers."""
    base: int = PROCESS_BYTES
    """Bytes of the process without models: on a GPU its context, else all that it has."""
    room: int = sys.maxsize
    """Bytes that are free beside it once every loaded model has gone."""
    loaded: int = 0
    """Bytes of the models that an earlier run has left on the device."""


@dataclass(frozen=True)
class StageMemory:
    """Bytes on the device in one stage, with the base."""

    peak: int
    parts: Mapping[str, int] = field(default_factory=dict)
    """The same for parts of the stage that differ."""


def memory_of(effort: Effort, host: Footprint, size: Size) -> dict[Stage, StageMemory]:
    """The memory of every stage, for a backend that needs `effort` for clips of `size`.

    Models that are loaded stay where there is room for them, as the host keeps them.
    """

    def beside(need: int) -> int:
        return need + (host.loaded if need + host.loaded <= host.room else 0)

    parts: dict[str, int] = {
        name: host.base + used for name, used in effort.phases.items() if name != "encode"
    }
    alone = StageMemory(host.base + effort.held_bytes)
    return {
        "enhance": StageMemory(host.base + beside(host.enhancer)),
        "encode": StageMemory(host.base + beside(effort.phases.get("encode", 0))),
        "chunks": StageMemory(max(parts.values(), default=host.base + effort.memory_bytes), parts),
        "stitch": alone,
        "upscale": StageMemory(host.base + _upscaling(effort, host, size)),
        "upload": alone,
    }


def _upscaling(effort: Effort, host: Footprint, size: Size) -> int:
    """The video model stays on the device if one frame can be enlarged beside it."""

    def workspace(way: Way) -> int:
        return host.upscaler + way.workspace(size, host.scale, host.value_bytes)

    one = workspace(Way(1, host.way.tile))
    held = effort.held_bytes if effort.held_bytes + one <= host.room else 0
    free = host.room - held - host.upscaler
    first, *_ = ways_for(size, host.way, host.scale, host.value_bytes, free=free)
    return held + workspace(first)
