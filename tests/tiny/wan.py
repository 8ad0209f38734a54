"""Tiny checkpoints of Wan 2.1 and 2.2.

Parameters and settings of the real models come from diffusers' conversion script
(`convert_wan_to_diffusers.py`), sizes on disk from third-party listings of the hub. All of
Wan-AI's repositories named here say Apache-2.0. No revision was verified.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.tiny.parts import (
    ABSENT,
    UMT5_WIDTH,
    WAN_PARTS,
    save_sharded,
    save_umt5,
    save_unipc,
    save_whole,
    seeded,
    write_index,
)

_TRANSFORMER = ("diffusers", "WanTransformer3DModel")


def write_wan_t2v(folder: Path, seed: int = 0) -> None:
    """Text to video: Wan-AI/Wan2.1-T2V-1.3B-Diffusers and Wan-AI/Wan2.1-T2V-14B-Diffusers.

    Real: 1.3B has 12 heads of 128, 30 layers, ffn 8960; 14B has 40 heads, 40 layers, ffn 13824;
    the folders differ in nothing else. Transformers in float32 (1.3B in two shards; 14B's number
    of shards not verified), VAE 508 MB in float32, one file.
    Call: `WanPipeline(prompt, negative_prompt, height, width, num_frames, …)`.
    Constraints: sides that are no multiple of 16 raise; frames that are not 4k+1 become
    `frames // 4 * 4 + 1` (7 gives 5, 8 gives 9) with a warning in diffusers' log, which the studio
    silences; one frame is allowed; the model knows no frame rate (trained at 16).
    `guidance_scale_2` raises.
    """
    with seeded(seed):
        save_umt5(folder)
        save_whole(wan_vae(), folder / "vae")
        save_sharded(wan_transformer(), folder / "transformer")
    save_unipc(folder, flow_shift=3.0)
    write_index(folder, "WanPipeline", {**WAN_PARTS, "transformer": _TRANSFORMER})


def write_wan_vace(folder: Path, seed: int = 0) -> None:
    """Video with known frames: Wan-AI/Wan2.1-VACE-1.3B-diffusers (small d in the real name).

    Real: the 1.3B above with VACE blocks at every second of its 30 layers and 96 input channels.
    Shards and their number not verified.
    Call: `WanVACEPipeline(video=…, mask=…, reference_images=…)`; in the mask white is made, black
    is kept. Constraints: `video` and `mask` are equally long (raises), sides are multiples of 16,
    frames 4k+1 as above; reference images are PIL images. `video` must have `num_frames` frames of
    height x width: a larger one is shrunk, but a smaller or shorter one is accepted and its tokens
    land in wrong places, since the transformer only pads them with zeros.
    """
    from diffusers import WanVACETransformer3DModel

    with seeded(seed):
        save_umt5(folder)
        save_whole(wan_vae(), folder / "vae")
        transformer = WanVACETransformer3DModel(
            **transformer_config(), vace_layers=[0, 2], vace_in_channels=96
        )
        save_sharded(transformer, folder / "transformer")
    save_unipc(folder, flow_shift=3.0)
    parts = {**WAN_PARTS, "transformer": ("diffusers", "WanVACETransformer3DModel")}
    write_index(folder, "WanVACEPipeline", parts)


def write_wan_ti2v(folder: Path, seed: int = 0) -> None:
    """Text and picture to video: Wan-AI/Wan2.2-TI2V-5B-Diffusers.

    Real: 24 heads of 128, 30 layers, ffn 14336, 48 channels; Wan 2.2's VAE (base 160, decoder
    256, 16 x 16 x 4, z_dim 48). Sizes on disk not verified.
    One folder, two calls: `WanPipeline.from_pretrained` for text and
    `WanImageToVideoPipeline.from_pretrained` for a picture; `expand_timesteps` comes from
    `model_index.json` in both.
    Constraints: the check asks for multiples of 16, but sides are lowered to multiples of 32 (VAE
    16 x patch 2) with a warning; frames 4k+1; trained for 24 fps and 1280*704. One picture a
    call, of any size (it is resized, not cropped); a `last_image` is accepted and ignored.
    """
    with seeded(seed):
        save_umt5(folder)
        save_whole(_wan22_vae(), folder / "vae")
        save_sharded(wan_transformer(in_channels=48, out_channels=48), folder / "transformer")
    save_unipc(folder, flow_shift=5.0)
    parts = {**WAN_PARTS, "transformer": _TRANSFORMER, "transformer_2": ABSENT}
    write_index(folder, "WanPipeline", parts, boundary_ratio=None, expand_timesteps=True)


def write_wan_t2v_a14b(folder: Path, seed: int = 0) -> None:
    """Text to video by two transformers: Wan-AI/Wan2.2-T2V-A14B-Diffusers.

    Real: two of the 14B transformers, each 57.2 GB in float32 in 12 shards, the text encoder
    11.4 GB in three, the VAE of Wan 2.1 (0.5 GB): 126 GB to download, half of it needed in bf16.
    `transformer` works while `timestep >= 0.875 * 1000`, then `transformer_2`.
    Constraints: those of 2.1; `guidance_scale_2` raises where `boundary_ratio` is None.
    """
    _write_a14b(folder, seed, "WanPipeline", in_channels=16, boundary_ratio=0.875)


def write_wan_i2v_a14b(folder: Path, seed: int = 0) -> None:
    """Picture to video by two transformers, without CLIP: Wan-AI/Wan2.2-I2V-A14B-Diffusers.

    Real: as T2V-A14B, 12 shards a transformer, about 126 GB. 36 input channels: 16 of noise, 16
    of the encoded picture, 4 of the mask. `boundary_ratio` 0.9; no `image_encoder`.
    Call: `WanImageToVideoPipeline(image=…, last_image=…)`. Constraints: those of 2.1;
    `image_embeds` raises.
    """
    _write_a14b(
        folder,
        seed,
        "WanImageToVideoPipeline",
        in_channels=36,
        boundary_ratio=0.9,
        absent=("image_encoder", "image_processor"),
    )


def _write_a14b(
    folder: Path,
    seed: int,
    class_name: str,
    in_channels: int,
    boundary_ratio: float,
    absent: tuple[str, ...] = (),
) -> None:
    with seeded(seed):
        save_umt5(folder)
        save_whole(wan_vae(), folder / "vae")
        for name in ("transformer", "transformer_2"):
            save_sharded(wan_transformer(in_channels=in_channels), folder / name)
    save_unipc(folder, flow_shift=3.0)
    parts: Mapping[str, Any] = {
        **WAN_PARTS,
        "transformer": _TRANSFORMER,
        "transformer_2": _TRANSFORMER,
        **dict.fromkeys(absent, ABSENT),
    }
    options = {"boundary_ratio": boundary_ratio, "expand_timesteps": False}
    write_index(folder, class_name, parts, **options)


def transformer_config(**other: Any) -> dict[str, Any]:
    """The real config's keys; two heads of 12, four layers."""
    return {
        "added_kv_proj_dim": None,
        "attention_head_dim": 12,
        "cross_attn_norm": True,
        "eps": 1e-06,
        "ffn_dim": 48,
        "freq_dim": 32,
        "image_dim": None,
        "in_channels": 16,
        "num_attention_heads": 2,
        "num_layers": 4,
        "out_channels": 16,
        "patch_size": (1, 2, 2),
        "pos_embed_seq_len": None,
        "qk_norm": "rms_norm_across_heads",
        "rope_max_seq_len": 1024,
        "text_dim": UMT5_WIDTH,
        **other,
    }


def wan_transformer(**other: Any) -> Any:
    from diffusers import WanTransformer3DModel

    return WanTransformer3DModel(**transformer_config(**other))


def wan_vae() -> Any:
    """Wan 2.1's VAE: 8 x 8 x 4, 16 channels; the real one's base is 96, with two blocks a level.

    Mean and deviation of the latents are the real ones, diffusers' defaults.
    """
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
    )


def _wan22_vae() -> Any:
    """Wan 2.2's VAE: pixels unshuffled by 2, residual down and up blocks, 16 x 16 x 4.

    Mean and deviation are not the real ones, but differ from channel to channel like them.
    """
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=8,
        z_dim=48,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
        latents_mean=[(channel - 24) / 100 for channel in range(48)],
        latents_std=[0.5 + channel / 100 for channel in range(48)],
    )
