"""Free space on the disks of this machine that a studio writes to."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.settings import Settings

GB = 10**9


@dataclass(frozen=True)
class Space:
    """One folder of the studio and the disk that it lies on."""

    folder: str
    """`data`, `models` or `store`."""
    path: Path
    free: int
    """Bytes that this user may still write."""
    size: int
    """Bytes of the whole disk."""
    disk: int
    """Number of the disk: two folders with the same one share their space."""

    def is_low(self, low_gb: float) -> bool:
        """Whether fewer than `low_gb` GB (10^9 bytes) are free; 0: never."""
        return self.free < low_gb * GB


def spaces_of(settings: Settings) -> list[Space]:
    """The data folder, the models, and the files of a store of our own, each with its disk.

    The space of an S3 store elsewhere is not among them: S3 has no request that tells it. A folder
    that does not exist yet counts with the nearest one above it that does.
    """
    return list(_spaces(settings))


def low_disks(settings: Settings) -> list[Space]:
    """The folders with less free space than REELWRIGHT_DISK_LOW_GB, one for each disk."""
    low: dict[int, Space] = {}
    for space in spaces_of(settings):
        if space.is_low(settings.paths.disk_low_gb):
            low.setdefault(space.disk, space)
    return list(low.values())


def warning_of(space: Space, low_gb: float) -> str:
    """The sentence that status, pages and events say of a disk with little space."""
    return (
        f"{space.free / GB:.1f} GB are free on the disk of {space.path}, fewer than "
        f"REELWRIGHT_DISK_LOW_GB={low_gb:g}: free some room, shorten the retention, or move the "
        "folder to a larger disk"
    )


def _spaces(settings: Settings) -> Iterator[Space]:
    folders = {
        "data": settings.paths.data_dir,
        "models": settings.paths.models,
        "store": settings.store.data_dir,
    }
    for name, path in folders.items():
        found = _nearest(path) if path is not None else None
        if path is None or found is None:
            continue
        try:
            usage, disk = shutil.disk_usage(found), found.stat().st_dev
        except OSError:
            continue  # it was removed, or its disk is gone: whoever writes there says so
        yield Space(name, path, usage.free, usage.total, disk)


def _nearest(path: Path) -> Path | None:
    return next((folder for folder in (path, *path.parents) if folder.exists()), None)
