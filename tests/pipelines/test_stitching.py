"""Joining is exact to the frame, or an error that names the clip."""

import shutil
from pathlib import Path

import pytest

from pipelines.errors import MediaError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size
from pipelines.stitching.concat import stitch
from tests.support.pictures import decode, numbered_frames, read_number, timestamps, write_clip

SIZE = Size(128, 64)
LENGTH = 33


@pytest.fixture(scope="module")
def clips(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    return [
        write_clip(
            ffmpeg, folder / f"{n}.mp4", numbered_frames(SIZE, LENGTH, n * LENGTH), SIZE, LENGTH
        )
        for n in range(8)
    ]


def test_every_frame_is_there_once_and_in_order(
    ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    joined = stitch(ffmpeg, clips, film, fps=16, frames=8 * LENGTH)
    assert joined.frames == 264
    frames = decode(film)
    assert [read_number(frame) for frame in frames] == list(range(264))
    sources = [frame for clip in clips for frame in decode(clip)]
    assert all((a == b).all() for a, b in zip(frames, sources, strict=True))
    assert timestamps(film) == [index / 16 for index in range(264)]


@pytest.mark.parametrize("frames", [2 * LENGTH + 1, 2 * LENGTH + 30, 3 * LENGTH])
def test_only_the_last_clip_is_trimmed(
    ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path, frames: int
) -> None:
    film = tmp_path / "film.mp4"
    joined = stitch(ffmpeg, clips[:3], film, fps=16, frames=frames)
    assert joined.duration == frames / 16
    assert [read_number(frame) for frame in decode(film)] == list(range(frames))


@pytest.mark.parametrize("frames", [2 * LENGTH, 3 * LENGTH + 1])
def test_a_frame_count_that_the_clips_cannot_give_is_refused(
    ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path, frames: int
) -> None:
    with pytest.raises(MediaError, match=f"{frames} frames are planned"):
        stitch(ffmpeg, clips[:3], tmp_path / "film.mp4", fps=16, frames=frames)


def test_clips_of_another_size_are_refused(
    ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path
) -> None:
    small = Size(64, 64)
    other = write_clip(ffmpeg, tmp_path / "o.mp4", numbered_frames(small, LENGTH), small, LENGTH)
    with pytest.raises(MediaError, match=r"o\.mp4 cannot be joined to 0\.mp4"):
        stitch(ffmpeg, [clips[0], other], tmp_path / "film.mp4", fps=16, frames=2 * LENGTH)


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated"])
def test_a_lost_clip_is_an_error_and_no_film(
    ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path, damage: str
) -> None:
    broken = tmp_path / "broken.mp4"
    if damage != "missing":
        shutil.copy(clips[1], broken)
        with broken.open("r+b") as handle:
            handle.truncate(0 if damage == "empty" else broken.stat().st_size // 2)
    film = tmp_path / "film.mp4"
    with pytest.raises(MediaError, match=r"broken\.mp4|hold"):
        stitch(ffmpeg, [clips[0], broken, clips[2]], film, fps=16, frames=3 * LENGTH)
    assert not film.exists()
    assert list(tmp_path.glob("*.part")) == []


def test_one_clip_alone_is_a_film(ffmpeg: Ffmpeg, clips: list[Path], tmp_path: Path) -> None:
    assert stitch(ffmpeg, clips[:1], tmp_path / "film.mp4", fps=16, frames=20).frames == 20
