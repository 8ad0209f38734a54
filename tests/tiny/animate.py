"""A tiny checkpoint of Wan2.2-Animate."""

from pathlib import Path

from tests.tiny.parts import (
    WAN_PARTS,
    save_sharded,
    save_umt5,
    save_unipc,
    save_whole,
    seeded,
    write_index,
)
from tests.tiny.wan import transformer_config, wan_vae

FACE_SIDE = 16
"""Pixels; the real motion encoder takes faces of 512 x 512."""
_CLIP_WIDTH = 8


def write_wan_animate(folder: Path, seed: int = 0) -> None:
    """A character moved by pose and face videos: Wan-AI/Wan2.2-Animate-14B-Diffusers, Apache-2.0.

    Real: the 14B transformer of Wan 2.1 I2V (36 input channels, image_dim 1280) with a pose patch
    embedding, a motion encoder (faces of 512, style 512, 20 directions), a face encoder and one
    face block at every fifth of 40 layers; CLIP ViT-H/14 as image encoder; Wan 2.1's VAE. Sizes on
    disk not verified. The relighting LoRA of replacement is not in the Diffusers folder as far as
    known (not verified).
    Call: `WanAnimatePipeline(image, pose_video, face_video, …)`, for `mode="replace"` also
    `background_video` and `mask_video` (white is replaced); all videos are lists of PIL images.
    There is no `num_frames`: the result is as long as `pose_video`, which need not be 4k+1. It is
    made in segments of `segment_frame_length` (4k+1, 77), which overlap by
    `prev_segment_conditioning_frames` (1 or 5); a short pose costs a whole segment all the same.
    The pose must have more frames than the overlap, and a segment more than twice the overlap;
    else it fails deep inside, with a message that says nothing. The other videos are cut or
    padded by reflection to the length of whole segments; one of a single frame fails.
    Sides are multiples of 16; pictures are resized to them, faces to the encoder's size. Guidance
    1.0 by default; above it each step costs two passes. The source's frame rate is kept by the
    caller (diffusers' example writes 30 fps).
    """
    from diffusers import WanAnimateTransformer3DModel

    config = transformer_config(image_dim=_CLIP_WIDTH, added_kv_proj_dim=24, in_channels=36)
    with seeded(seed):
        save_umt5(folder)
        save_whole(wan_vae(), folder / "vae")
        transformer = WanAnimateTransformer3DModel(
            **config,
            latent_channels=16,
            motion_encoder_channel_sizes={"4": 8, "8": 8, "16": 8},
            motion_encoder_size=FACE_SIDE,
            motion_style_dim=8,
            motion_dim=4,
            motion_encoder_dim=16,
            face_encoder_hidden_dim=8,
            face_encoder_num_heads=2,
            inject_face_latents_blocks=2,
            motion_encoder_batch_size=8,
        )
        save_sharded(transformer, folder / "transformer")
        _save_clip(folder)
    save_unipc(folder, flow_shift=5.0)
    parts = {
        **WAN_PARTS,
        "image_encoder": ("transformers", "CLIPVisionModel"),
        "image_processor": ("transformers", "CLIPImageProcessor"),
        "transformer": ("diffusers", "WanAnimateTransformer3DModel"),
    }
    write_index(folder, "WanAnimatePipeline", parts)


def _save_clip(folder: Path) -> None:
    """`image_encoder/` and `image_processor/`; the real encoder is 1280 wide, 32 layers."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=_CLIP_WIDTH,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
        projection_dim=8,
        hidden_act="gelu",
    )
    save_whole(CLIPVisionModel(config), folder / "image_encoder")
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    save_whole(processor, folder / "image_processor")
