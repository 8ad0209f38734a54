"""What the Hugging Face hub says about a repository: its commit and its files."""

import fnmatch
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import httpx

from infra.adapters.weights.model import HubSource
from infra.adapters.weights.transfer import RemoteFile, UnreachableError, http_client
from pipelines.errors import WeightsError

_SHARDS = ".safetensors.index.json"


@dataclass(frozen=True)
class Listing:
    """The wanted files of one commit."""

    commit: str
    files: tuple[RemoteFile, ...]
    headers: Mapping[str, str]
    """With the token of HF_TOKEN or `hf auth login`, if there is one."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size or 0 for file in self.files)


def listing(source: HubSource, revision: str) -> Listing:
    """Ask the hub. Raises UnreachableError, or WeightsError if it refuses or has no such files."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    endpoint = os.environ.get("HF_ENDPOINT") or None
    try:
        info = HfApi(endpoint=endpoint).model_info(
            source.repository, revision=revision, files_metadata=True, timeout=30
        )
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403, 404):
            raise refusal(source.repository, error.response.status_code) from error
        raise _unreachable(source.repository, error) from error
    except Exception as error:  # the hub's client lets the errors of its HTTP library through
        raise _unreachable(source.repository, error) from error
    token = get_token()
    commit, headers = str(info.sha), {"Authorization": f"Bearer {token}"} if token else {}
    files = tuple(
        _remote(item, source.repository, commit, endpoint)
        for item in info.siblings or []
        if any(fnmatch.fnmatchcase(item.rfilename, pattern) for pattern in source.patterns)
    )
    if not files:
        raise WeightsError(f"{source.repository} has no file like {source.patterns[0]}")
    if commit == source.revision:
        files = tuple(_held_to(source, file) for file in files)
    if source.indexed_only:
        files = _named_by_indexes(files, headers, source.repository)
    return Listing(commit, files, headers)


def refusal(repository: str, status: int) -> WeightsError:
    """What to do when the hub refuses: 401 without a token, 403 with one that may not."""
    page = f"https://huggingface.co/{repository}"
    if status == 404:
        return WeightsError(f"{repository} does not exist on the hub, or lacks that revision")
    token = (
        "make a token that may read at https://huggingface.co/settings/tokens, set it as HF_TOKEN"
        if status == 401
        else "make sure that HF_TOKEN is the token of that account and may read gated repositories"
    )
    return WeightsError(
        f"the hub refuses {repository} (HTTP {status}): it is gated, or not public. Log in, open "
        f"{page}, accept its licence, {token}, and run the same command again"
    )


def _unreachable(repository: str, error: BaseException) -> UnreachableError:
    return UnreachableError(
        f"{repository} cannot be fetched from the hub ({root(error)}); what arrived is kept: "
        "check the network (or HF_ENDPOINT) and run the same command again"
    )


def root(error: BaseException) -> str:
    """The first cause of an error, in one line."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def _remote(item: Any, repository: str, commit: str, endpoint: str | None) -> RemoteFile:
    from huggingface_hub import hf_hub_url

    name = PurePosixPath(item.rfilename)
    if name.is_absolute() or ".." in name.parts:
        raise WeightsError(f"{repository} lists a file outside its folder: {item.rfilename!r}")
    url = hf_hub_url(repository, item.rfilename, revision=commit, endpoint=endpoint)
    sha256 = str(item.lfs.sha256) if item.lfs else ""
    return RemoteFile(item.rfilename, url, item.size, sha256, str(item.blob_id or ""))


def _held_to(source: HubSource, file: RemoteFile) -> RemoteFile:
    """`file` with the sha256 that the catalog knows of it. Raises WeightsError if the hub
    announces another one."""
    known = source.sha256.get(file.name, "")
    if known and file.sha256 and file.sha256 != known:
        raise WeightsError(
            f"the hub announces other bytes for {file.name} of {source.repository} (sha256 "
            f"{file.sha256[:12]}…) than are known of its commit {source.revision[:12]} "
            f"({known[:12]}…); nothing was fetched. If HF_ENDPOINT names a mirror, use another"
        )
    return replace(file, sha256=known) if known else file


def _named_by_indexes(
    files: tuple[RemoteFile, ...], headers: Mapping[str, str], repository: str
) -> tuple[RemoteFile, ...]:
    """Without the weights that the index beside them does not name."""
    named: dict[str, set[str]] = {}
    for file in files:
        if file.name.endswith(_SHARDS):
            folder = str(PurePosixPath(file.name).parent)
            named.setdefault(folder, set()).update(_shards(file, headers, repository))
    return tuple(
        file
        for file in files
        if not file.name.endswith(".safetensors")
        or (folder := str(PurePosixPath(file.name).parent)) not in named
        or PurePosixPath(file.name).name in named[folder]
    )


def _shards(file: RemoteFile, headers: Mapping[str, str], repository: str) -> set[str]:
    try:
        with http_client() as client:
            answer = client.get(file.url, headers=dict(headers))
        if answer.status_code in (401, 403):
            raise refusal(repository, answer.status_code)
        answer.raise_for_status()
        return set(json.loads(answer.content)["weight_map"].values())
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise _unreachable(repository, error) from error
