"""Zip archives from untrusted clients: the videos that guide an animation.

The archive holds what the preprocessing of Wan2.2-Animate writes. Its headers are not trusted:
bytes are counted while they are read, and files are written under fixed names into an empty folder.
`pack_motion` writes only those files into an archive of our own: the same files give the same bytes
and so the same key, however the client packed them.
"""

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from pipelines.errors import BriefError
from pipelines.schema.keys import Digest
from pipelines.schema.request import VideoRole

VIDEOS: Mapping[VideoRole, str] = {
    "pose": "src_pose.mp4",
    "face": "src_face.mp4",
    "background": "src_bg.mp4",
    "mask": "src_mask.mp4",
}
"""Names that Wan's `preprocess_data.py` gives to its videos."""
CHARACTER = "src_ref.png"
_WANTED = {name: role for role, name in VIDEOS.items()} | {CHARACTER: None}
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"})
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""Not LZMA: it may ask for a dictionary of 4 GB before the first byte."""
_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flags of ZIP: encrypted, strong encryption, encrypted central directory."""
_BLOCK = 1 << 18
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sLQL")
_LISTED = 20
"""Most ignored files that are named."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Limits of an archive."""

    packed_bytes: int = 64_000_000
    """Size of the archive: about a minute of four videos at 720p."""
    members: int = 100
    directory_bytes: int = 65_536
    """Size of the list of members: Python keeps about 1 kB for each member before it can count
    them."""
    unpacked_bytes: int = 60_000_000
    """Size of all files that are used: uncompressed, they must fit into an archive of our own."""
    ratio: int = 100
    """Unpacked bytes for each byte of the archive. Videos and pictures are compressed already; only
    a mask video that never changes shrinks to a tenth."""


LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Motion:
    """The files of an archive, unpacked under fixed names."""

    videos: Mapping[VideoRole, Path]
    character: Path | None = None
    """A picture of the figure; its contents are not checked yet."""
    ignored: tuple[str, ...] = field(default=())
    """Other files of the archive, at most _LISTED."""


