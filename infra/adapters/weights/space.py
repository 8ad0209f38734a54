"""Room on the disk before a download begins."""

import shutil
from pathlib import Path

from pipelines.errors import DiskFullError

RESERVE = 1_000_000_000
"""Bytes that must stay free: a full disk stops the studio's database."""


def free_bytes(folder: Path) -> int:
    """Bytes free where `folder` lies, or will lie."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(folder: Path, needed: int, name: str) -> None:
    """Raises DiskFullError if `needed` bytes and the reserve are not free for `folder`."""
    free = free_bytes(folder)
    if needed and free < needed + RESERVE:
        raise DiskFullError(
            f"{name} needs {size_text(needed)} more and {size_text(RESERVE)} must stay free, but "
            f"{size_text(free)} are free in {folder}: free some room or set REELWRIGHT_MODELS_DIR "
            "to a larger disk; nothing was fetched"
        )


def size_text(size: int) -> str:
    """`size` bytes for a person."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"
