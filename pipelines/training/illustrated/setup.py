"""What a training is told: sizes of the model, numbers of clips, minutes, device."""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Size:
    """The networks' sizes and how much data they see."""

    vae: tuple[int, int]
    """Channels at full size of the encoder and of the decoder."""
    text: int
    """Width of the text encoder."""
    heads: int
    """Attention heads of 32 channels."""
    layers: int
    feed_forward: int
    batch: float
    """Factor on the batches, which are counted for a CPU."""
    clips: int
    stills: int
    vae_clips: int
    """Clips of 9 frames that the VAE is trained on."""


SIZES = {
    "tiny": Size((16, 16), 32, 1, 2, 64, 0.25, 64, 64, 64),
    "small": Size((32, 40), 128, 6, 7, 512, 1, 8000, 6000, 1200),
    "large": Size((40, 56), 128, 8, 8, 512, 8, 24000, 16000, 4000),
}
"""`small` for a CPU, `large` for a GPU, both below 20 MB in fp16; `tiny` tries the path alone."""
SHARES = {
    "text": 0.035,
    "classifier": 0.08,
    "vae": 0.17,
    "decoder": 0.08,
    "stills": 0.18,
    "transformer": 0.375,
    "continuation": 0.08,
}
"""Of the minutes; making the latents comes on top. More for the text made it worse: of held-out
wordings 98 % of the things were told after 2,200 steps, and 86 % after 4,000."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a training depends on besides its folder's state."""

    folder: Path
    things: int
    size: Size
    minutes: float
    device: torch.device
    processes: int
    """That paint clips; the clips do not depend on it."""
    steps: int | None = None
    """Of every stage, where the number is given instead of found from the minutes."""

    def minutes_of(self, stage: str) -> float:
        """The stage's part of the budget."""
        return SHARES[stage] * self.minutes

    @property
    def compiled(self) -> bool:
        """On a GPU compiling takes minutes of the few that there are, and large batches gain
        little; for a few steps it is not worth it anywhere."""
        return self.device.type == "cpu" and self.steps is None

    def batch_of(self, count: int) -> int:
        """So many of what a CPU takes at a time, for this size."""
        return max(1, round(count * self.size.batch))

    def cast(self) -> torch.autocast:
        """bfloat16 on CUDA; on a CPU float32, which is as fast there and exact in a resumed run."""
        cuda = self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=cuda)