def is_zip(head: bytes) -> bool:
    """Whether a file that begins with these bytes claims to be a zip archive."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def unpack_motion(archive: Path, folder: Path, limits: ArchiveLimits = LIMITS) -> Motion:
    """Unpack the videos, and the picture if there is one, into the empty `folder`.

    Their contents are not checked. Raises BriefError if the archive breaks a rule; then `folder`
    may hold some of the files.
    """
    size = archive.stat().st_size
    if size > limits.packed_bytes:
        raise BriefError(
            f"the archive has {size:,} bytes; it may have {limits.packed_bytes:,}: send a shorter "
            "part, or encode the videos smaller"
        )
    with archive.open("rb") as stream:
        _check_end(stream, size, limits)
        try:
            with zipfile.ZipFile(stream) as opened:
                return _unpack(opened, folder, size, limits)
        except _BROKEN as error:
            raise BriefError(
                f"the archive is damaged ({error}); pack the files again, with zip or deflate"
            ) from error


_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    UnicodeError,
    ValueError,
    OverflowError,
    struct.error,
)
"""What `zipfile` raises for an invalid archive. It raises RuntimeError for a missing password."""


def _check_end(stream: IO[bytes], size: int, limits: ArchiveLimits) -> None:
    """Check the size of the list of members before `zipfile` reads it: it may be as long as the
    archive."""
    remedy = "pack the files again with zip, without a comment and without zip64"
    if size < _END.size:
        raise BriefError(f"the archive ends after {size} bytes and is no zip; {remedy}")
    stream.seek(size - _END.size)
    signature, *_, members, directory, _, comment = _END.unpack(stream.read(_END.size))
    if signature != b"PK\x05\x06" or comment:
        raise BriefError(f"the archive does not end as a plain zip; {remedy}")
    if size >= _END.size + _END_64.size:
        stream.seek(size - _END.size - _END_64.size)
        if stream.read(4) == b"PK\x06\x07":
            raise BriefError(f"the archive is of the kind zip64, for files over 4 GB; {remedy}")
    stream.seek(0)
    if members > limits.members or directory > limits.directory_bytes:
        raise BriefError(
            f"the archive lists {members} files in {directory:,} bytes; {limits.members} files in "
            f"{limits.directory_bytes:,} bytes are allowed: pack {', '.join(_WANTED)} alone"
        )


def _unpack(archive: zipfile.ZipFile, folder: Path, size: int, limits: ArchiveLimits) -> Motion:
    wanted, ignored = _choose(archive.infolist())
    room = most = min(limits.unpacked_bytes, size * limits.ratio)
    videos: dict[VideoRole, Path] = {}
    character: Path | None = None
    for name, member in wanted.items():
        path = folder / name
        left = _extract(archive, member, path, room)
        if left is None:
            raise BriefError(
                f"{member.filename!r:.100} and the files before it unpack to more than {most:,} "
                f"bytes; an archive of {size:,} bytes may unpack to {limits.ratio} times that and "
                f"to {limits.unpacked_bytes:,} bytes: send shorter or smaller videos"
            )
        room = left
        role = _WANTED[name]
        if role is None:
            character = path
        else:
            videos[role] = path
    return Motion(videos, character, tuple(ignored[:_LISTED]))


def _extract(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, room: int
) -> int | None:
    """Write a member to `path`. Its bytes are counted, because its header may be wrong.

    Returns what is left of `room`; None if the member is larger than `room`.
    """
    written = 0
    with archive.open(member) as source, path.open("xb") as target:
        while block := source.read(_BLOCK):
            written += len(block)
            if written > room:
                return None
            target.write(block)
    if written != member.file_size:  # zipfile itself notices only what is longer than claimed
        raise zipfile.BadZipFile(
            f"{member.filename!r:.100} claims {member.file_size:,} bytes and has {written:,}"
        )
    return room - written


def _choose(members: list[zipfile.ZipInfo]) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """The members that are used, by their fixed names, and the names of the other members."""
    wanted: dict[str, zipfile.ZipInfo] = {}
    ignored: list[str] = []
    folders: set[PurePosixPath] = set()
    for member in members:
        path = _checked(member)
        if member.is_dir():
            continue
        name = path.name.lower()
        if name not in _WANTED or len(path.parts) > 2:
            if path.suffix.lower() in _ARCHIVES:
                raise BriefError(
                    f"the archive holds another archive, {str(path)!r:.100}, which is not "
                    "unpacked: pack the files themselves"
                )
            ignored.append(str(path)[:200])
            continue
        if name in wanted:
            raise BriefError(
                f"the archive holds {name} twice, as {wanted[name].filename!r:.100} and "
                f"{member.filename!r:.100}; one is allowed: remove the other"
            )
        wanted[name] = member
        folders.add(path.parent)
    if len(folders) > 1:
        raise BriefError(
            f"the files lie in several folders ({', '.join(sorted(map(repr, map(str, folders))))}"
            "); they must lie side by side, at the top of the archive or in one folder"
        )
    _require(wanted)
    return wanted, ignored


def _require(wanted: Mapping[str, zipfile.ZipInfo]) -> None:
    """Raises BriefError unless pose and face are there, and background and mask both or neither."""
    needed = [VIDEOS["pose"], VIDEOS["face"]]
    if VIDEOS["background"] in wanted or VIDEOS["mask"] in wanted:
        needed += [VIDEOS["background"], VIDEOS["mask"]]
    missing = [name for name in needed if name not in wanted]
    if missing:
        raise BriefError(
            f"the archive lacks {' and '.join(missing)}, at its top or in one folder; put in "
            f"{VIDEOS['pose']} and {VIDEOS['face']}, and for a replacement {VIDEOS['background']} "
            f"and {VIDEOS['mask']} besides, as Wan's preprocessing writes them"
        )


def _checked(member: zipfile.ZipInfo) -> PurePosixPath:
    """The member's path in the archive. Raises BriefError if it is no plain file with a safe
    name."""
    # zipfile cuts a name at its first NUL: "src_pose.mp4\0.exe" would pass for the video.
    name = member.orig_filename
    path = PurePosixPath(name)
    plain = name.isprintable() and "\\" not in name and ":" not in name
    if not name or not plain or path.is_absolute() or ".." in path.parts or not path.parts:
        raise BriefError(
            f"the archive holds a file called {name!r:.100}; names are relative, with / between "
            "folders and without .., \\ and :; rename it"
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BriefError(
            f"{name!r:.100} in the archive is a link or a device; only files and folders are "
            "allowed: pack the file that it points to"
        )
    if member.flag_bits & _ENCRYPTED:
        raise BriefError(
            f"{name!r:.100} in the archive is encrypted; pack the files without a password"
        )
    if member.compress_type not in _METHODS:
        raise BriefError(
            f"{name!r:.100} is packed by method {member.compress_type}; store and deflate are "
            "allowed: pack it again with zip"
        )
    return path


def pack_motion(motion: Motion, archive: Path) -> Digest:
    """Write the files of `motion` to `archive`, and return the SHA-256 of its bytes.

    The same files give the same bytes: names, order, dates and modes are fixed. Members are stored
    uncompressed, because videos do not get smaller.
    """
    files = [motion.videos[role] for role in VIDEOS if role in motion.videos]
    files += [motion.character] if motion.character else []
    names = [VIDEOS[role] for role in VIDEOS if role in motion.videos]
    names += [CHARACTER] if motion.character else []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for name, path in zip(names, files, strict=True):
            member = zipfile.ZipInfo(name)
            member.create_system = 3  # else it depends on the machine
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            member.file_size = path.stat().st_size
            with target.open(member, "w") as stream, path.open("rb") as source:
                for block in _blocks(source):
                    stream.write(block)
    digest = hashlib.sha256()
    with archive.open("rb") as stream:
        for block in _blocks(stream):
            digest.update(block)
    return Digest(digest.hexdigest())


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block
