"""What a start of this version changes in a data directory that another version wrote.

Nothing here changes anything: `up` says it first. What cannot be read is refused with the way.
"""

import json
import re
import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from infra.adapters.disk import write_atomic
from infra.adapters.postgres import binaries
from infra.apps.gateway.database import pending_migrations
from pipelines.errors import ServerError, SettingsError

FORMAT = 1
"""Of the data directory: where things lie in it. A higher one cannot be read by this version."""
MARKER = "restoring.json"
"""In the data directory as long as a restore into it is not finished."""
_FILE = "format.json"
_FIRST = "0.1.0"
"""The version that wrote no format file."""
_SINCE_FIRST = (
    "the gateway trusts nobody for being on this machine: log in by the link that is printed "
    "below, and give programs a key (reelwright keys add)",
    "runs that API keys started before this version can be seen by keys with `manage` only",
    "purge-scratch removes what nothing uses when it is older than the settings say; before its "
    "next night, see what would go: reelwright retention plan",
)
_BEFORE_BACKENDS = ("0.1.0", "0.2.0")
_SINCE_BACKENDS = (
    "videos of before are kept, shown and deleted as before; a brief of before makes a new video, "
    "because every component of a model is in the identity of a chunk now",
)
_REVISION = re.compile(r'^revision\b[^=\n]*=\s*"(\w+)"', re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b[^=\n]*=(.*)$", re.MULTILINE)


def check(data: Path) -> None:
    """Raises SettingsError if this version cannot work with the data directory as it is."""
    check_format(data)
    found, ours = _postgres_of(data), _postgres_installed(data)
    if found != ours:
        raise SettingsError(
            f"the database in {data} was made by PostgreSQL {found}, installed is {ours}: make a "
            "backup with the version of Reelwright that made it (reelwright backup), and restore "
            "it with this one into an empty directory (reelwright restore)"
        )


def check_format(data: Path) -> None:
    """Raises SettingsError for what a newer version wrote or a restore has not finished."""
    if (data / MARKER).exists():
        raise SettingsError(
            f"the restore into {data} was not finished; run the same `reelwright restore` again"
        )
    version, writer = _format(data)
    if version > FORMAT:
        raise SettingsError(
            f"{data} is of format {version}, written by Reelwright {writer}; this is "
            f"{_installed()}, which reads up to {FORMAT}: install {writer} or later"
        )


def changes(data: Path) -> list[str]:
    """Lines that say what a start would change in the data directory, as far as its files tell."""
    lines = pending_migrations(data)
    _, writer = _format(data)
    if _is_used(data) and not (data / _FILE).exists():
        lines += _SINCE_FIRST
    if _is_used(data) and writer in _BEFORE_BACKENDS:
        lines += _SINCE_BACKENDS
    if _is_used(data) and writer != _installed():
        lines.append(f"the data directory was last used by {writer}, now by {_installed()}")
    return lines


def prefect_change(revision: str) -> str:
    """What becomes of Prefect's tables at that revision; empty if nothing.

    Raises SettingsError if they are of a newer Prefect than the installed one.
    """
    known, head = prefect_revisions()
    if revision in ("", head):
        return ""
    if revision not in known:
        raise SettingsError(
            f"Prefect's database is at {revision}, which the installed Prefect "
            f"{metadata.version('prefect')} does not know: a newer one wrote it; install that one"
        )
    return (
        f"Prefect's database moves from {revision} to {head} "
        f"(Prefect {metadata.version('prefect')}); there is no way back but a backup"
    )


def note(data: Path) -> None:
    """Record in the data directory that this version uses it."""
    content = {"format": FORMAT, "written_by": _installed()}
    if not (data / _FILE).exists() or _format(data) != (FORMAT, _installed()):
        write_atomic(data / _FILE, (json.dumps(content) + "\n").encode())


def prefect_revisions() -> tuple[frozenset[str], str]:
    """All revisions that the installed Prefect knows, and its latest.

    Read as text: to import its migrations takes seconds and all of Prefect.
    """
    spec = find_spec("prefect")
    if spec is None or spec.origin is None:
        raise ServerError("Prefect is missing; install the project with its constraints again")
    folder = Path(spec.origin).parent / "server/database/_migrations/versions/postgresql"
    known: set[str] = set()
    before: set[str] = set()
    for path in folder.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        known.update(_REVISION.findall(text))
        before.update(word for line in _BEFORE.findall(text) for word in re.findall(r"\w+", line))
    heads = known - before
    if len(heads) != 1:
        raise ServerError(f"the installed Prefect has {len(heads)} latest revisions, not one")
    return frozenset(known), heads.pop()


def _format(data: Path) -> tuple[int, str]:
    """The directory's format and who wrote it. Raises SettingsError if the file is damaged."""
    path = data / _FILE
    if not path.exists():
        return 0, _FIRST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return int(found["format"]), str(found["written_by"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}); write the version that last used the directory, as "
            f'in {{"format": {FORMAT}, "written_by": "{_FIRST}"}}'
        ) from error


def _is_used(data: Path) -> bool:
    return any((data / name).exists() for name in ("store/data", "studio/studio.env", "gateway"))


def _postgres_of(data: Path) -> str:
    """Major version of the database in the directory; empty if there is none."""
    path = data / "studio" / "postgres" / "data" / "PG_VERSION"
    return path.read_text(encoding="ascii").strip() if path.exists() else ""


def _postgres_installed(data: Path) -> str:
    """Of the programs, if the directory has a database for them; else empty."""
    if not _postgres_of(data):
        return ""
    argv = [str(binaries() / "postgres"), "--version"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    match = re.search(r"\) (\d+)", said)
    return match[1] if match else said.strip()


def _installed() -> str:
    return metadata.version("reelwright")
