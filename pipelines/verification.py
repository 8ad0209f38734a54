"""The result of reading every byte of the bucket: counts, faults, and the remedy for each fault."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import Digest

Seen = Literal[
    "whole",
    "made again since",
    "orphan",
    "damaged",
    "missing part",
    "missing intermediate",
    "manifest",
    "unreadable manifest",
    "manifest of another version",
    "manifest without a copy",
    "foreign",
]
"""`whole`: a manifest names it, and every byte is as stored. `made again since`: undamaged, but
another run stored it again with other bytes than a manifest names. `orphan`: undamaged, and no
manifest names it. `missing intermediate` is no fault, because chunks and the like are a cache.
`foreign` objects lie outside our layout and are not read."""

What = Literal[
    "part", "intermediate", "manifest", "copy", "picture", "setting", "ledger entry", "job"
]
"""`part`: video, poster or contact sheet of a published video. `picture`: an upload. `setting`:
the calendar, or the list of campaigns to keep. `ledger entry` and `job` say what was paid: they are
never deleted."""
REPAIRABLE: frozenset[What] = frozenset({"part", "intermediate", "manifest", "copy"})

MAX_LISTED = 5_000
"""Faults that are listed and repaired at once. All faults are counted."""


@dataclass(frozen=True)
class Fault:
    """An object that is not what it should be."""

    key: str
    what: What
    detail: str
    prompt: str = ""
    """Prompt of the video that the object belongs to, if that is known."""
    content_id: str = ""
    restorable: bool = True
    """Whether `--repair` can repair it."""

    @property
    def remedy(self) -> str:
        """What the operator does about it."""
        if self.restorable:
            return "run: reelwright verify --repair"
        return {
            "manifest": "no copy of it can be read: give the brief of that video again",
            "picture": "send the same picture to /uploads again, which replaces it",
            "ledger entry": "restore its folder from a backup; nothing may be spent without it, "
            "unless a snapshot has it",
            "job": "restore it from a backup, or delete it if that job may be paid for again",
            "setting": "write it again: reelwright calendar put FILE, or reelwright retention keep",
        }.get(self.what, "give its brief again")

    def __str__(self) -> str:
        of = f" of {self.prompt!r:.80}" if self.prompt else ""
        return f"{self.key}{of}: {self.detail}; {self.remedy}"


@dataclass
class VerifyReport:
    """What an audit of the bucket found."""

    counts: Counter[Seen] = field(default_factory=Counter)
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    unlisted: int = 0
    """Faults beyond MAX_LISTED."""
    repaired: list[str] = field(default_factory=list)
    """A sentence for each repair."""
    runs: list[str] = field(default_factory=list)
    """Ids of runs that were started to make videos again."""

    def add(self, fault: Fault) -> None:
        """Add a fault to the list, or count it if the list is full."""
        if len(self.faults) < MAX_LISTED:
            self.faults.append(fault)
        else:
            self.unlisted += 1

    @property
    def clean(self) -> bool:
        return not self.faults and not self.unlisted

    def sentence(self) -> str:
        """The result in one sentence."""
        counted = ", ".join(f"{count:,} {seen}" for seen, count in sorted(self.counts.items()))
        left = len(self.faults) + self.unlisted
        words = f"{left:,} faults are left" if left else "no fault is left"
        found = f"found: {counted}" if counted else "the bucket is empty"
        return f"{words}; {self.read_bytes / 1e6:,.1f} MB read, {found}"

    def as_values(self) -> dict[str, object]:
        """The report as plain values, for JSON."""
        return {
            "clean": self.clean,
            "counts": dict(sorted(self.counts.items())),
            "read_bytes": self.read_bytes,
            "faults": [
                {
                    "key": item.key,
                    "what": item.what,
                    "detail": item.detail,
                    "prompt": item.prompt,
                    "content_id": item.content_id,
                    "remedy": item.remedy,
                }
                for item in self.faults
            ],
            "unlisted": self.unlisted,
            "repaired": self.repaired,
            "runs": self.runs,
        }


@dataclass(slots=True)
class Named:
    """An intermediate that a manifest names."""

    sha256: bytes
    """The first 8 bytes. They show whether the object was stored again with other bytes."""
    content_id: bytes


class Index:
    """Intermediates that manifests name, 150 bytes each. An object that is found is removed from
    it."""

    def __init__(self) -> None:
        self._named: dict[bytes, Named] = {}

    def add(self, manifest: Manifest) -> None:
        """Add what `manifest` names besides its published parts."""
        owner = bytes.fromhex(manifest.content_id)
        for item in manifest.objects:
            if not item.key.startswith("videos/"):
                self._named[_short(item.key)] = Named(bytes.fromhex(item.sha256)[:8], owner)

    def take(self, key: str) -> Named | None:
        """Remove `key`, which is not missing, and return what a manifest says of it, if any
        does."""
        return self._named.pop(_short(key), None)

    @property
    def left(self) -> int:
        """How many objects were not found."""
        return len(self._named)


def owner_of(named: Named | None) -> Digest | None:
    """The video whose manifest names the object."""
    return Digest(named.content_id.hex()) if named else None


def _short(key: str) -> bytes:
    """A key with a digest, shortened to 18 bytes."""
    folder, _, name = key.partition("/")
    digest, _, suffix = name.partition(".")
    return bytes.fromhex(digest)[:16] + folder[:1].encode() + suffix[-1:].encode()
