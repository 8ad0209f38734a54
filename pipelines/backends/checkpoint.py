"""What a checkpoint's files say without loading them: how many parameters, in which settings."""

import json
from math import prod
from pathlib import Path
from typing import Any

from pipelines.errors import WeightsError

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1}
"""Bytes of one parameter on the device, whatever it has on disk."""


def bytes_on_device(component: Path, dtype: str) -> int:
    """Bytes that a component takes in `dtype`; a quantised GGUF file takes what it has on disk.

    Raises WeightsError if a file cannot be read or there is none.
    """
    quantised = gguf_of(component)
    if quantised:
        return quantised.stat().st_size
    return parameters_of(component) * BYTES[dtype]


def gguf_of(component: Path) -> Path | None:
    """A component's quantised file, if it has one. Raises WeightsError if it has several."""
    found = sorted(component.glob("*.gguf"))
    if len(found) > 1:
        raise WeightsError(
            f"{component} holds {len(found)} GGUF files, but one is loaded; remove all but one"
        )
    return found[0] if found else None


def parameters_of(component: Path) -> int:
    """Number of parameters in a component's safetensors files, read from their headers.

    Where an index names the shards, only those count: some repositories keep the same weights
    twice. Raises WeightsError if a file cannot be read or there is none.
    """
    files = _shards(component)
    if not files:
        raise WeightsError(f"{component} holds no safetensors file; download the model again")
    return sum(
        prod(entry["shape"])
        for file in files
        for name, entry in header_of(file).items()
        if name != "__metadata__"
    )


def header_of(file: Path) -> dict[str, Any]:
    """Names, shapes and types of a safetensors file. Raises WeightsError if it is none."""
    try:
        with file.open("rb") as source:
            length = int.from_bytes(source.read(8), "little")
            # The format's own limit; a file of another kind gives an absurd number here.
            header = json.loads(source.read(length)) if length <= 100_000_000 else None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read: {error}; download the model again") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{file} is no safetensors file; download the model again")
    return header


def settings_of(file: Path) -> dict[str, Any]:
    """A component's settings, such as `model_index.json`. Raises WeightsError."""
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{file} cannot be read: {error}; download the model again") from error
    if not isinstance(settings, dict):
        raise WeightsError(f"{file} holds no settings; download the model again")
    return settings


def _shards(component: Path) -> list[Path]:
    for index in component.glob("*.safetensors.index.json"):
        named = settings_of(index).get("weight_map", {})
        return [component / name for name in sorted(set(named.values()))]
    return sorted(component.glob("*.safetensors"))
