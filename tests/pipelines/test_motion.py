"""The videos of an animation, real files, measured in a child process."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipelines.errors import BriefError, MediaError
from pipelines.media import motion as module
from pipelines.media.archive import VIDEOS, Motion
from pipelines.media.motion import check_motion, measure
from pipelines.schema.request import VideoRole


def video(
    path: Path,
    frames: int = 8,
    size: tuple[int, int] = (64, 48),
    fps: Fraction | int = 30,
    codec: str = "h264",
    pixels: str = "yuv420p",
) -> Path:
    """An MP4 whose brightness rises from frame to frame."""
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for number in range(frames):
            shade = np.full((size[1], size[0], 3), number * 5 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode())
    return path


def motion(folder: Path, **changed: dict[str, Any]) -> Motion:
    """Four alike, but for what `changed` says of a role."""
    roles: tuple[VideoRole, ...] = ("pose", "face", "background", "mask")
    faces = {"face": {"size": (32, 32)}}
    return Motion(
        {
            role: video(folder / VIDEOS[role], **faces.get(role, {}) | changed.get(role, {}))
            for role in roles
        }
    )


def test_what_the_videos_have_in_common_is_measured(tmp_path: Path) -> None:
    facts = check_motion(motion(tmp_path))
    assert (facts.frames, facts.width, facts.height) == (8, 64, 48)
    assert facts.fps == 30
    assert facts.replaces
    assert facts.seconds == pytest.approx(8 / 30)


@pytest.mark.parametrize(
    ("role", "change", "words"),
    [
        ("face", {"frames": 9}, "src_face.mp4 has 9 frames of 32*32"),
        ("mask", {"fps": 25}, "8 frames of 64*48 at 25 a second"),
        ("background", {"size": (48, 64)}, "8 frames of 48*64"),
    ],
)
def test_videos_that_do_not_go_together_are_refused(
    role: str, change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(BriefError, match="one run of the preprocessing") as caught:
        check_motion(motion(tmp_path, **{role: change}))
    assert words in str(caught.value)


def test_the_child_s_refusal_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    found = motion(tmp_path)
    found.videos["face"].write_bytes(found.videos["face"].read_bytes()[:500])
    with pytest.raises(BriefError, match=r"src_face.mp4 cannot be read .* again as H.264"):
        check_motion(found)


def test_a_child_that_dies_without_a_word_is_spoken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "__name__", "no.such.module")  # what the child is started as
    with pytest.raises(BriefError, match=r"src_pose.mp4 breaks the decoder, or its memory"):
        check_motion(motion(tmp_path))


def test_one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = motion(tmp_path)
    monkeypatch.setattr(module, "MAX_CHECK_SECONDS", 0)
    with pytest.raises(BriefError, match=r"src_pose.mp4 takes longer than 0 s"):
        check_motion(found)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "too few frames": ({"frames": 4}, r"has 4 frames; at least 5"),
    "too wide": ({"size": (1936, 16)}, r"1936\*16 pixels, .* may have 1920"),
    "another codec": ({"codec": "mjpeg", "pixels": "yuvj420p"}, r"encoded as 'mjpeg'"),
    "too fast": ({"fps": 240}, r"has 240 frames a second; 1 to 120"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_a_video_that_breaks_a_limit_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match=words):
        measure(video(tmp_path / "a.mp4", **change), "src_pose.mp4")


def test_a_video_that_is_too_long_is_refused_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FRAMES", 6)
    with pytest.raises(MediaError, match="more than 6 frames"):
        measure(video(tmp_path / "a.mp4"), "src_pose.mp4")


NO_VIDEOS = {
    "nothing": b"",
    "a text": b"hello",
    "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "a list of files": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "an archive": b"PK\x03\x04" + bytes(200),
}


@pytest.mark.parametrize("data", NO_VIDEOS.values(), ids=NO_VIDEOS)
def test_what_is_no_mp4_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"src_pose.mp4 cannot be read as a video"):
        measure(path, "src_pose.mp4")


def test_a_rate_that_is_no_whole_number_stays_exact(tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    pair: dict[VideoRole, Path] = {
        role: video(tmp_path / VIDEOS[role], 24, fps=rate) for role in ("pose", "face")
    }
    facts = check_motion(Motion(pair))
    assert facts.fps == rate
    assert facts.seconds == 24 / float(rate)
    assert not facts.replaces
