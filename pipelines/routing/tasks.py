"""Tasks of the Wan service, by the names its clients use, and which model each one needs."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text-to-video", "image-to-video", "speech-to-video", "animation"]


@dataclass(frozen=True)
class WanTask:
    """A task and its model. `served` says whether Reelwright's studio set holds that model."""

    name: str
    kind: Kind
    model: str
    served: bool = False


WAN_TASKS = {
    task.name: task
    for task in (
        WanTask("t2v-1.3B", "text-to-video", "Wan2.1-T2V-1.3B", served=True),
        WanTask("t2v-14B", "text-to-video", "Wan2.1-T2V-14B"),
        WanTask("t2v-A14B", "text-to-video", "Wan2.2-T2V-A14B"),
        WanTask("ti2v-5B", "text-to-video", "Wan2.2-TI2V-5B"),
        WanTask("i2v-14B", "image-to-video", "Wan2.1-I2V-14B"),
        WanTask("i2v-A14B", "image-to-video", "Wan2.2-I2V-A14B"),
        WanTask("s2v-14B", "speech-to-video", "Wan2.2-S2V-14B"),
        WanTask("animate-14B", "animation", "Wan2.2-Animate-14B"),
    )
}
DEFAULT_TASKS: dict[Kind, str] = {
    "text-to-video": "t2v-1.3B",
    "image-to-video": "i2v-14B",
    "speech-to-video": "s2v-14B",
    "animation": "animate-14B",
}
"""What an address means if its request names no task."""
STANDS_IN: frozenset[Kind] = frozenset({"text-to-video", "image-to-video"})
"""What the demo set can do at its own size."""
