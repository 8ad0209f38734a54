"""A tiny checkpoint of LTX-2.5, which makes picture and sound together."""

from pathlib import Path
from typing import Any

import torch

from tests.tiny.parts import ABSENT, save_sharded, save_whole, seeded, write_index

_GEMMA = {"hidden_size": 16, "num_hidden_layers": 2}
_VIDEO_WIDTH, _AUDIO_WIDTH = 16, 8
SOUND_RATE = 48000
"""Samples a second after the vocoder's bandwidth extension; the real rate (LTX-2.0: 24000)."""


def write_ltx2(folder: Path, seed: int = 0) -> None:
    """Text to video with stereo sound: Lightricks/LTX-2.5-Diffusers.

    Real: 22 billion parameters (48 layers of 32 x 128 for the picture, 32 x 64 for the sound),
    Gemma 4 12B as text encoder, 38 GB of transformer in bfloat16 (not verified here). The hub has
    the distilled transformer in `transformer/`, the full one in `transformer_full/`, besides
    `latent_upsampler/` and a LoRA at the root. Licence: LTX-2.x Community (not Apache; free only
    below US$10 million yearly revenue, gated download; not verified here).
    Call: `LTX2Pipeline(prompt, …)` gives `.frames` and `.audio` (batch x 2 x samples at
    `pipeline.vocoder.config.output_sampling_rate`). Distilled: guidance 1, no STG, its own sigmas
    (`DISTILLED_SIGMA_VALUES` in diffusers.pipelines.ltx2.utils), no negative prompt.
    A picture goes to `LTX2ImageToVideoPipeline`, from the same folder.
    Constraints: sides are multiples of 32 (raise); frames 8k+1 (fewer are made silently
    otherwise, with sound for the number asked); any `frame_rate` (24), which also sets the
    sound's length: (4 * round(25 * seconds) - 3) / 100 s, some 30 ms less than the picture
    (121 frames: 5.01 s of 5.04 s). Without `num_frames` the `duration_head` chooses it. The sound
    comes in the vocoder's dtype, bfloat16 unless `dtype` names `vocoder`.
    """
    with seeded(seed):
        _save_gemma(folder)
        save_sharded(_transformer(), folder / "transformer")
        save_whole(_connectors(), folder / "connectors")
        save_whole(_duration_head(), folder / "duration_head")
        save_whole(_vae(), folder / "vae")
        save_whole(_audio_vae(), folder / "audio_vae")
        save_whole(_vocoder(), folder / "vocoder")
    _save_scheduler(folder)
    write_index(folder, "LTX2Pipeline", _PARTS)


_PARTS: dict[str, Any] = {
    "audio_vae": ("diffusers", "AutoencoderKLLTX2Audio"),
    "connectors": ("ltx2", "LTX2TextConnectors"),
    "duration_head": ("ltx2", "LTX2DurationHead"),
    "processor": ABSENT,
    "prompt_enhancer": ABSENT,
    "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
    "text_encoder": ("transformers", "Gemma4UnifiedForConditionalGeneration"),
    "tokenizer": ("transformers", "GemmaTokenizer"),
    "transformer": ("diffusers", "LTX2VideoTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLLTX2Video"),
    "vocoder": ("ltx2", "LTX2VocoderWithBWE"),
}


def _transformer() -> Any:
    from diffusers import LTX2VideoTransformer3DModel

    return LTX2VideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=_VIDEO_WIDTH,
        audio_in_channels=8,
        audio_out_channels=8,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=_AUDIO_WIDTH,
        num_layers=2,
        caption_channels=_GEMMA["hidden_size"],
        # What 2.3 and 2.5 add to 2.0:
        gated_attn=True,
        cross_attn_mod=True,
        audio_gated_attn=True,
        audio_cross_attn_mod=True,
        rope_type="split",
        use_prompt_embeddings=False,
        perturbed_attn=True,
        ff_bias=False,
        use_keyframes_abs_pos_embedding=True,
    )


