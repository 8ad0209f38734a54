"""What a look at every byte of the bucket found: counts, faults, and what to do about each."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from pipelines.schema.keys import Digest
from pipelines.schema.manifest import Manifest

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
"""`whole`: named by a manifest, every byte as stored. `made again since`: whole, but with other
bytes than a manifest names, because another run made it anew. `orphan`: whole, and named by no
manifest. `missing intermediate` is no fault: chunks and the like are a cache. `foreign` objects are
not of our layout and are not read."""

What = Literal["part", "intermediate", "manifest", "copy", "picture", "setting"]
"""`part`: video, poster or contact sheet of a published video. `picture`: an upload. `setting`:
the calendar, or the list of campaigns to keep."""

MAX_LISTED = 5_000
"""Faults that are listed and repaired at once; all are counted."""


@dataclass(frozen=True)
class Fault:
    """An object that is not what it should be."""

    key: str
    what: What
    detail: str
    prompt: str = ""
    """Of the video that it belongs to, as far as that is known."""
    content_id: str = ""
    restorable: bool = True
    """Whether `--repair` can do something about it."""

    @property
    def remedy(self) -> str:
        """What to do."""
        if self.restorable:
            return "run: reelwright verify --repair"
        return {
            "manifest": "no copy of it can be read: give the brief of that video again",
            "picture": "send the same picture to /uploads again, which replaces it",
            "setting": "write it again: reelwright calendar put FILE, or reelwright retention keep",
        }.get(self.what, "give its brief again")

    def __str__(self) -> str:
        of = f" of {self.prompt!r:.80}" if self.prompt else ""
        return f"{self.key}{of}: {self.detail}; {self.remedy}"


@dataclass
class VerifyReport:
    """Everything that was looked at."""

    counts: Counter[Seen] = field(default_factory=Counter)
    read_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    unlisted: int = 0
    """Faults beyond MAX_LISTED."""
    repaired: list[str] = field(default_factory=list)
    """A sentence for each."""
    runs: list[str] = field(default_factory=list)
    """Ids of runs that were started to make videos again."""

    def add(self, fault: Fault) -> None:
        """Note a fault."""
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
        """For programs."""
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
    """The first 8 bytes, to tell bytes that were made again."""
    content_id: bytes


class Index:
    """Intermediates that manifests name, 150 bytes each; whoever is seen is taken out."""

    def __init__(self) -> None:
        self._named: dict[bytes, Named] = {}

    def add(self, manifest: Manifest) -> None:
        """What `manifest` names beside its published parts."""
        owner = bytes.fromhex(manifest.content_id)
        for item in manifest.objects:
            if not item.key.startswith("videos/"):
                self._named[_short(item.key)] = Named(bytes.fromhex(item.sha256)[:8], owner)

    def take(self, key: str) -> Named | None:
        """Who names `key`; it is not missing."""
        return self._named.pop(_short(key), None)

    @property
    def left(self) -> int:
        """How many were not taken."""
        return len(self._named)


def owner_of(named: Named | None) -> Digest | None:
    """The video that names it."""
    return Digest(named.content_id.hex()) if named else None


def _short(key: str) -> bytes:
    """A key of a layout with digests in 18 bytes."""
    folder, _, name = key.partition("/")
    digest, _, suffix = name.partition(".")
    return bytes.fromhex(digest)[:16] + folder[:1].encode() + suffix[-1:].encode()
