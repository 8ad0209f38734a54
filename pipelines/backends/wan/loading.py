"""Loading a Wan pipeline without its text encoder, in the dtypes that it was trained for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from pipelines.backends.checkpoint import gguf_of
from pipelines.backends.checks import loads
from pipelines.backends.wan.lora import AppliedLora, merge_loras
from pipelines.backends.wan.variants import Route

_PIPELINES = {
    "text": "WanPipeline",
    "image": "WanImageToVideoPipeline",
    "vace": "WanVACEPipeline",
}


LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    SafetensorError,
    RuntimeError,
    MemoryError,
)


@dataclass(frozen=True)
class Source:
    """What a denoiser is made of."""

    folder: Path
    route: Route
    transformers: tuple[str, ...] = ("transformer",)
    """Names of its transformers: Wan 2.2 A14B has two."""
    dtype: str = "bfloat16"
    """What the transformers compute in; the VAE is float32, it encodes wrongly in bfloat16."""
    stored: str = ""
    """`fp8`: the transformers' layers are kept in 8 bits. `gguf`: loaded from a quantised file."""
    loras: tuple[AppliedLora, ...] = ()


def load_pipeline(source: Source) -> Any:
    """The pipeline of `source` on the CPU.

    Raises WeightsError, also for a LoRA that is unfit, and GenerationError without memory.
    """
    import diffusers

    from pipelines.backends.quiet import quiet_libraries

    quiet_libraries()
    vace = source.route == "vace"
    loader = diffusers.WanVACETransformer3DModel if vace else diffusers.WanTransformer3DModel
    try:
        # One after the other: in 16 bits the two of A14B are 57 GB, in 8 bits they are 29.
        loaded = {name: load_transformer(source, name, loader) for name in source.transformers}
        pipeline = getattr(diffusers, _PIPELINES[source.route]).from_pretrained(
            source.folder,
            text_encoder=None,
            tokenizer=None,
            dtype={"vae": torch.float32, "default": torch.float32},
            local_files_only=True,
            **loaded,
        )
    except LOAD_ERRORS as error:
        raise loads(error, f"the Wan model in {source.folder}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_transformer(source: Source, name: str, loader: Any) -> Any:
    """The transformer `name` of `source` on the CPU, of diffusers' class `loader`."""
    dtype = getattr(torch, source.dtype)
    quantised = gguf_of(source.folder / name)
    if quantised:
        return _quantised(loader, quantised, dtype)
    transformer = loader.from_pretrained(
        source.folder, subfolder=name, dtype=dtype, local_files_only=True
    )
    merge_loras(transformer, name, source.loras)
    if source.stored == "fp8":
        # After the LoRA: what is stored in 8 bits can be multiplied, but not added to.
        transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    return transformer


def _quantised(loader: Any, file: Path, dtype: torch.dtype) -> Any:
    """From a GGUF file, with the settings beside it. Raises ValueError if a weight is missing."""
    from diffusers import GGUFQuantizationConfig

    transformer = loader.from_single_file(
        str(file),
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        dtype=dtype,
        config=str(file.parent),
        local_files_only=True,
    )
    missing = [key for key, value in transformer.named_parameters() if value.is_meta]
    if missing:
        raise ValueError(f"{file} lacks {len(missing)} weights, such as {missing[0]}")
    return transformer
