"""What a training is told: sizes of the model, numbers of clips, minutes, device."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.training.loop import Training


@dataclass(frozen=True)
class Size:
    """The networks' sizes and how much data they see."""

    vae: tuple[int, int]
    """Channels at full size of the encoder and of the decoder; twice as many deeper down."""
    text: int
    """Width of the text encoder."""
    heads: int
    """Attention heads of 32 channels."""
    layers: int
    feed_forward: int
    batch: float
    """Factor on the batches of the transformer, of the judge and of `motion`, which are counted for
    a CPU."""
    vae_batch: int
    """Clips a step of encoder and decoder."""
    crop: int
    """Cells of the side of the squares that encoder and decoder are trained on."""
    groups: int
    """Latent frames of four frames of each clip that they are trained on."""
    clips: int
    stills: int
    painted: int
    """Clips that are drawn as frames too, for encoder, decoder and judge."""


SIZES = {
    "tiny": Size((16, 16), 32, 1, 2, 64, 0.25, 2, 6, 1, 64, 64, 64),
    "small": Size((32, 32), 128, 6, 6, 512, 1, 6, 6, 2, 8000, 6000, 1500),
    "large": Size((40, 32), 128, 8, 6, 512, 10, 32, 12, 4, 60_000, 20_000, 16_000),
}
"""`small` for a CPU, `large` for a GPU, both below 20 MB in fp16; `tiny` tries the path alone."""
SHARES = {
    "text": 0.035,
    "classifier": 0.08,
    "decoder": 0.08,
    "halves": 0.04,
    "quarters": 0.03,
    "sharpen": 0.16,
    "encoder": 0.08,
    "stills": 0.1,
    "transformer": 0.315,
    "continuation": 0.08,
}
"""Of the minutes; drawing the clips comes on top. More for the text made it worse: in a trial
98 % of the things in held-out wordings were told after 2,200 steps, and 86 % after 4,000."""
PARTS = ("data", "text", "classifier", "vae", "transformer")
"""In this order, or several beside each other on a GPU that one of them does not fill."""


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
    mixed: bool = False
    """Whether to train in bfloat16; on a CPU float32 is as fast, and exact in a resumed run."""

    def minutes_of(self, stage: str) -> float:
        """The stage's part of the budget."""
        return SHARES[stage] * self.minutes

    def training(
        self, stage: str, state: dict[str, Any], optimizers: Sequence[torch.optim.Optimizer]
    ) -> Training:
        """The stage's training, with everything of `state` and the optimizers to be saved."""
        return Training(
            stage,
            self.folder,
            self.steps,
            state | {f"optimizer_{number}": each for number, each in enumerate(optimizers)},
            minutes=self.minutes_of(stage),
            by_clock=self.by_clock,
        )

    @property
    def compiled(self) -> bool:
        """On a GPU compiling takes minutes of the few that there are, and large batches gain
        little; for a few steps it is not worth it anywhere."""
        return self.device.type == "cpu" and self.steps is None

    @property
    def by_clock(self) -> bool:
        """Whether stages end when their minutes are over, as on a GPU that is lent for some
        minutes, instead of after so many steps."""
        return self.device.type == "cuda"

    @property
    def every(self) -> int:
        """Steps from one check to the next."""
        return 1000 if self.by_clock else 200

    def batch_of(self, count: int) -> int:
        """So many of what a CPU takes at a time, for this size."""
        return max(1, round(count * self.size.batch))

    def cast(self) -> torch.autocast:
        """bfloat16 where it is asked for."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed)
