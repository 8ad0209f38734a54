"""Small checkpoints of Wan's own classes with random weights: their videos are noise.

One has the layout of Wan2.1-T2V-1.3B-Diffusers, one of Wan2.1-VACE-1.3B-diffusers.
"""

from pathlib import Path

import torch

_VOCABULARY = 256 + 3


def write_tiny_checkpoint(folder: Path, seed: int = 0, channels: int = 16) -> None:
    """Write the checkpoint to `folder`; the same seed gives the same weights. Wan's latents have 16
    channels."""
    from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    from pipelines.backends.quiet import quiet_libraries

    quiet_libraries()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = UMT5EncoderModel(
            UMT5Config(
                vocab_size=_VOCABULARY,
                d_model=64,
                d_kv=16,
                d_ff=128,
                num_layers=2,
                num_heads=4,
                dropout_rate=0.0,
            )
        )
        vae = AutoencoderKLWan(
            base_dim=32,
            decoder_base_dim=32,
            z_dim=channels,
            dim_mult=[1, 1, 1],
            num_res_blocks=0,
            temperal_downsample=[True, True],
            patch_size=2,
            in_channels=12,
            out_channels=12,
            latents_mean=[0.0] * channels,
            latents_std=[1.0] * channels,
        )
        transformer = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=4,
            attention_head_dim=32,
            in_channels=channels,
            out_channels=channels,
            text_dim=64,
            freq_dim=64,
            ffn_dim=384,
            num_layers=6,
            rope_max_seq_len=1024,
        )
    WanPipeline(
        tokenizer=_byte_tokenizer(),
        text_encoder=encoder.half(),
        transformer=transformer.half(),
        vae=vae.half(),
        scheduler=_scheduler(),
    ).save_pretrained(folder, safe_serialization=True)


def write_tiny_vace(folder: Path, text_dim: int = 64) -> None:
    """As the hub's VACE folder, but without text encoder, which nobody loads from there.

    The pipeline counts the VAE's levels to know its scale, so this one has Wan's own four.
    """
    from diffusers import AutoencoderKLWan, WanVACEPipeline, WanVACETransformer3DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKLWan(base_dim=8, num_res_blocks=1)
        transformer = WanVACETransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=24,
            text_dim=text_dim,
            freq_dim=32,
            ffn_dim=64,
            num_layers=2,
            rope_max_seq_len=1024,
            vace_layers=[0, 1],
            vace_in_channels=96,
        )
    WanVACEPipeline(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer.half(),
        vae=vae.half(),
        scheduler=_scheduler(),
    ).save_pretrained(folder, safe_serialization=True)


def _scheduler() -> object:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=3.0,
        num_train_timesteps=1000,
    )


def _byte_tokenizer() -> object:
    """One token a byte, ended by `</s>` as UMT5 does."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
