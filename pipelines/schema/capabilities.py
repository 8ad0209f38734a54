"""What a backend can do, as data. Only `backends/` compares the names of backends."""

from typing import Literal

from pipelines.schema.frozen import Frozen
from pipelines.schema.limits import MAX_REFERENCES
from pipelines.schema.request import InputKind
from pipelines.schema.sizes import Size


class Capabilities(Frozen):
    """Limits of one backend. They are known before a model loads."""

    inputs: frozenset[InputKind]
    """Kinds of input that it accepts; `text` is always one of them."""
    required: frozenset[InputKind] = frozenset()
    """Kinds that every request must have, such as a picture."""
    fps: int
    """Frames a second of its clips."""
    frame_step: int
    frame_offset: int = 1
    """A clip has `frame_offset + k * frame_step` frames."""
    min_frames: int = 1
    max_frames: int
    sizes: tuple[Size, ...]
    """Sizes that a brief may ask for."""
    side_step: int = 16
    """Width and height are multiples of it."""
    overlap: int = 0
    """Frames of the previous chunk that a continued chunk is given and repeats; 0 if it cannot
    continue."""
    max_references: int = MAX_REFERENCES
    """Most reference pictures of one clip, if it takes any."""
    audio: bool = False
    """Whether its clips have sound."""
    reproducible: bool = True
    """Whether the same request gives the same pixels again."""
    retakes: bool = True
    """Whether a faulty take is made again with another seed; False where each one is paid for."""
    location: Literal["device", "remote"] = "device"
    """`device`: needs this machine's device, weights and lock. `remote`: needs none of them."""

    @property
    def stills(self) -> bool:
        """Whether it makes single pictures."""
        return self.is_length(1)

    @property
    def longest(self) -> int:
        """The longest valid length, in frames."""
        steps = (self.max_frames - self.frame_offset) // self.frame_step
        return self.frame_offset + steps * self.frame_step

    @property
    def shortest_continued(self) -> int:
        """Fewest frames of a chunk that goes on: something new must follow what is repeated, and
        enough of it for the next chunk to go on from."""
        return self.lengths_around(self.overlap + max(self.frame_step, self.overlap))[1]

    def is_length(self, frames: int) -> bool:
        """Whether one call can make exactly `frames` frames."""
        return (
            self.min_frames <= frames <= self.max_frames
            and (frames - self.frame_offset) % self.frame_step == 0
        )

    def lengths_around(self, frames: int) -> tuple[int, int]:
        """The longest valid length up to `frames`, and the shortest one from `frames` on."""
        first = self.min_frames + (self.frame_offset - self.min_frames) % self.frame_step
        below = frames - (frames - self.frame_offset) % self.frame_step
        above = below if below == frames else below + self.frame_step
        return min(max(below, first), self.longest), min(max(above, first), self.longest)

    @property
    def length_rule(self) -> str:
        """The rule for lengths in words."""
        if self.frame_step == 1:
            return f"{self.min_frames} to {self.max_frames}"
        offset = f"+{self.frame_offset}" if self.frame_offset else ""
        return f"{self.frame_step}k{offset} from {self.min_frames} to {self.longest}"
