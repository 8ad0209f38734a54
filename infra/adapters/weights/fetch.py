"""Bringing a model's files into its folder: what is right stays, the rest is fetched.

The index is written last and in one step: without it, nothing is installed.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.adapters.weights.halve import copy_of, halving_of, is_shrinkable, write_copy
from infra.adapters.weights.hub import Listing, listing, refusal
from infra.adapters.weights.index import (
    FileRecord,
    Index,
    Journal,
    faults,
    read_index,
    record_of,
    save_index,
    size_fault,
)
from infra.adapters.weights.model import Halving, HubSource, Model, UrlSource
from infra.adapters.weights.space import check_space
from infra.adapters.weights.transfer import (
    Progress,
    RefusedError,
    RemoteFile,
    UnreachableError,
    announced_size,
    fetch_file,
    part_of,
)
from pipelines.errors import WeightsError

Say = Callable[[str], None]
UNKNOWN = "unknown"
"""Revision of files that were indexed as they lay."""


def hub_listing(source: HubSource, known: Index | None) -> Listing:
    """The wanted files of the commit that an index names, or else of the catalog's revision.

    Raises UnreachableError, or WeightsError if the hub refuses.
    """
    pinned = known is not None and known.revision != UNKNOWN
    return listing(source, known.revision if known and pinned else source.revision)


@dataclass
class Held:
    """The wanted files that lie in a folder whole and right."""

    files: dict[str, FileRecord] = field(default_factory=dict)
    originals: dict[str, FileRecord] = field(default_factory=dict)
    """The hub's files of which `files` has a 16-bit copy."""


def fetch_hub(
    model: Model,
    source: HubSource,
    folder: Path,
    say: Say,
    progress: Progress,
    *,
    keep_float32: bool = False,
) -> None:
    """Bring the files of `source` into `folder` and write its index.

    A folder with an index is brought back to the commit that the index names. Components that
    `source` halves are stored in 16 bits file by file, unless `keep_float32` says otherwise or
    the folder was installed in float32. Raises WeightsError if the hub cannot be reached, refuses,
    or sends other bytes than it announced, DiskFullError if they have no room; what arrived is
    kept.
    """
    known = read_index(folder)
    wanted = hub_listing(source, known)
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder)
    held = _found(folder, known, wanted, journal, copies=not keep_float32)
    plain = keep_float32 or (known is not None and not known.originals)
    halved = {} if plain else source.halved
    missing = [file for file in wanted.files if file.name not in held.files]
    needed = sum(file.size or 0 for file in missing)
    needed -= sum(_begun(folder / file.name) for file in missing)
    check_space(folder, _room(folder, wanted, held, halved), model.name)
    progress.begin(model.name, wanted.size, wanted.size - needed)
    try:
        for file in wanted.files:
            if file.name not in held.files:
                say(f"{source.repository} {file.name}")
                record = fetch_file(file, folder / file.name, progress, wanted.headers)
                journal.add(file.name, record)
                held.files[file.name] = record
            _halve(folder, file.name, halved, held, journal, say)
    except UnreachableError as error:
        raise UnreachableError(
            f"{source.repository} cannot be fetched from the hub ({error}); what arrived is kept: "
            "check the network (or HF_ENDPOINT) and run the same command again"
        ) from error
    except RefusedError as error:
        raise refusal(source.repository, error.status) from error
    finally:
        progress.end()
    save_index(folder, f"hub:{source.repository}", wanted.commit, held.files, held.originals)
    shutil.rmtree(folder / ".cache" / "huggingface", ignore_errors=True)  # 0.2's unfinished files


def _found(
    folder: Path, known: Index | None, wanted: Listing, journal: Journal, *, copies: bool
) -> Held:
    """The wanted files that lie in `folder` whole and right, each read at most once.

    A 16-bit copy stands for the hub's file that it was made of, if `copies` are wanted.
    """
    proven: dict[str, FileRecord] = {}
    wrong: set[str] = set()
    if known:
        wrong = {name for name, _ in faults(folder, known, everything=False)}
        lying = known.lying(folder)
        proven = {name: item for name, item in lying.items() if name not in wrong}
    held = Held({name: item for name, item in proven.items() if name.endswith(".gguf")})
    for file in wanted.files:
        path = folder / file.name
        record = proven.get(file.name) or journal.get(file.name)
        original = _original(file.name, record, known, journal)
        if record is None and file.name not in wrong and path.is_file():
            if file.size is not None and size_fault(path, file.size):
                continue
            record = record_of(path)
            journal.add(file.name, record)
        if record and file.is_record(original or record, path) and (copies or not original):
            held.files[file.name] = record
            if original:
                held.originals[file.name] = original
    return held


