"""Fetching model files from the hub or an address, resumed where they broke off."""

import fnmatch
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import urllib3

from infra.adapters.weights.catalog import HubSource, UrlSource
from infra.adapters.weights.index import read_index, write_index
from pipelines.errors import WeightsError

_BLOCK = 2**20
Say = Callable[[str], None]


@dataclass(frozen=True)
class _HubFile:
    name: str
    sha256: str | None
    """The hub knows it for large files only; small ones are pinned by the commit."""


def fetch_hub(source: HubSource, folder: Path, say: Say) -> None:
    """Bring the files of `source` into `folder` and write its index.

    A folder with an index is brought back to the commit that the index names. Raises
    WeightsError if the hub cannot be reached or a file does not match the hub's sha256.
    """
    from huggingface_hub import HfApi, hf_hub_download

    known = read_index(folder)
    revision = known.revision if known else source.revision
    try:
        info = HfApi().model_info(source.repository, revision=revision, files_metadata=True)
        commit = str(info.sha)
        wanted = [
            _HubFile(item.rfilename, item.lfs.sha256 if item.lfs else None)
            for item in info.siblings or []
            if any(fnmatch.fnmatch(item.rfilename, pattern) for pattern in source.patterns)
        ]
        if not wanted:
            raise WeightsError(f"{source.repository} has no file like {source.patterns[0]}")
        for file in wanted:
            if file.sha256 and _is_file(folder / file.name, file.sha256):
                continue
            say(f"{source.repository} {file.name}")
            hf_hub_download(
                source.repository,
                file.name,
                revision=commit,
                local_dir=folder,
                force_download=(folder / file.name).exists(),
            )
            if file.sha256 and not _is_file(folder / file.name, file.sha256):
                (folder / file.name).unlink(missing_ok=True)
                raise WeightsError(
                    f"{file.name} of {source.repository} arrived altered (its sha256 is not the "
                    "hub's) and was deleted; download again"
                )
    except WeightsError:
        raise
    except Exception as error:  # the hub's client lets the errors of its HTTP library through
        raise WeightsError(
            f"{source.repository} cannot be fetched from the hub ({_root(error)}); what arrived "
            "is kept: check the network (or HF_ENDPOINT) and run the same command again"
        ) from error
    write_index(folder, f"hub:{source.repository}", commit)


def fetch_url(source: UrlSource, folder: Path, file: str, say: Say) -> None:
    """Bring the file of `source` into `folder` and write its index.

    Raises WeightsError if it cannot be reached, or is not the file that an index recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, part = folder / file, folder / f"{file}.part"
    known = read_index(folder)
    expected = known.files[file].sha256 if known and file in known.files else None
    say(source.url)
    try:
        _resume(source.url, part)
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise WeightsError(
            f"{source.url} cannot be fetched ({_root(error)}); what arrived is kept: check the "
            "network and run the same command again"
        ) from error
    if expected and not _is_file(part, expected):
        part.unlink()
        raise WeightsError(
            f"{source.url} is not the file whose sha256 was recorded at its first download; it was "
            "deleted. Delete the index beside it to accept a new file"
        )
    part.replace(path)
    write_index(folder, source.url, source.url)


def _resume(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=60), retries=3)
    with pool.request("GET", url, headers=headers, preload_content=False) as answer:
        if answer.status == 416:  # nothing is left to fetch
            return
        if answer.status not in (200, 206):
            raise OSError(f"HTTP {answer.status}")
        with part.open("ab" if answer.status == 206 else "wb") as handle:
            for block in answer.stream(_BLOCK):
                handle.write(block)


def _is_file(path: Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest() == sha256


def _root(error: BaseException) -> str:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]
