"""AnimateDiff as data: a small, fast backend for drafts.

Two models of one design: `animatediff` (25 steps, guidance), and `animatelcm`, whose adapter and
LoRA were distilled to 6 steps. Both read at most 77 tokens of CLIP, about 55 English words; what
follows is cut. The prompt does not fail, so the titles of the presets say it.

Memory on the device: the fused UNet has 1.3 billion parameters (2.6 GB in bfloat16), the text
encoder 0.25 GB, the VAE 0.33 GB in float32; the rest is the UNet's workspace for all frames at
once, about 0.16 GB for each 512*512 frame and guidance pass (derived from the 8 GB that 16 frames
are known to need; not measured here). Everything fits 22 GB up to about 48 frames; beyond, the
ladder splits the batch.
"""

from pipelines.backends.animatediff.options import (
    CONTEXT,
    AnimateDiffOptions,
    AnimateLcmOptions,
)
from pipelines.backends.base import BackendDefinition, BackendHost, VideoBackend
from pipelines.backends.texts import TextLimit
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from pipelines.schema.sizes import Size

BASE, ADAPTER, LCM = "sd15", "animatediff-adapter", "animatelcm"
"""Names in the catalog."""

_TEXT = TextLimit(77, BASE)
"""CLIP's, with the marks at both ends."""
_LIBRARIES = {
    "diffusers": (
        "AnimateDiffPipeline",
        "AutoencoderKL",
        "DDIMScheduler",
        "LCMScheduler",
        "MotionAdapter",
        "UNet2DConditionModel",
    ),
    "transformers": ("CLIPTextModel", "CLIPTokenizer"),
}
_CAPABILITIES = Capabilities(
    inputs=frozenset({"text"}),
    fps=8,
    frame_step=1,
    max_frames=64,
    sizes=(Size(512, 512), Size(768, 512), Size(512, 768), Size(128, 128), Size(64, 64)),
    side_step=8,
)


def _animatediff(host: BackendHost, _: frozenset[InputKind]) -> VideoBackend:
    from pipelines.backends.animatediff.backend import AnimateDiffBackend

    return AnimateDiffBackend(ANIMATEDIFF, host, host.model(BASE), host.model(ADAPTER))


def _animatelcm(host: BackendHost, _: frozenset[InputKind]) -> VideoBackend:
    from pipelines.backends.animatediff.backend import AnimateDiffBackend

    return AnimateDiffBackend(ANIMATELCM, host, host.model(BASE), host.model(LCM))


ANIMATEDIFF = BackendDefinition(
    libraries=_LIBRARIES,
    name="animatediff",
    title="AnimateDiff on Stable Diffusion 1.5",
    capabilities=_CAPABILITIES,
    options=AnimateDiffOptions,
    presets=(
        Preset(
            name="animatediff_draft",
            title="Draft, 512*512 at 8 fps, 2 s a chunk; reads the first 55 words or so",
            backend="animatediff",
            size=Size(512, 512),
            frames=CONTEXT,
            options=AnimateDiffOptions(),
        ),
        Preset(
            name="animatediff_long",
            title="Draft, 512*512 at 8 fps, 4 s a chunk; reads the first 55 words or so",
            backend="animatediff",
            size=Size(512, 512),
            frames=32,
            options=AnimateDiffOptions(),
        ),
    ),
    create=_animatediff,
    models=(BASE, ADAPTER),
    text=_TEXT,
)

ANIMATELCM = BackendDefinition(
    libraries=_LIBRARIES,
    name="animatelcm",
    title="AnimateLCM on Stable Diffusion 1.5 (distilled)",
    capabilities=_CAPABILITIES,
    options=AnimateLcmOptions,
    presets=(
        Preset(
            name="animatediff_turbo",
            title="Fast draft, distilled to 6 steps, 512*512 at 8 fps; reads the first 55 words",
            backend="animatelcm",
            size=Size(512, 512),
            frames=CONTEXT,
            options=AnimateLcmOptions(),
        ),
    ),
    create=_animatelcm,
    models=(BASE, LCM),
    text=_TEXT,
)

DEFINITIONS: tuple[BackendDefinition, ...] = (ANIMATEDIFF, ANIMATELCM)
