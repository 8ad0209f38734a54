"""Wan 2.1 models of the released sizes with random weights, to measure speed and memory with.

Neither depends on the values of weights. What such a model makes is noise. Importing this module
loads no model library.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_PAD, _END, _UNKNOWN = _SPECIAL = ("<pad>", "</s>", "<unk>")


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of a UMT5 encoder. Its width is that of the texts that the transformer reads."""

    heads: int = 1
    head_width: int = 64
    feed_forward: int = 64
    layers: int = 1
    vocabulary: int = 256 + len(_SPECIAL)


SMALL_ENCODER = EncoderShape()
"""One layer of the right width: what the denoiser is given has its true size, and nobody waits
for 11 GB."""
UMT5_XXL = EncoderShape(64, 64, 10240, 24, 256384)
"""google/umt5-xxl as Wan 2.1 has it: 5.68 billion parameters, 11.4 GB in bfloat16."""


@dataclass(frozen=True)
class WanShape:
    """Sizes of a Wan 2.1 model."""

    heads: int = 12
    head_width: int = 128
    feed_forward: int = 8960
    layers: int = 30
    text_width: int = 4096
    vae_width: int = 96
    vae_blocks: int = 2
    """Residual blocks of each level of the VAE."""
    encoder: EncoderShape = SMALL_ENCODER
    vace: bool = False
    """Whether every second layer reads known frames besides, as in VACE."""


WAN_1_3B = WanShape()
"""Wan2.1-T2V-1.3B's configuration, as diffusers' conversion script has it."""
VACE_1_3B = replace(WAN_1_3B, vace=True)
"""Wan2.1-VACE-1.3B's."""
_RELEASED = {"t2v-1.3B": WAN_1_3B, "vace-1.3B": VACE_1_3B}


def write_released(name: str, folder: Path, device: str) -> None:
    """The model `name` of the catalog at its real size; about 3.5 GB, with VACE 5 GB.

    Raises KeyError for a model whose shape is not known here.
    """
    write_wan(folder, _RELEASED[name], device)


def write_wan(folder: Path, shape: WanShape, device: str = "cpu", seed: int = 0) -> None:
    """A Wan 2.1 model in the layout of the hub, its transformer in bfloat16, its VAE in float32.

    It is made on `device`, where the transformer is in float32 for a moment: 5.7 GB at the real
    size, 8.6 with VACE (calculated). The same seed gives the same weights on the same device.
    """
    from diffusers import WanPipeline, WanVACEPipeline

    from pipelines.backends.quiet import quiet_libraries

    quiet_libraries()
    with _seeded(seed, device):
        parts = components_of(shape)
    pipeline = WanVACEPipeline if shape.vace else WanPipeline
    made = pipeline(tokenizer=byte_tokenizer(), scheduler=_scheduler(), **parts)
    made.save_pretrained(folder, safe_serialization=True)


def components_of(shape: WanShape) -> dict[str, Any]:
    """The text encoder, the transformer and the VAE, on torch's present device."""
    import torch

    return {
        "text_encoder": _encoder(shape),
        "transformer": _transformer(shape).to(torch.bfloat16),
        "vae": _vae(shape),
    }


def write_encoder(folder: Path, shape: WanShape, device: str = "cpu", seed: int = 0) -> None:
    """The text encoder alone, in the model's `folder`, in bfloat16 and in shards."""
    with _seeded(seed, device):
        encoder = _encoder(shape)
    encoder.save_pretrained(folder / "text_encoder", max_shard_size="3GB")


def byte_tokenizer() -> "PreTrainedTokenizerFast":
    """One token a byte, ended by `</s>` as UMT5's texts are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*_SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=_UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {_END}", special_tokens=[(_END, vocabulary[_END])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END, unk_token=_UNKNOWN
    )


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """What is made in here lies on `device`, and the caller's random state stays as it is."""
    import torch

    forked = torch.random.fork_rng(
        devices=[torch.cuda.current_device()] if device == "cuda" else []
    )
    with forked, torch.device(device):
        torch.manual_seed(seed)
        yield


def _transformer(shape: WanShape) -> Any:
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    settings: dict[str, Any] = {
        "patch_size": (1, 2, 2),
        "num_attention_heads": shape.heads,
        "attention_head_dim": shape.head_width,
        "in_channels": 16,
        "out_channels": 16,
        "text_dim": shape.text_width,
        "freq_dim": 256,
        "ffn_dim": shape.feed_forward,
        "num_layers": shape.layers,
        "rope_max_seq_len": 1024,
    }
    if not shape.vace:
        return WanTransformer3DModel(**settings)
    layers = list(range(0, shape.layers, 2))
    return WanVACETransformer3DModel(**settings, vace_layers=layers, vace_in_channels=96)


def _vae(shape: WanShape) -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(base_dim=shape.vae_width, num_res_blocks=shape.vae_blocks)


def _encoder(shape: WanShape) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    encoder = shape.encoder
    config = UMT5Config(
        vocab_size=encoder.vocabulary,
        d_model=shape.text_width,
        d_kv=encoder.head_width,
        d_ff=encoder.feed_forward,
        num_layers=encoder.layers,
        num_heads=encoder.heads,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return _in_half(lambda: UMT5EncoderModel(config))


def _in_half(make: Callable[[], Any]) -> Any:
    """Made in bfloat16 from the beginning: in float32 the largest one would not fit 22 GB."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        return make()
    finally:
        torch.set_default_dtype(before)


def _scheduler() -> Any:
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=3.0,
    )