def _original(
    name: str, record: FileRecord | None, known: Index | None, journal: Journal
) -> FileRecord | None:
    """The hub's file of which the file that lies at `name` is a copy; None if it is none."""
    if record is None:
        return None
    original = (known.originals.get(name) if known else None) or journal.original(name)
    return None if original == record else original


def _halve(
    folder: Path,
    name: str,
    halved: Mapping[str, Halving],
    held: Held,
    journal: Journal,
    say: Say,
) -> None:
    """Put the 16-bit copy of a file in its place, if it is to have one."""
    halving = halving_of(name, halved)
    if halving is None or name in held.originals or not is_shrinkable(folder / name, halving):
        return
    say(f"{name}: storing it in 16 bits")
    original = held.files[name]
    record = write_copy(folder / name, halving)
    journal.add_copy(name, record, copy_of(folder / name), original)
    copy_of(folder / name).replace(folder / name)
    held.files[name], held.originals[name] = record, original


def _room(folder: Path, wanted: Listing, held: Held, halved: Mapping[str, Halving]) -> int:
    """Most bytes that are taken at once, beyond what lies there: each file is halved as soon as
    it is there, and until then both lie side by side."""
    taken = most = 0
    for file in wanted.files:
        size, halving = file.size or 0, halving_of(file.name, halved)
        if file.name not in held.files:
            taken += size - _begun(folder / file.name)
        most = max(most, taken)
        if halving and file.name not in held.originals:
            copy = int(halving.share * size)
            most = max(most, taken + copy)
            taken += copy - size
    return most


def _begun(path: Path) -> int:
    part = part_of(path)
    return part.stat().st_size if part.exists() else 0


def records_as_listed(
    folder: Path, wanted: Listing, progress: Progress, journal: Journal | None
) -> dict[str, FileRecord] | str:
    """Records of all wanted files of a folder that somebody filled, or what is wrong with it.

    What is hashed is noted in `journal`; it is None for a folder that stays untouched if it is
    wrong.
    """
    for file in wanted.files:
        if file.size is not None and (fault := size_fault(folder / file.name, file.size)):
            return f"{file.name} {fault}"
    records: dict[str, FileRecord] = {}
    for file in wanted.files:
        record = hashed(folder, file.name, progress, journal)
        if not file.is_record(record, folder / file.name):
            return f"{file.name} is altered: it is not the hub's"
        records[file.name] = record
    return records


def hashed(folder: Path, name: str, progress: Progress, journal: Journal | None) -> FileRecord:
    """The record of a file, which is not read if `journal` knows it, and noted there."""
    record = journal.get(name) if journal else None
    if record is None:
        record = record_of(folder / name)
        if journal:
            journal.add(name, record)
    progress.advance(record.size)
    return record


def fetch_url(model: Model, source: UrlSource, folder: Path, say: Say, progress: Progress) -> None:
    """Bring the file of `source` into `folder` and write its index.

    Raises WeightsError if it cannot be reached, or is not the file that the catalog or an index
    names, DiskFullError if it has no room; what arrived is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, known = folder / model.file, read_index(folder)
    recorded = known.files[model.file].sha256 if known and model.file in known.files else ""
    file = RemoteFile(
        model.file, source.url, announced_size(source.url, {}), recorded or source.sha256
    )
    size = file.size or model.size
    check_space(folder, size - min(_begun(path), size), model.name)
    say(source.url)
    progress.begin(model.name, size, min(_begun(path), size))
    try:
        record = fetch_file(file, path, progress, {})
    except (UnreachableError, RefusedError) as error:
        raise UnreachableError(
            f"{source.url} cannot be fetched ({error}); what arrived is kept: check the network "
            "and run the same command again"
        ) from error
    except WeightsError as error:
        raise WeightsError(
            f"{source.url} is not the file whose sha256 is known ({file.sha256 or 'none'}); it was "
            "deleted. Try again later; if its maker changed it, a new version of Reelwright must "
            "name the new one"
        ) from error
    finally:
        progress.end()
    save_index(folder, source.url, source.url, {model.file: record})
