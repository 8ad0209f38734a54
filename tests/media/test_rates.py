"""Frame rate is data: at every rate frames, times and durations are exact."""

from fractions import Fraction
from pathlib import Path

import pytest

from pipelines.errors import MediaError
from pipelines.media.codec import clip_of, clip_writer, read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe
from pipelines.schema.sizes import Size
from pipelines.stitching.concat import stitch
from pipelines.stitching.pieces import copy_part
from tests.support.pictures import decode, numbered_frames, read_number, timestamps, write_clip

SIZE = Size(64, 32)
COMMON = (8, 12, 16, 24, 25, 30)
OTHERS = [pytest.param(fps, marks=pytest.mark.slow) for fps in range(1, 61) if fps not in COMMON]


@pytest.mark.parametrize("fps", [*COMMON, *OTHERS])
def test_clips_of_any_rate_are_written_cut_read_and_joined_exactly(
    ffmpeg: Ffmpeg, tmp_path: Path, fps: int
) -> None:
    clip, part, film = (tmp_path / name for name in ("clip.mp4", "part.mp4", "film.mp4"))
    options = {"fps": fps, "crf": 12, "speed": "veryfast", "keyframe": 7}
    with clip_writer(ffmpeg, clip, SIZE, 17, **options) as write:
        for frame in numbered_frames(SIZE, 17):
            write(frame)
    found = probe(clip)
    assert found.duration == Fraction(17, fps)
    assert found.keyframes == (0, 7)
    copy_part(ffmpeg, clip, part, SIZE, fps=fps, start=7, frames=9)
    taken = read_frames(ffmpeg, clip, SIZE, fps=fps, start=7, frames=3)
    assert [read_number(frame) for frame in taken] == [7, 8, 9]
    joined = stitch(ffmpeg, [clip, part, clip], film, fps=fps, frames=40)
    assert (joined.fps, joined.frames, joined.duration) == (fps, 40, 40 / fps)
    numbers = [*range(17), *range(7, 16), *range(14)]
    assert [read_number(frame) for frame in decode(film)] == numbers
    assert timestamps(film) == [index / fps for index in range(40)]


@pytest.mark.parametrize("fps", [7, 24, 60])
def test_many_joins_do_not_add_up_rounding(ffmpeg: Ffmpeg, tmp_path: Path, fps: int) -> None:
    """ffmpeg adds up durations in microseconds; 11 frames are a whole number of them at no rate."""
    clip = write_clip(ffmpeg, tmp_path / "c.mp4", numbered_frames(SIZE, 11), SIZE, 11, fps=fps)
    joined = stitch(ffmpeg, [clip] * 90, tmp_path / "film.mp4", fps=fps, frames=990)
    assert joined.duration == 990 / fps
    assert timestamps(tmp_path / "film.mp4") == [index / fps for index in range(990)]


@pytest.mark.parametrize("fps", [0, 61])
def test_a_rate_that_cannot_be_written_is_refused(ffmpeg: Ffmpeg, tmp_path: Path, fps: int) -> None:
    with pytest.raises(MediaError, match=f"{fps} frames a second .* choose a rate from 1 to 60"):
        write_clip(ffmpeg, tmp_path / "c.mp4", numbered_frames(SIZE, 3), SIZE, 3, fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_clips_of_different_rates_are_not_joined(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    clips = [
        write_clip(ffmpeg, tmp_path / f"{n}.mp4", numbered_frames(SIZE, 8), SIZE, 8, fps=n)
        for n in (16, 24)
    ]
    with pytest.raises(MediaError, match=r"24\.mp4 cannot be joined to 16\.mp4"):
        stitch(ffmpeg, clips, tmp_path / "film.mp4", fps=16, frames=16)
    with pytest.raises(MediaError, match="frames a second 24, planned were 16"):
        clip_of(clips[1], frames=8, size=SIZE, fps=16)
