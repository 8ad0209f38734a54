"""Wan2.2-Animate for one video: its models are found and proven, but not loaded.

Memory for 22 GB, as `memory_plan` decides it (calculated from the shapes of diffusers' modules,
not measured on a GPU). The transformer has 17.3 thousand million parameters: 34.6 GB in bfloat16,
about 17.5 GB with its layers in float8, as the presets have them. UMT5 is gone before it comes,
CLIP stays on the CPU. A segment of 77 frames needs 4 GB of activations at 832*480 and 9 GB at
1280*720, and 1 to 3 GB for its videos, so in 22 GB the transformer travels block by block
(`group-offload`), with peaks of 11 and 19 GB; float8 halves what travels, and the host's memory.
From about 24 GB on it stays at 832*480. Placement does not change the pixels; float8 does, and is
in the identity.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    BackendSession,
    Effort,
)
from pipelines.backends.checkpoint import settings_of
from pipelines.backends.wan.animate_options import MODEL, AnimateOptions, Mode
from pipelines.backends.wan.backend import WanBackend
from pipelines.backends.wan.footprint import Footprint
from pipelines.backends.wan.memory_plan import MemoryPlan, Work, held_bytes, plan_memory
from pipelines.backends.wan.variants import Variant
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest

_RECIPE = "wan-animate/1"
"""Raised by hand when our own code changes the pixels."""
_PARTS = ("image_encoder", "image_processor")
_FLOATS = {"animate": 3 + 3, "replace": 3 + 3 + 3 + 1}
"""Values of four bytes that stay on the device for a pixel and frame: the pose and what the VAE
encodes as conditioning; for a replacement background and mask besides."""


class AnimateBackend(WanBackend):
    """Raises WeightsError in its constructor if a part of the model is missing."""

    def __init__(
        self,
        definition: BackendDefinition,
        host: BackendHost,
        session: Callable[[Any], BackendSession],
    ) -> None:
        variant = Variant(MODEL, route="image", channels=36)
        super().__init__(definition, variant, host, frozenset({"text"}), session)
        self.parts = (*self.parts, *_PARTS)
        for part in _PARTS:
            self.denoiser.component(part)

    @property
    def face_side(self) -> int:
        """Pixels of the square faces that the motion encoder takes; 512 in the real model."""
        config = settings_of(self.denoiser.path / "transformer" / "config.json")
        return int(config.get("motion_encoder_size", 512))

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Raises WeightsError if a LoRA is not installed or cannot be used here."""
        return {**super().identity(options), "recipe": _RECIPE}

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Megapixels x frames x steps; a step without guidance is half of one with it."""
        work, held = 0.0, 0
        plans: list[MemoryPlan] = []
        room = self.host.room_bytes()
        for request in requests:
            options = AnimateOptions.checked(request.options)
            footprint = self.footprint_of(request, options)
            plan = plan_memory(footprint, work_of(request), room, self.host.device, options.decode)
            passes = 1.0 if options.guidance > 1 else 0.5
            work += request.size.megapixels * work_of(request).frames * options.steps * passes
            plans.append(plan)
            aside = plan.decoding == "alone"
            held = held_bytes(self.footprint(options), plan.placement, aside=aside)
        return self.priced(work, plans, held)

    def footprint_of(self, request: ClipRequest, options: AnimateOptions) -> Footprint:
        """What the models take, and beside the VAE the videos of a request."""
        footprint = self.footprint(options)
        videos = video_bytes(request, options.mode, self.face_side)
        return replace(footprint, vae=footprint.vae + videos)


def work_of(request: ClipRequest) -> Work:
    """What a request means for the memory; the character is one frame of latents besides."""
    return Work(request.size, request.frames + 4, encodes=True)


def video_bytes(request: ClipRequest, mode: Mode, face_side: int) -> int:
    """What the videos of a request take on the device while it is made."""
    pixels = request.size.width * request.size.height
    return 4 * request.frames * (_FLOATS[mode] * pixels + 3 * face_side**2)
