"""What a Wan variant takes on the device, told from its files without loading them.

The constants are live bytes that diffusers 0.42's own modules allocate, run on meta tensors with
the settings of the released models. They are given per channel, so that they hold for small
checkpoints of the same classes too.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.backends.checkpoint import bytes_on_device, settings_of
from pipelines.errors import WeightsError
from pipelines.schema.sizes import Size

_CHANNEL, _HIDDEN = 14, 3.2
"""Bytes a token that a block holds at once, for each channel of a token and of the feed-forward:
49 kB for the 1.3B, 87 (measured 83) for the 5B, 116 for the 14B."""
_VACE = 2
"""A VACE transformer holds its control's tokens besides."""
ENCODING = 1.1
"""Memory that the text encoder needs while it works, as a multiple of its weights."""
_WAN21, _WAN22 = (81, 225), (91, 340)
"""Bytes a pixel for each channel of the VAE's last level, decoding in float32: of a single frame,
and of each of several. Wan 2.2's VAE has residual levels, and a channel unfolds to 4 pixels. Wan
2.1's on meta tensors: 72 and 213. On an H200, with cuDNN's workspace, for which the plans have a
headroom of a tenth: 88 and 237 to 246 (2026-11-28, `make bench-gpu`). Here stands a tenth less."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of weights, and of workspace in the units that it grows with."""

    transformers: tuple[int, ...]
    """Bytes of each on the device."""
    blocks: int
    """Blocks of a transformer."""
    vae: int
    """Bytes of the VAE on the device."""
    token_bytes: float
    """Workspace a token while a transformer computes."""
    still_pixel_bytes: float
    """Workspace a pixel while the VAE decodes a single frame in float32."""
    pixel_bytes: float
    """The same while it decodes several frames, whatever their number."""
    token_side: int
    """Pixels of a token's side: the VAE's factor times the patch."""
    token_frames: int
    """Frames of a token, after the first frame."""

    def tokens(self, size: Size, frames: int) -> int:
        """Tokens of a clip."""
        packed = (frames - 1) // self.token_frames + 1
        return packed * (size.width // self.token_side) * (size.height // self.token_side)


def footprint_of(folder: Path, transformers: tuple[str, ...], stored: str) -> Footprint:
    """Of the model in `folder` with its transformers stored as `stored`.

    Raises WeightsError if a file cannot be read.
    """
    config = settings_of(folder / transformers[0] / "config.json")
    vae = settings_of(folder / "vae" / "config.json")
    still, several = _WAN22 if vae.get("is_residual") else _WAN21
    try:
        width = config["num_attention_heads"] * config["attention_head_dim"]
        token = _CHANNEL * width + _HIDDEN * config["ffn_dim"]
        level = (vae.get("decoder_base_dim") or vae["base_dim"]) / (vae.get("patch_size") or 1) ** 2
        return Footprint(
            transformers=tuple(bytes_on_device(folder / name, stored) for name in transformers),
            blocks=config["num_layers"],
            vae=bytes_on_device(folder / "vae", "float32"),
            token_bytes=token * (_VACE if config.get("vace_layers") else 1),
            still_pixel_bytes=still * level,
            pixel_bytes=several * level,
            token_side=(vae.get("scale_factor_spatial") or 8) * config["patch_size"][-1],
            token_frames=vae.get("scale_factor_temporal") or 4,
        )
    except (KeyError, TypeError, IndexError) as error:
        raise WeightsError(
            f"the settings in {folder} are none of a Wan model: {error!r}; download it again"
        ) from error
