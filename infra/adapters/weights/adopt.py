"""Models that somebody else put in place: found, proven as far as possible, and indexed.

A folder is complete if every wanted file is there. With the hub within reach, its list says which
those are and what their sha256 is. Without it, the folder itself must make sense: each pattern
finds a file, each folder of a network has its config and its weights, all pieces that an index
names are there, and every safetensors file is as long as its header says.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from infra.adapters.weights.fetch import UNKNOWN, Say, hashed, hub_listing, records_as_listed
from infra.adapters.weights.index import (
    Index,
    Journal,
    record_of,
    save_index,
    unindexed_quantised,
)
from infra.adapters.weights.model import HubSource, Model, UrlSource
from infra.adapters.weights.transfer import Progress
from pipelines.errors import WeightsError

_SHARDS = ".safetensors.index.json"


def adopt(models: Path, model: Model, say: Say, progress: Progress) -> Path | None:
    """Index the first complete folder of `model` that has no index; None if there is none.

    A download that is not finished is left to `fetch_hub`, which knows what it hashed and stored
    in 16 bits. Raises WeightsError if a complete one cannot be read or written to.
    """
    for name in model.folders:
        folder = models / name
        if not folder.is_dir() or (folder / "index.json").exists() or Journal.is_in(folder):
            continue
        if fault := own_fault(model, folder):
            if name != model.name:  # an unfinished download of ours needs no word
                say(f"{folder} is not taken for {model.name}: {fault}")
            continue
        if _index(model, folder, Journal(folder) if is_ours(name) else None, say, progress):
            return folder
    return None


def take_in_quantised(model: Model, folder: Path, index: Index, say: Say) -> Index:
    """The index with the quantised weights that somebody added to an installed model."""
    names = unindexed_quantised(folder, index)
    if not names:
        return index
    say(f"{model.name}: {', '.join(names)} added to it; the identity of its videos changes")
    added = {name: record_of(folder / name) for name in names}
    files = {**index.files, **added}
    return save_index(folder, index.source, index.revision, files, index.originals)


def _index(
    model: Model, folder: Path, journal: Journal | None, say: Say, progress: Progress
) -> bool:
    say(f"{model.name}: found in {folder}, hashing it")
    try:
        match model.source:
            case HubSource() as source:
                return _index_hub(model, source, folder, journal, say, progress)
            case UrlSource() as source:
                record = record_of(folder / model.file)
                if source.sha256 and record.sha256 != source.sha256:
                    say(f"{folder} is not taken for {model.name}: {model.file} is another file")
                    return False
                save_index(folder, source.url, source.url, {model.file: record})
                return True
            case _:
                return False
    except OSError as error:
        raise WeightsError(
            f"{folder} cannot be read and indexed ({error.strerror}): give this user the right to "
            "read its files and to write into it"
        ) from error


def _index_hub(
    model: Model,
    source: HubSource,
    folder: Path,
    journal: Journal | None,
    say: Say,
    progress: Progress,
) -> bool:
    try:
        wanted = hub_listing(source, None)
    except WeightsError as error:
        _index_as_it_lies(model, source, folder, progress)
        say(
            f"{model.name}: indexed as it lies; later changes are noticed, but its files were not "
            f"compared with the hub's, which cannot be asked: {error}"
        )
        return True
    progress.begin(model.name, wanted.size, 0)
    try:
        found = records_as_listed(folder, wanted, progress, journal)
    finally:
        progress.end()
    if isinstance(found, str):
        say(f"{folder} is not taken for {model.name}: {found}")
        return False
    save_index(folder, f"hub:{source.repository}", wanted.commit, found)
    return True


def is_ours(name: str) -> bool:
    """Whether downloads go to the folder `name` below the models directory: `wan/` is filled by
    people, who may not want it changed."""
    return not name.startswith("wan/")


def _index_as_it_lies(model: Model, source: HubSource, folder: Path, progress: Progress) -> None:
    names = _wanted(source, folder)
    progress.begin(model.name, sum((folder / name).stat().st_size for name in names), 0)
    try:
        records = {name: hashed(folder, name, progress, None) for name in sorted(names)}
    finally:
        progress.end()
    save_index(folder, f"found:{folder.name}", UNKNOWN, records)


def own_fault(model: Model, folder: Path) -> str:
    """What an un-indexed folder lacks, as far as it tells by itself; empty if nothing."""
    match model.source:
        case HubSource() as source:
            return next(_hub_faults(source, folder), "")
        case UrlSource():
            return "" if (folder / model.file).is_file() else f"{model.file} is missing"
        case _:
            return "its installation was not finished"


def _wanted(source: HubSource, folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for pattern in source.patterns
        for path in folder.glob(pattern)
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".part"
    }


def _hub_faults(source: HubSource, folder: Path) -> Iterator[str]:
    wanted = _wanted(source, folder)
    if not (folder / "model_index.json").exists() and any(folder.glob("*.pth")):
        yield "it has Wan's own layout; diffusers' layout is needed"
    for pattern in source.patterns:
        if not any(name for name in wanted if Path(name).match(pattern)):
            yield f"{pattern} is missing"
    for parent in sorted({str(Path(name).parent) for name in wanted} - {"."}):
        here = {Path(name).name for name in wanted if str(Path(name).parent) == parent}
        weights = any(name.endswith(".safetensors") for name in here)
        if "config.json" in here and not weights:
            yield f"{parent} has no weights (*.safetensors)"
        if weights and "config.json" not in here:
            yield f"{parent}/config.json is missing"
    for name in sorted(wanted):
        if name.endswith(_SHARDS):
            yield from _missing_shards(folder / name)
        elif name.endswith(".safetensors") and (fault := _header_fault(folder / name)):
            yield f"{name} {fault}"


def _missing_shards(index: Path) -> Iterator[str]:
    try:
        named = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError):
        yield f"{index.name} cannot be read"
        return
    for name in sorted(named):
        if not (index.parent / name).is_file():
            yield f"{index.parent.name}/{name} is missing"


def _header_fault(path: Path) -> str:
    """A safetensors file begins with the length of its header, and that says where data ends."""
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > path.stat().st_size:
                return "is truncated"
            header = json.loads(handle.read(length))
        ends = [item["data_offsets"][1] for key, item in header.items() if key != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "is no safetensors file"
    expected = 8 + length + max(ends, default=0)
    size = path.stat().st_size
    return "" if size == expected else f"has {size:,} of {expected:,} bytes"