def _connectors() -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return LTX2TextConnectors(
        caption_channels=_GEMMA["hidden_size"],
        text_proj_in_factor=_GEMMA["num_hidden_layers"] + 1,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=8,
        video_gated_attn=True,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=4,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=8,
        audio_gated_attn=True,
        connector_rope_base_seq_len=32,
        rope_type="split",
        per_modality_projections=True,
        video_hidden_dim=_VIDEO_WIDTH,
        audio_hidden_dim=_AUDIO_WIDTH,
        proj_bias=True,
    )


def _duration_head() -> Any:
    from diffusers.pipelines.ltx2 import LTX2DurationHead

    return LTX2DurationHead(
        video_cross_attention_dim=_VIDEO_WIDTH,
        audio_cross_attention_dim=_AUDIO_WIDTH,
        pooler_hidden_dim=8,
        num_queries=1,
        num_pooler_heads=2,
        mlp_hidden_dim=8,
    )


def _vae() -> Any:
    """32 x 32 x 8 as the real one; its widths are 256 to 1024, its latents have 128 channels."""
    from diffusers import AutoencoderKLLTX2Video

    return AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(4, 8, 8, 8),
        decoder_block_out_channels=(4, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, True, True),
        decoder_spatio_temporal_scaling=(True, True, True, True),
        decoder_inject_noise=(False, False, False, False, False),
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        upsample_type=("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
        upsample_residual=(False, False, False, False),
        upsample_factor=(2, 2, 1, 2),
        timestep_conditioning=False,
        patch_size=4,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
        encoder_spatial_padding_mode="zeros",
        decoder_spatial_padding_mode="zeros",
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )


def _audio_vae() -> Any:
    """16 kHz mel spectrograms, 25 latents a second as the real one; 8 of its 64 mel bins.

    `base_channels` must be latent channels x mel bins / 4, as many as the latents' statistics.
    """
    from diffusers import AutoencoderKLLTX2Audio

    return AutoencoderKLLTX2Audio(
        base_channels=8,
        output_channels=2,
        ch_mult=(1, 1, 2),
        num_res_blocks=1,
        attn_resolutions=None,
        in_channels=2,
        resolution=32,
        latent_channels=4,
        norm_type="pixel",
        causality_axis="height",
        dropout=0.0,
        mid_block_add_attention=False,
        sample_rate=16000,
        mel_hop_length=160,
        is_causal=True,
        mel_bins=8,
        double_z=True,
    )


def _vocoder() -> Any:
    """The real upsampling factors (160 samples a mel frame, then 16 to 48 kHz), thin channels."""
    from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE

    return LTX2VocoderWithBWE(
        in_channels=16,
        hidden_channels=64,
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        bwe_in_channels=16,
        bwe_hidden_channels=32,
        bwe_resnet_kernel_sizes=[3],
        bwe_resnet_dilations=[[1, 3, 5]],
        filter_length=64,
        window_length=64,
        num_mel_channels=8,
        output_sampling_rate=SOUND_RATE,
    )


def _save_scheduler(folder: Path) -> None:
    """The distilled model's: its sigmas are used as they are."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=False,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=None,
    ).save_pretrained(folder / "scheduler")


def _save_gemma(folder: Path) -> None:
    """`text_encoder/` (bfloat16, in shards) and `tokenizer/`: one token a byte."""
    from transformers import (
        Gemma4UnifiedConfig,
        Gemma4UnifiedForConditionalGeneration,
        GemmaTokenizer,
    )

    marks = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokens = [*marks, "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    text = {
        **_GEMMA,
        "vocab_size": len(tokens) + 6,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "global_head_dim": 8,
        "layer_types": ["sliding_attention", "full_attention"],
        "max_position_embeddings": 2048,
    }
    special = ("boi", "eoi", "image", "video", "boa", "audio")
    numbers = {f"{name}_token_id": len(tokens) + place for place, name in enumerate(special)}
    config = Gemma4UnifiedConfig(text_config=text, **numbers)
    encoder = Gemma4UnifiedForConditionalGeneration(config).to(torch.bfloat16)
    save_sharded(encoder, folder / "text_encoder")
    tokenizer = GemmaTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, model_max_length=1024
    )
    tokenizer.save_pretrained(folder / "tokenizer")
