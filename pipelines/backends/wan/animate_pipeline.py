"""diffusers' WanAnimatePipeline, one segment at a time.

Its own loop makes all segments of a film in one call, and hands the last decoded frames of a
segment to the next one inside. Here a call makes one segment, and those frames are given from
outside: a film is made chunk by chunk, and goes on after a crash with the chunk that was missing.
"""

from typing import Any

import numpy as np
import torch
from diffusers import WanAnimatePipeline
from PIL import Image


class DenoisedError(Exception):
    """Carries the latents out of the pipeline, before it decodes them."""

    def __init__(self, latents: torch.Tensor) -> None:
        super().__init__("denoised")
        self.latents = latents


class SegmentPipeline(WanAnimatePipeline):  # type: ignore[misc]
    """Makes one segment.

    `previous` are the last frames of the segment before, 1 x 3 x frames x height x width in -1…1,
    or None for the first segment. `clip` encodes the character; it is no component, so that it
    stays on the CPU, where it gives the same features on every machine.
    """

    previous: torch.Tensor | None = None
    clip: Any = None
    _encoded: tuple[bytes, torch.Tensor] | None = None

    def prepare_prev_segment_cond_latents(
        self, prev_segment_cond_video: torch.Tensor | None = None, **options: Any
    ) -> torch.Tensor:
        """As a later segment's of the pipeline's own loop, if there are `previous` frames."""
        if self.previous is not None:
            prev_segment_cond_video = self.previous.to(options["device"])
            # The loop's word for "not the first one": their mask says that they are given.
            options["start_frame"] = 1
        latents: torch.Tensor = super().prepare_prev_segment_cond_latents(
            prev_segment_cond_video, **options
        )
        return latents

    def encode_image(self, image: Image.Image, device: torch.device | None = None) -> torch.Tensor:
        """CLIP's features of the character, computed once for all its chunks."""
        key = np.asarray(image).tobytes()
        if self._encoded is None or self._encoded[0] != key:
            pixels = self.image_processor(images=image, return_tensors="pt")
            states = self.clip(**pixels, output_hidden_states=True).hidden_states
            self._encoded = key, states[-2]
        return self._encoded[1].to(device)
