"""Random weights in the hub's files: tensor by tensor, so that memory stays small."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

_BLOCK = 4_000_000
"""Numbers that are made at once: 16 MB."""
_WIDTHS = {"F32": 4, "BF16": 2}


@dataclass(frozen=True)
class Written:
    """A file of the hub, on disk."""

    path: Path
    size: int
    sha256: str


def shapes_of(build: Callable[[], torch.nn.Module]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights in its order; nothing of it is in memory."""
    with torch.device("meta"):
        network = build()
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def write_part(
    folder: Path,
    stem: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: Callable[[str], str],
    shard_bytes: int,
) -> Iterator[Written]:
    """The weights of one part: a file, or shards and their index, named as the hub names them."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = [names for _, names in shards_of(shapes, dtype, shard_bytes)]
    if len(shards) == 1:
        yield _write(folder / f"{stem}.safetensors", shards[0], dtype)
        return
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        name = f"{stem}-{number:05}-of-{len(shards):05}.safetensors"
        weight_map |= dict.fromkeys(shard, name)
        yield _write(folder / name, shard, dtype)
    total = sum(_bytes(name, shape, dtype) for name, shape in shapes.items())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def random_tensor(name: str, shape: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Numbers of a weight, in float32 and in blocks; they depend on name and shape alone.

    Their size keeps activations near 1 through any depth, so that nothing overflows.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {shape}".encode()))
    left = prod(shape)
    scales = len(shape) == 1 or name.endswith(("gamma", "layer_norm.weight"))
    ones = scales and ("norm" in name or "gamma" in name) and not name.endswith("bias")
    deviation = 1 / max(prod(shape[1:]), 1) ** 0.5 if len(shape) > 1 else 0.01
    while left:
        size = min(left, _BLOCK)
        if ones:
            yield torch.ones(size)
        else:
            yield torch.randn(size, generator=generator) * deviation
        left -= size


def shards_of(
    shapes: Mapping[str, tuple[int, ...]], dtype: Callable[[str], str], limit: int
) -> list[tuple[int, dict[str, tuple[int, ...]]]]:
    """Bytes and weights of each file: a new one begins where the next weight exceeds `limit`."""
    shards: list[tuple[int, dict[str, tuple[int, ...]]]] = [(0, {})]
    for name, shape in shapes.items():
        size, names = shards[-1]
        more = _bytes(name, shape, dtype)
        if names and size + more > limit:
            shards.append((more, {name: shape}))
        else:
            shards[-1] = (size + more, {**names, name: shape})
    return shards


def _bytes(name: str, shape: tuple[int, ...], dtype: Callable[[str], str]) -> int:
    return prod(shape) * _WIDTHS[dtype(name)]


def _write(
    path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: Callable[[str], str]
) -> Written:
    """One file in the order of the format's own writer: wide numbers first, then by name."""
    names = sorted(shapes, key=lambda name: (-_WIDTHS[dtype(name)], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in names:
        end = position + _bytes(name, shapes[name], dtype)
        header[name] = {
            "dtype": dtype(name),
            "shape": list(shapes[name]),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    sha256 = hashlib.sha256()
    with path.open("wb") as handle:
        for block in _file_bytes(text, names, shapes, dtype):
            handle.write(block)
            sha256.update(block)
    return Written(path, 8 + len(text) + position, sha256.hexdigest())


def _file_bytes(
    text: bytes,
    names: list[str],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: Callable[[str], str],
) -> Iterator[bytes]:
    yield len(text).to_bytes(8, "little")
    yield text
    for name in names:
        for block in random_tensor(name, shapes[name]):
            narrow = block if dtype(name) == "F32" else block.to(torch.bfloat16)
            yield narrow.view(torch.uint8).numpy().tobytes()
