"""The repositories of the studio set, as folders on disk."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from tests.rehearsal.plan import RehearsalPlan
from tests.rehearsal.weights import Written, random_tensor, shapes_of, write_part
from tests.rehearsal.writer import write_mistral
from tests.tiny.parts import WAN_PARTS, save_t5_tokenizer, save_unipc, write_index, write_json

STEM = "diffusion_pytorch_model"
WRITER_FILE, UPSCALER_FILE = "mistral-7b-instruct-v0.2.Q4_K_M.gguf", "RealESRGAN_x4plus.pth"


def write_repository(part: str, folder: Path, plan: RehearsalPlan) -> dict[Path, Written]:
    """Write the files of one part below `folder`; gives those that were hashed on the way."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = {
        "writer": _write_writer,
        "video": _write_video,
        "extender": _write_extender,
        "upscaler": _write_upscaler,
    }
    return {item.path: item for item in makers[part](folder, plan)}


def _write_writer(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    path = folder / WRITER_FILE
    write_mistral(path, **plan.writer())
    yield _hashed(path)


def _write_video(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    """Wan-AI/Wan2.1-T2V-1.3B-Diffusers: everything in float32, the text encoder too."""
    yield from _write_encoder(folder, plan)
    yield from _write_transformer(folder / "transformer", plan, vace=False)
    yield from _write_vae(folder / "vae", plan)
    save_unipc(folder, flow_shift=3.0)
    classes = {**WAN_PARTS, "transformer": ("diffusers", "WanTransformer3DModel")}
    write_index(folder, "WanPipeline", classes)


def _write_extender(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    """Wan-AI/Wan2.1-VACE-1.3B-diffusers without the text encoder, which is not fetched: T2V's
    weights in float32, VACE's own blocks in bfloat16."""
    yield from _write_transformer(folder / "transformer", plan, vace=True)
    yield from _write_vae(folder / "vae", plan)
    save_unipc(folder, flow_shift=3.0)
    classes = {**WAN_PARTS, "transformer": ("diffusers", "WanVACETransformer3DModel")}
    write_index(folder, "WanVACEPipeline", classes)


def _write_upscaler(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    weights = {
        name: torch.cat(list(random_tensor(name, shape))).view(shape)
        for name, shape in _rrdbnet(**plan.upscaler()).items()
    }
    torch.save({"params_ema": weights}, folder / UPSCALER_FILE)
    yield _hashed(folder / UPSCALER_FILE)


def _write_encoder(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(**plan.encoder())
    shapes = shapes_of(lambda: UMT5EncoderModel(config))
    shapes.pop("encoder.embed_tokens.weight", None)  # tied to shared.weight and stored once
    target = folder / "text_encoder"
    yield from write_part(target, "model", shapes, _float32, plan.shard_bytes)
    config.save_pretrained(target)
    save_t5_tokenizer(folder / "tokenizer")
    tokens = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "tokenizer" / "special_tokens_map.json", tokens)


def _write_transformer(folder: Path, plan: RehearsalPlan, *, vace: bool) -> Iterator[Written]:
    import diffusers

    kind = diffusers.WanVACETransformer3DModel if vace else diffusers.WanTransformer3DModel
    config = plan.transformer(vace=vace)
    yield from _write_network(folder, kind, config, plan, narrow="vace_" if vace else "")


def _write_vae(folder: Path, plan: RehearsalPlan) -> Iterator[Written]:
    from diffusers import AutoencoderKLWan

    yield from _write_network(folder, AutoencoderKLWan, plan.vae(), plan)


def _write_network(
    folder: Path, kind: Any, config: dict[str, Any], plan: RehearsalPlan, narrow: str = ""
) -> Iterator[Written]:
    """A network of diffusers; weights whose names begin with `narrow` are in bfloat16."""

    def dtype(name: str) -> str:
        return "BF16" if narrow and name.startswith(narrow) else "F32"

    shapes = shapes_of(lambda: kind(**config))
    yield from write_part(folder, STEM, shapes, dtype, plan.shard_bytes)
    with torch.device("meta"):
        kind(**config).save_config(folder)


def _rrdbnet(features: int, blocks: int, growth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of basicsr's RRDBNet by 4."""
    convolutions = {"conv_first": (features, 3)}
    for block in range(blocks):
        for dense in (1, 2, 3):
            for step in range(5):
                made = features if step == 4 else growth
                name = f"body.{block}.rdb{dense}.conv{step + 1}"
                convolutions[name] = (made, features + step * growth)
    convolutions |= dict.fromkeys(
        ("conv_body", "conv_up1", "conv_up2", "conv_hr"), (features, features)
    )
    convolutions["conv_last"] = (3, features)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (out, into) in convolutions.items():
        shapes |= {f"{name}.weight": (out, into, 3, 3), f"{name}.bias": (out,)}
    return shapes


def _float32(_: str) -> str:
    return "F32"


def _hashed(path: Path) -> Written:
    with path.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    return Written(path, path.stat().st_size, sha256)
