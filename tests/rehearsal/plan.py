"""What a rehearsal makes: the real settings of each model, or smaller ones.

The settings are those of diffusers' and llama.cpp's conversions; what public lists of the hub's
files say about names and sizes is in `KNOWN_SIZES`, so that a real-size run can be held to it.
"""

from dataclasses import dataclass, field
from typing import Any

PARTS = ("writer", "video", "extender", "upscaler")
MODELS = {
    "writer": "mistral-7b",
    "video": "t2v-1.3B",
    "extender": "vace-1.3B",
    "upscaler": "realesrgan-x4plus",
}
GIGABYTES_5 = 5_000_000_000
"""The hub's libraries begin a new file when the next tensor would exceed it."""
KNOWN_SIZES = {
    ("t2v-1.3B", "text_encoder/model-00001-of-00005.safetensors"): 4_972_389_712,
    ("t2v-1.3B", "text_encoder/model-00002-of-00005.safetensors"): 4_899_225_672,
    ("t2v-1.3B", "text_encoder/model-00003-of-00005.safetensors"): 4_966_309_504,
    ("t2v-1.3B", "text_encoder/model-00004-of-00005.safetensors"): 4_999_880_704,
    ("t2v-1.3B", "text_encoder/model-00005-of-00005.safetensors"): 2_885_866_152,
    ("t2v-1.3B", "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"): 4_998_781_576,
    ("t2v-1.3B", "transformer/diffusion_pytorch_model-00002-of-00002.safetensors"): 677_289_072,
    ("t2v-1.3B", "vae/diffusion_pytorch_model.safetensors"): 507_591_892,
    ("mistral-7b", "mistral-7b-instruct-v0.2.Q4_K_M.gguf"): 4_368_439_584,
    ("realesrgan-x4plus", "RealESRGAN_x4plus.pth"): 67_040_989,
}
"""Bytes of files whose names and sizes public lists print; of vace-1.3B only the sum is known."""


@dataclass(frozen=True)
class RehearsalPlan:
    """Which parts are made, and how large."""

    parts: tuple[str, ...] = PARTS
    layers: int = 0
    """Of each network; 0: as many as the real one has."""
    tiny: bool = False
    """Everything small: seconds instead of half an hour."""
    size: str = "preset"
    upscale: int = 2
    spend: bool = False
    """The hub deletes a file as soon as it was sent, so that the disk holds it once only."""
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> dict[str, str]:
        """Name in the catalog of each part that is made."""
        return {part: MODELS[part] for part in PARTS if part in self.parts}

    @property
    def departures(self) -> list[str]:
        """In which ways it is not the studio set, in words."""
        found = [f"left out: {part} ({MODELS[part]})" for part in PARTS if part not in self.parts]
        if self.tiny:
            found.append("tiny: every network is shrunk")
        elif self.layers:
            found.append(f"shrunk: {self.layers} layers in each network")
        return [*found, "made up: weights, vocabularies"]

    @property
    def shard_bytes(self) -> int:
        """Least bytes at which a part is split into files."""
        return 2_500_000 if self.tiny else GIGABYTES_5

    def transformer(self, *, vace: bool) -> dict[str, Any]:
        """Settings of Wan's transformer."""
        layers = self._layers(30)
        config: dict[str, Any] = {
            "num_attention_heads": 2 if self.tiny else 12,
            "attention_head_dim": 12 if self.tiny else 128,
            "ffn_dim": 48 if self.tiny else 8960,
            "text_dim": self.encoder()["d_model"],
            "freq_dim": 32 if self.tiny else 256,
            "num_layers": layers,
            "in_channels": 16,
            "out_channels": 16,
            "patch_size": (1, 2, 2),
            "cross_attn_norm": True,
            "qk_norm": "rms_norm_across_heads",
            "eps": 1e-6,
            "rope_max_seq_len": 1024,
        }
        if vace:
            config |= {"vace_layers": list(range(0, layers, 2)), "vace_in_channels": 96}
        return config

    def vae(self) -> dict[str, Any]:
        """Settings of Wan 2.1's VAE."""
        return {
            "base_dim": 4 if self.tiny else 96,
            "z_dim": 16,
            "dim_mult": [1, 2, 4, 4],
            "num_res_blocks": 1 if self.tiny else 2,
            "attn_scales": [],
            "temperal_downsample": [False, True, True],
            "dropout": 0.0,
        }

    def encoder(self) -> dict[str, Any]:
        """Settings of UMT5-XXL."""
        return {
            # The tiny one has as many rows as its file needs to be cut in the middle.
            "vocab_size": 22_000 if self.tiny else 256_384,
            "d_model": 32 if self.tiny else 4096,
            "d_kv": 8 if self.tiny else 64,
            "d_ff": 64 if self.tiny else 10_240,
            "num_layers": self._layers(24),
            "num_heads": 4 if self.tiny else 64,
            "dropout_rate": 0.1,
            "feed_forward_proj": "gated-gelu",
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
            "tie_word_embeddings": False,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
        }

    def writer(self) -> dict[str, int]:
        """Shapes of Mistral 7B Instruct v0.2, those of v0.3 but for the vocabulary."""
        return {
            "layers": self._layers(32),
            # Rows of 256 numbers are the least that Q4_K can hold.
            "width": 256 if self.tiny else 4096,
            "hidden": 256 if self.tiny else 14_336,
            "heads": 2 if self.tiny else 32,
            "heads_kv": 1 if self.tiny else 8,
            "vocabulary": 2000 if self.tiny else 32_000,
            "context": 32_768,
        }

    def upscaler(self) -> dict[str, int]:
        """Shapes of RealESRGAN x4plus, an RRDBNet."""
        return {
            "features": 8 if self.tiny else 64,
            "blocks": 1 if self.tiny else min(23, self.layers or 23),
            "growth": 32,  # the only one that the loader of such files knows
        }

    def _layers(self, real: int) -> int:
        return 2 if self.tiny else min(real, self.layers or real)
