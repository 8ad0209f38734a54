"""Tasks of the Wan service, by the names its clients use, and the backend that answers each."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text-to-video", "image-to-video", "speech-to-video", "animation"]


@dataclass(frozen=True)
class WanTask:
    """A task and its model."""

    name: str
    kinds: frozenset[Kind]
    model: str
    backend: str = ""
    """Empty if no backend runs that model yet."""


def _task(name: str, model: str, backend: str, *kinds: Kind) -> WanTask:
    return WanTask(name, frozenset(kinds), model, backend)


WAN_TASKS = {
    task.name: task
    for task in (
        _task("t2v-1.3B", "Wan2.1-T2V-1.3B", "wan-t2v-1.3b", "text-to-video"),
        _task("t2v-14B", "Wan2.1-T2V-14B", "wan-t2v-14b", "text-to-video"),
        _task("t2v-A14B", "Wan2.2-T2V-A14B", "wan-t2v-a14b", "text-to-video"),
        _task("ti2v-5B", "Wan2.2-TI2V-5B", "wan-ti2v-5b", "text-to-video", "image-to-video"),
        _task("i2v-14B", "Wan2.1-I2V-14B", "", "image-to-video"),
        _task("i2v-A14B", "Wan2.2-I2V-A14B", "wan-i2v-a14b", "image-to-video"),
        _task("s2v-14B", "Wan2.2-S2V-14B", "", "speech-to-video"),
        _task("animate-14B", "Wan2.2-Animate-14B", "wan-animate-14b", "animation"),
    )
}
DEFAULT_TASKS: dict[Kind, str] = {
    "text-to-video": "t2v-1.3B",
    "image-to-video": "i2v-A14B",
    "speech-to-video": "s2v-14B",
    "animation": "animate-14B",
}
"""What an address means if its request names no task."""
STANDS_IN: frozenset[Kind] = frozenset({"text-to-video", "image-to-video"})
"""What the stand-in can do at its own size."""
