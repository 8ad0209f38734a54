"""16-bit copies of float32 weights, in the place and under the name of the hub's file.

The hub has UMT5 (22.7 GB) and most of Wan's transformers in float32. Every run rounds them to
bfloat16 while it loads them, so a copy that is rounded once gives the same bits, and is read in
half the time. Weights that their loader keeps in float32 stay float32 in the copy too.

A tensor is written block by block: memory is bounded by `_BLOCK`, whatever the file's size.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from infra.adapters.disk import full_disk_as, sync
from infra.adapters.weights.index import FileRecord, Index, save_index
from infra.adapters.weights.model import Halving
from infra.adapters.weights.space import check_space
from pipelines.backends.checkpoint import header_of
from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest

if TYPE_CHECKING:
    import torch

_BLOCK = 2**24
"""Bytes of a tensor that are in memory at once."""
_ALIGNED = 8
"""The format's alignment of the header's end."""
_METADATA = "__metadata__"


def halving_of(name: str, halved: Mapping[str, Halving]) -> Halving | None:
    """How the file `name` is stored; None if as the hub has it."""
    folder, _, rest = name.partition("/")
    return halved.get(folder) if rest.endswith(".safetensors") else None


def is_shrinkable(file: Path, halving: Halving) -> bool:
    """Whether `file` holds float32 weights that its loader rounds. Reads its header only.

    Raises WeightsError if it is no safetensors file.
    """
    header = header_of(file)
    return any(_turns(name, entry, halving.kept) for name, entry in header.items())


def shrinkable(folder: Path, index: Index, halved: Mapping[str, Halving]) -> list[str]:
    """Files of an installed model that could be stored in 16 bits. Reads headers only.

    Raises WeightsError if one is no safetensors file.
    """
    found = []
    for name, record in index.lying(folder).items():
        halving, original = halving_of(name, halved), index.originals.get(name, record)
        if halving and record == original and is_shrinkable(folder / name, halving):
            found.append(name)
    return found


def shrink_folder(
    folder: Path, index: Index, halved: Mapping[str, Halving], say: Callable[[str], None]
) -> Index:
    """Store the float32 weights of an installed model in 16 bits, file by file.

    The caller has checked that its files are those of `index`. The index names a copy before the
    copy takes its place, and knows both: killed at any moment, the model stays installed, and the
    next call goes on. Raises WeightsError or DiskFullError as `write_copy`.
    """
    names = shrinkable(folder, index, halved)
    if names:
        # One after the other: a copy and its original lie side by side for a moment.
        largest = max(index.lying(folder)[name].size for name in names)
        check_space(folder, largest, f"a 16-bit copy in {folder}")
    for name in names:
        say(f"{name}: storing it in 16 bits")
        original = index.lying(folder)[name]
        halving = halving_of(name, halved)
        assert halving is not None
        record = write_copy(folder / name, halving)
        files, originals = index.files | {name: record}, index.originals | {name: original}
        index = save_index(folder, index.source, index.revision, files, originals)
        copy_of(folder / name).replace(folder / name)
    if names:  # once more, for the stamps of what has taken its place
        save_index(folder, index.source, index.revision, index.files, index.originals)
    return index


def copy_of(file: Path) -> Path:
    """Where the copy of `file` lies until it takes its place."""
    return file.with_name(f"{file.name}.16bit.part")


def write_copy(file: Path, halving: Halving) -> FileRecord:
    """Write the 16-bit copy of `file` beside it, on disk and proven, as `copy_of(file)`.

    Raises WeightsError if `file` is no safetensors file or the copy is not what it must be,
    DiskFullError if the copy has no room; what was written is deleted then.
    """
    target = copy_of(file)
    full = (
        f"the disk of {file.parent} is full and the 16-bit copy of {file.name} has no room; the "
        "file is kept: free some room and run the same command again"
    )
    try:
        with full_disk_as(full):
            record = _write(file, target, halving.kept)
            sync(target)
        _prove(file, target, halving.kept)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return record


def _turns(name: str, entry: Mapping[str, Any], kept: Collection[str]) -> bool:
    """Whether a loader in bfloat16 rounds this tensor: diffusers compares whole parts of its
    name with those that a class keeps in float32."""
    if name == _METADATA or entry["dtype"] != "F32":
        return False
    return not any(part in kept for part in name.split("."))


def _layout(header: Mapping[str, Any], kept: Collection[str]) -> dict[str, dict[str, Any]]:
    """The copy's tensors in the order of their data.

    Wider numbers come first, as the format's own writer has it: a tensor must begin at a multiple
    of its number's bytes.
    """
    tensors: list[tuple[int, int, str, dict[str, Any]]] = []
    for name, entry in header.items():
        if name == _METADATA:
            continue
        begin, end = entry["data_offsets"]
        turned = _turns(name, entry, kept)
        size = (end - begin) // 2 if turned else end - begin
        wide = size // max(prod(entry["shape"]), 1)
        dtype = "BF16" if turned else entry["dtype"]
        tensors.append(
            (-wide, begin, name, {"dtype": dtype, "shape": entry["shape"], "size": size})
        )
    found, position = {}, 0
    for _, _, name, item in sorted(tensors, key=lambda row: row[:3]):
        size = item.pop("size")
        found[name] = {**item, "data_offsets": [position, position + size]}
        position += size
    return found


def _write(file: Path, target: Path, kept: Collection[str]) -> FileRecord:
    header = header_of(file)
    layout = _layout(header, kept)
    described = {_METADATA: header[_METADATA]} if _METADATA in header else {}
    text = json.dumps(described | layout, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    sha256, size = hashlib.sha256(), 0
    with file.open("rb") as source, target.open("wb") as handle:
        start = 8 + int.from_bytes(source.read(8), "little")
        for block in _blocks(source, start, header, layout, text):
            handle.write(block)
            sha256.update(block)
            size += len(block)
    return FileRecord(size=size, sha256=Digest(sha256.hexdigest()))


def _blocks(
    source: BinaryIO,
    start: int,
    header: Mapping[str, Any],
    layout: Mapping[str, Mapping[str, Any]],
    text: bytes,
) -> Iterator[bytes]:
    """The bytes of the copy."""
    yield len(text).to_bytes(8, "little")
    yield text
    for name, entry in layout.items():
        begin, end = header[name]["data_offsets"]
        source.seek(start + begin)
        left = end - begin
        while left:
            block = source.read(min(_BLOCK, left))
            if not block:
                raise WeightsError(f"{source.name} is truncated; download the model again")
            left -= len(block)
            yield block if entry["dtype"] == header[name]["dtype"] else _rounded(block)


def _rounded(block: bytes) -> bytes:
    """Float32 numbers in bfloat16, rounded by torch as a loader does it."""
    import torch

    numbers = torch.frombuffer(bytearray(block), dtype=torch.float32).to(torch.bfloat16)
    return numbers.view(torch.uint8).numpy().tobytes()


def _prove(file: Path, copy: Path, kept: Collection[str]) -> None:
    """Read both files with the format's own reader and compare every number.

    Raises WeightsError if one differs. It guards against a fault of `_layout` and `_blocks`,
    since the original is deleted afterwards.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    header = header_of(file)
    try:
        with safe_open(file, framework="pt") as old, safe_open(copy, framework="pt") as new:
            good = set(old.keys()) == set(new.keys())
            for name in old.keys() if good else ():
                turned = _turns(name, header[name], kept)
                for before, after in zip(_rows(old, name), _rows(new, name), strict=True):
                    expected = before.to(torch.bfloat16) if turned else before
                    good = good and _same(expected, after)
    except (SafetensorError, ValueError) as error:
        raise WeightsError(f"the 16-bit copy of {file} cannot be read: {error}") from error
    if not good:
        raise WeightsError(
            f"the 16-bit copy of {file} differs from its original, which is kept; check the disk "
            "and run the same command again"
        )


def _rows(opened: Any, name: str) -> "Iterator[torch.Tensor]":
    """A tensor in pieces of whole rows, each of about `_BLOCK` bytes or one row."""
    view = opened.get_slice(name)
    shape = view.get_shape()
    if not shape:
        yield opened.get_tensor(name)
        return
    # Four bytes a number, also of the copy: both files are cut at the same rows.
    step = max(1, _BLOCK // max(4 * prod(shape[1:]), 1))
    for first in range(0, shape[0], step):
        yield view[first : first + step]


def _same(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    """Whether two tensors have the same bits, also where they are no numbers."""
    import torch

    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(
            one.contiguous().flatten().view(torch.uint8),
            other.contiguous().flatten().view(torch.uint8),
        )
    )
