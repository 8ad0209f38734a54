"""Archives of strangers: every attack with a real zip, and what an honest one gives."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines.errors import BriefError
from pipelines.media.archive import (
    LIMITS,
    ArchiveLimits,
    is_zip,
    pack_motion,
    unpack_motion,
)

POSE, FACE, BACKGROUND, MASK = "src_pose.mp4", "src_face.mp4", "src_bg.mp4", "src_mask.mp4"
PAIR: dict[str, bytes] = {POSE: b"pose", FACE: b"face"}
ALL: dict[str, bytes] = PAIR | {BACKGROUND: b"background", MASK: b"mask", "src_ref.png": b"who"}
"""Unpacking does not look at what the files hold."""
Name = str | zipfile.ZipInfo


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return folder


def packed(
    path: Path,
    members: Mapping[str, bytes] | list[tuple[Name, bytes]],
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    pairs = list(members.items()) if isinstance(members, Mapping) else members
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in pairs:
            archive.writestr(name, data)
    return path


def special(name: str, mode: int) -> zipfile.ZipInfo:
    """A member that Unix would unpack as a link or a device."""
    member = zipfile.ZipInfo(name)
    member.create_system = 3
    member.external_attr = (mode | 0o777) << 16
    return member


def edited(path: Path, *changes: tuple[bytes, bytes]) -> Path:
    """The archive with some of its bytes replaced, which must be there."""
    data = path.read_bytes()
    for old, new in changes:
        assert old in data
        data = data.replace(old, new)
    path.write_bytes(data)
    return path


def refusal(archive: Path, folder: Path, limits: ArchiveLimits = LIMITS) -> str:
    with pytest.raises(BriefError) as caught:
        unpack_motion(archive, folder, limits)
    inside = {path.resolve() for path in folder.rglob("*")}
    outside = set(folder.parent.iterdir()) - {archive, folder}
    assert not outside
    assert {path.name for path in inside} <= set(ALL)
    return str(caught.value)


def test_pose_and_face_are_enough(tmp_path: Path, target: Path) -> None:
    motion = unpack_motion(packed(tmp_path / "a.zip", PAIR), target)
    assert {role: path.read_bytes() for role, path in motion.videos.items()} == {
        "pose": b"pose",
        "face": b"face",
    }
    assert motion.character is None
    assert motion.ignored == ()


def test_names_in_capitals_and_one_folder_deep_are_found_and_other_files_are_named(
    tmp_path: Path, target: Path
) -> None:
    members = {f"Take 1/{name.upper()}": data for name, data in ALL.items()}
    junk = {"Take 1/notes.txt": b"x", "__MACOSX/Take 1/._src_pose.mp4": b"x", "Take 1/": b""}
    motion = unpack_motion(packed(tmp_path / "a.zip", members | junk), target)
    assert motion.videos["mask"].read_bytes() == b"mask"
    assert motion.character is not None
    assert motion.character.read_bytes() == b"who"
    assert motion.ignored == ("Take 1/notes.txt", "__MACOSX/Take 1/._src_pose.mp4")
    assert sorted(path.name for path in target.iterdir()) == sorted(ALL)


def test_the_same_files_get_the_same_key_however_they_were_packed(
    tmp_path: Path, target: Path
) -> None:
    (tmp_path / "other").mkdir()
    one = unpack_motion(packed(tmp_path / "a.zip", ALL), target)
    shuffled = {f"x/{name}": data for name, data in reversed(ALL.items())} | {"x/readme": b"hi"}
    two = unpack_motion(
        packed(tmp_path / "b.zip", shuffled, zipfile.ZIP_STORED), tmp_path / "other"
    )
    ours, again = tmp_path / "ours.zip", tmp_path / "again.zip"
    assert pack_motion(one, ours) == pack_motion(two, again)
    assert ours.read_bytes() == again.read_bytes()
    (tmp_path / "third").mkdir()
    assert unpack_motion(ours, tmp_path / "third").ignored == ()


BAD_NAMES = {
    "above": "../src_pose.mp4",
    "far above": "a/../../../../tmp/src_pose.mp4",
    "absolute": "/tmp/src_pose.mp4",
    "of Windows": "C:\\src_pose.mp4",
    "with a backslash": "..\\src_pose.mp4",
    "a drive": "C:src_pose.mp4",
    "with a line feed": "a\nb/src_pose.mp4",
    "with an escape": "\x1b[2Jsrc_pose.mp4",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", [*PAIR.items(), (name, b"evil")])
    words = refusal(archive, target)
    assert "names are relative" in words
    assert repr(name)[1:20] in words
    assert "\x1b" not in words


def test_a_name_that_ends_before_its_end_is_refused(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"src_pose.mp4_.exe": b"MZ", FACE: b"face"})
    words = refusal(edited(archive, (b"src_pose.mp4_.exe", b"src_pose.mp4\0.exe")), target)
    assert "src_pose.mp4\\x00.exe" in words


KINDS = {
    "a link": stat.S_IFLNK,
    "a block device": stat.S_IFBLK,
    "a character device": stat.S_IFCHR,
    "a pipe": stat.S_IFIFO,
    "a socket": stat.S_IFSOCK,
}


@pytest.mark.parametrize("name", [POSE, "else"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_no_ordinary_file_is_refused(
    kind: int, name: str, tmp_path: Path, target: Path
) -> None:
    members: list[tuple[Name, bytes]] = [(FACE, b"face"), (special(name, kind), b"/etc/passwd")]
    assert "link or a device" in refusal(packed(tmp_path / "a.zip", members), target)


def test_an_encrypted_member_is_refused(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", PAIR)
    data = bytearray(archive.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    archive.write_bytes(data)
    assert "without a password" in refusal(archive, target)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_whose_memory_the_sender_chooses_is_refused(
    method: int, tmp_path: Path, target: Path
) -> None:
    assert f"method {method}" in refusal(packed(tmp_path / "a.zip", PAIR, method), target)


@pytest.mark.parametrize("second", [POSE, "SRC_POSE.MP4", "take/src_pose.mp4"])
def test_a_file_that_is_there_twice_is_refused(second: str, tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", [*PAIR.items(), (second, b"another")])
    assert "src_pose.mp4 twice" in refusal(archive, target)


def test_files_of_two_takes_are_not_mixed(tmp_path: Path, target: Path) -> None:
    members = {f"one/{POSE}": b"pose", f"two/{FACE}": b"face"}
    words = refusal(packed(tmp_path / "a.zip", members), target)
    assert "'one', 'two'" in words


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        ({}, "src_pose.mp4 and src_face.mp4"),
        ({POSE: b"pose"}, "src_face.mp4"),
        (PAIR | {MASK: b"mask"}, "src_bg.mp4"),
        (PAIR | {BACKGROUND: b"background"}, "src_mask.mp4"),
        ({f"a/b/{name}": data for name, data in PAIR.items()}, "src_pose.mp4 and src_face.mp4"),
    ],
    ids=["nothing", "no face", "no background", "no mask", "two folders deep"],
)
def test_what_is_missing_is_named(
    members: dict[str, bytes], missing: str, tmp_path: Path, target: Path
) -> None:
    assert f"lacks {missing}, " in refusal(packed(tmp_path / "a.zip", members), target)


def test_an_archive_in_the_archive_is_refused(tmp_path: Path, target: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(POSE, b"pose")
    members = {"takes.zip": inner.getvalue(), **PAIR}
    assert "holds another archive" in refusal(packed(tmp_path / "a.zip", members), target)


def test_a_bomb_is_cut_off_at_the_ratio(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", {POSE: bytes(20_000_000), FACE: b"face"})
    size = archive.stat().st_size
    assert size < 25_000
    assert f"{100 * size:,} bytes" in refusal(archive, target)
    assert sum(path.stat().st_size for path in target.iterdir()) <= 100 * size


def test_files_that_are_too_large_together_are_refused(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", {POSE: bytes(700), FACE: bytes(400)}, zipfile.ZIP_STORED)
    words = refusal(archive, target, ArchiveLimits(unpacked_bytes=1000))
    assert "'src_face.mp4' and the files before it unpack to more than 1,000 bytes" in words


@pytest.mark.parametrize("claimed", [10, 2**31])
def test_a_size_in_the_header_is_not_believed(claimed: int, tmp_path: Path, target: Path) -> None:
    size = 123_457
    archive = packed(tmp_path / "a.zip", {POSE: bytes(size), FACE: b"face"}, zipfile.ZIP_STORED)
    lie = (struct.pack("<2L", size, size), struct.pack("<2L", size, claimed))
    assert "is damaged" in refusal(edited(archive, lie), target)


def test_two_members_on_the_same_bytes_cost_no_more_than_the_limit(
    tmp_path: Path, target: Path
) -> None:
    """The trick of bombs that no longer nest: the directory names one stream many times."""
    archive = packed(tmp_path / "a.zip", {POSE: bytes(600), FACE: bytes(600)}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)  # where its data begin: those of the first
    archive.write_bytes(data)
    assert "is damaged" in refusal(archive, target)


def test_a_list_of_a_million_files_is_refused_before_it_is_read(
    tmp_path: Path, target: Path
) -> None:
    archive = packed(tmp_path / "a.zip", PAIR)
    data = archive.read_bytes()
    end = data.index(b"PK\x05\x06")
    directory = data[data.index(b"PK\x01\x02") : end] * 600
    tail = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, len(directory), data.index(b"PK\x01\x02"), 0
    )
    archive.write_bytes(data[: data.index(b"PK\x01\x02")] + directory + tail)
    assert "65,536 bytes are allowed" in refusal(archive, target)


def test_more_files_than_allowed_are_refused(tmp_path: Path, target: Path) -> None:
    members = PAIR | {f"{number}.txt": b"" for number in range(99)}
    words = refusal(packed(tmp_path / "a.zip", members), target)
    assert "lists 101 files" in words
    assert "100 files" in words


def with_comment(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"hello"


def as_zip64(path: Path) -> None:
    data = path.read_bytes()
    end = data.index(b"PK\x05\x06")
    path.write_bytes(data[:end] + struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1) + data[end:])


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(500))


ENDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a comment": (with_comment, "plain zip"),
    "zip64": (as_zip64, "zip64"),
    "cut off": (cut_off, "plain zip"),
    "nothing": (emptied, "no zip"),
    "another file": (overwritten, "plain zip"),
}


@pytest.mark.parametrize(("change", "words"), ENDS.values(), ids=ENDS)
def test_an_archive_that_ends_otherwise_is_refused(
    change: Callable[[Path], None], words: str, tmp_path: Path, target: Path
) -> None:
    archive = packed(tmp_path / "a.zip", PAIR)
    change(archive)
    assert words in refusal(archive, target)


def test_damaged_bytes_are_refused(tmp_path: Path, target: Path) -> None:
    members = {POSE: bytes(range(256)) * 40, FACE: b"face"}
    archive = packed(tmp_path / "a.zip", members, zipfile.ZIP_STORED)
    middle = bytes(range(100, 140))
    assert "is damaged" in refusal(edited(archive, (middle, bytes(40))), target)


def test_an_archive_that_is_too_large_is_refused(tmp_path: Path, target: Path) -> None:
    archive = packed(tmp_path / "a.zip", PAIR)
    words = refusal(archive, target, ArchiveLimits(packed_bytes=100))
    assert "may have 100" in words


def test_an_archive_of_ours_fits_the_limits_again() -> None:
    """Its members are stored, so it is as large as they are together, and a little more."""
    assert LIMITS.unpacked_bytes + 100_000 < LIMITS.packed_bytes


def test_a_zip_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert is_zip(packed(tmp_path / "a.zip", PAIR).read_bytes())
    assert is_zip(packed(tmp_path / "b.zip", {}).read_bytes())
    assert not is_zip(b"\x89PNG\r\n\x1a\n")
