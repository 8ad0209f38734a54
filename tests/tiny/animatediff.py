"""A tiny Stable Diffusion 1.5 and a motion adapter for it, as two folders."""

from pathlib import Path
from typing import Any

from tests.tiny.parts import ABSENT, save_whole, seeded, write_index, write_json

_WIDTHS = (8, 8, 16, 16)
_TEXT_WIDTH = 16
_START, _END, _UNKNOWN_WORD = "<|startoftext|>", "<|endoftext|>", "<|endoftext|>"


def write_stable_diffusion(folder: Path, seed: int = 0) -> None:
    """The base: stable-diffusion-v1-5/stable-diffusion-v1-5, CreativeML OpenRAIL-M.

    Real: UNet 860 million parameters (widths 320, 640, 1280, 1280), CLIP ViT-L/14's text encoder,
    VAE of 8 x 8 with 4 channels; no part is in shards. The hub also has `*.fp16.safetensors`,
    `*.bin` and single-file checkpoints, which need not be downloaded. `model_index.json` names a
    `safety_checker`, which AnimateDiffPipeline does not load: its folder is not written here.
    `feature_extractor` must be there unless `feature_extractor=None` is passed.
    """
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

    with seeded(seed):
        vae = AutoencoderKL(
            block_out_channels=(4, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            sample_size=64,
        )
        save_whole(vae, folder / "vae")
        unet = UNet2DConditionModel(
            attention_head_dim=2,
            block_out_channels=_WIDTHS,
            cross_attention_dim=_TEXT_WIDTH,
            layers_per_block=2,
            norm_num_groups=2,
            sample_size=8,
        )
        save_whole(unet, folder / "unet")
        text = CLIPTextConfig(
            vocab_size=len(_words()),
            hidden_size=_TEXT_WIDTH,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            projection_dim=16,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
        save_whole(CLIPTextModel(text), folder / "text_encoder")
    _save_clip_tokenizer(folder / "tokenizer")
    save_whole(CLIPImageProcessor(), folder / "feature_extractor")
    save_whole(
        PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            num_train_timesteps=1000,
            skip_prk_steps=True,
            steps_offset=1,
        ),
        folder / "scheduler",
    )
    write_index(folder, "StableDiffusionPipeline", _PARTS, requires_safety_checker=True)


_PARTS: dict[str, Any] = {
    "feature_extractor": ("transformers", "CLIPImageProcessor"),
    "image_encoder": ABSENT,
    "safety_checker": ("stable_diffusion", "StableDiffusionSafetyChecker"),
    "scheduler": ("diffusers", "PNDMScheduler"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "tokenizer": ("transformers", "CLIPTokenizer"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
}


def write_motion_adapter(folder: Path, seed: int = 0) -> None:
    """The adapter: guoyww/animatediff-motion-adapter-v1-5-3, licence not verified.

    Real: about 450 million parameters (not verified), motion modules in each of SD 1.5's blocks,
    positions for 32 frames, trained on 16 frames at 8 fps and 512*512; `use_motion_mid_block` is
    False in v1-5-3 (v1-5-2 has it; not verified). One file.
    """
    from diffusers import MotionAdapter

    with seeded(seed):
        adapter = MotionAdapter(
            block_out_channels=_WIDTHS,
            motion_layers_per_block=2,
            motion_mid_block_layers_per_block=1,
            motion_num_attention_heads=2,
            motion_norm_num_groups=2,
            motion_max_seq_length=32,
            use_motion_mid_block=False,
        )
        save_whole(adapter, folder)


def write_animatediff(folder: Path, seed: int = 0) -> None:
    """Both, as `base/` and `adapter/`, which load together.

    Call: `adapter = MotionAdapter.from_pretrained(folder / "adapter")`, then
    `AnimateDiffPipeline.from_pretrained(folder / "base", motion_adapter=adapter)`; the base's
    scheduler is replaced by DDIM (`beta_schedule="linear", clip_sample=False,
    timestep_spacing="linspace"`).
    Constraints: sides are multiples of 8 (raise); frames are any number up to
    `motion_max_seq_length` (32; more raises a shape error inside the model), trained on 16.
    `enable_free_noise(context_length=16, context_stride=4)` removes that limit, but fails with
    fewer frames than its context. Prompts are cut at 77 CLIP tokens.
    """
    write_stable_diffusion(folder / "base", seed)
    write_motion_adapter(folder / "adapter", seed)


def _words() -> dict[str, int]:
    """Single letters, inside a word and at its end, after the two marks."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = [_START, _END, *letters, *(letter + "</w>" for letter in letters)]
    return {token: number for number, token in enumerate(tokens)}


def _save_clip_tokenizer(folder: Path) -> None:
    write_json(folder / "vocab.json", _words())
    (folder / "merges.txt").write_text("#version: 0.2\n")
    marks = {"bos_token": _START, "eos_token": _END, "pad_token": _END, "unk_token": _UNKNOWN_WORD}
    write_json(folder / "special_tokens_map.json", marks)
    write_json(
        folder / "tokenizer_config.json",
        {
            **marks,
            "add_prefix_space": False,
            "do_lower_case": True,
            "errors": "replace",
            "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        },
    )
