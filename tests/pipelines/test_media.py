"""Frames survive the way into a file and back; nothing incomplete ever has a final name."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines.errors import MediaError, SettingsError
from pipelines.media.codec import read_frames, write_contact_sheet, write_still
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg, forced_input
from pipelines.media.probe import probe, verify_clip
from pipelines.schema.sizes import Size
from tests.support.pictures import decode, moving_frames, numbered_frames, read_number, write_clip

SIZE = Size(128, 64)


@pytest.fixture(scope="module")
def clip(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(ffmpeg, path, moving_frames(SIZE, 33), SIZE, 33)


def test_a_clip_has_exact_frames_times_and_colour_tags(clip: Path) -> None:
    found = probe(clip)
    assert (found.frames, found.exact_timestamps) == (33, True)
    assert found.signature.colour == (1, 1, 1, 1)  # tv range, all BT.709
    assert not found.signature.has_b_frames
    assert verify_clip(clip, frames=33, size=SIZE, fps=16, decode=True).duration == 33 / 16


def test_a_clip_of_one_frame_can_be_joined_to_longer_ones(
    ffmpeg: Ffmpeg, clip: Path, tmp_path: Path
) -> None:
    path = write_clip(ffmpeg, tmp_path / "one.mp4", moving_frames(SIZE, 1), SIZE, 1)
    assert probe(path).signature == probe(clip).signature


def test_colours_come_back_as_they_went_in(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """A wrong matrix shifts pure colours by 20 and more, in our reader and in any other."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (235, 235, 16)]
    frames = [np.full((64, 128, 3), colour, np.uint8) for colour in colours]
    path = write_clip(ffmpeg, tmp_path / "c.mp4", iter(frames), SIZE, len(frames))
    ours = list(read_frames(ffmpeg, path, SIZE, fps=16, frames=len(frames)))
    for source, mine, other in zip(frames, ours, decode(path), strict=True):
        assert np.abs(mine.astype(int) - source).max() <= 3
        assert np.abs(other.astype(int) - source).max() <= 6


def test_the_same_frames_give_the_same_bytes(ffmpeg: Ffmpeg, clip: Path, tmp_path: Path) -> None:
    again = write_clip(ffmpeg, tmp_path / "again.mp4", moving_frames(SIZE, 33), SIZE, 33)
    assert again.read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("given", [32, 34])
def test_another_number_of_frames_than_planned_leaves_no_file(
    ffmpeg: Ffmpeg, tmp_path: Path, given: int
) -> None:
    with pytest.raises(MediaError, match="planned were 33"):
        write_clip(ffmpeg, tmp_path / "c.mp4", moving_frames(SIZE, given), SIZE, 33)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_drawing_frames_leaves_no_file(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    def broken():
        yield from moving_frames(SIZE, 3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_clip(ffmpeg, tmp_path / "c.mp4", broken(), SIZE, 33)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="128\\*64"):
        write_clip(ffmpeg, tmp_path / "c.mp4", moving_frames(Size(64, 64), 3), SIZE, 3)


def test_frames_can_be_read_from_a_keyframe_on(ffmpeg: Ffmpeg, clip: Path) -> None:
    assert sum(1 for _ in read_frames(ffmpeg, clip, SIZE, fps=16, frames=33)) == 33
    with pytest.raises(MediaError, match="ends at frame 33"):
        list(read_frames(ffmpeg, clip, SIZE, fps=16, frames=34))


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.95])
def test_a_damaged_file_never_passes(clip: Path, tmp_path: Path, keep: float) -> None:
    data = clip.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(keep if keep >= 1 else len(data) * keep)])
    with pytest.raises(MediaError):
        verify_clip(cut, frames=33, size=SIZE, fps=16, decode=True)


def test_a_wrong_plan_is_named(clip: Path) -> None:
    with pytest.raises(MediaError, match="frames 33, planned were 34"):
        verify_clip(clip, frames=34, size=SIZE, fps=16, decode=False)
    with pytest.raises(MediaError, match=r"size 128\*64, planned were 64\*64"):
        verify_clip(clip, frames=33, size=Size(64, 64), fps=16, decode=False)


def test_the_poster_is_the_named_frame(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = write_clip(ffmpeg, tmp_path / "n.mp4", numbered_frames(SIZE, 20), SIZE, 20)
    write_still(ffmpeg, path, 13, tmp_path / "p.jpg")
    with av.open(str(tmp_path / "p.jpg")) as picture:
        frame = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    assert read_number(frame) == 13


def test_pictures_of_a_video_have_its_colours(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """Red and dark blue: the wrong matrix shows there."""
    frames = [np.full((64, 64, 3), colour, np.uint8) for colour in ((226, 36, 44), (17, 22, 75))]
    path = write_clip(ffmpeg, tmp_path / "v.mp4", iter(frames), Size(width=64, height=64), 2)
    write_still(ffmpeg, path, 0, tmp_path / "p.jpg")
    write_contact_sheet(ffmpeg, path, [0, 1], tmp_path / "c.jpg")
    poster, sheet = decode(tmp_path / "p.jpg")[0], decode(tmp_path / "c.jpg")[0]
    for part, colour in ((poster, 0), (sheet[:, :320], 0), (sheet[:, 320:], 1)):
        middle = part[20:-20, 20:-20].astype(int)
        assert np.abs(middle - frames[colour][0, 0]).max() <= 4


def test_a_contact_sheet_shows_at_most_twelve_frames(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    size = Size(width=64, height=48)
    path = write_clip(ffmpeg, tmp_path / "v.mp4", numbered_frames(size, 33), size, 33)
    write_contact_sheet(ffmpeg, path, list(range(33)), tmp_path / "c.jpg")
    sheet = decode(tmp_path / "c.jpg")[0]
    assert sheet.shape == (3 * 240, 4 * 320, 3)
    cells = [sheet[y : y + 240, x : x + 320] for y in (0, 240, 480) for x in range(0, 1280, 320)]
    numbers = [read_number(cell) for cell in cells]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0


def test_a_missing_ffmpeg_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="REELWRIGHT_FFMPEG=/nowhere is not a program"):
        find_ffmpeg("/nowhere")
    gone = Ffmpeg(str(tmp_path / "ffmpeg"))
    with pytest.raises(SettingsError, match="REELWRIGHT_FFMPEG"):
        gone.run(forced_input(tmp_path / "x.mp4").output(str(tmp_path / "y.mp4")))


def test_ffmpegs_own_words_reach_the_error(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"moov|Invalid data"):
        ffmpeg.run(forced_input(tmp_path / "x.mp4").output(str(tmp_path / "y.mp4")))


def test_odd_file_names_are_only_names(ffmpeg: Ffmpeg, clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "-y 'quoted' %03d http:x.mp4"
    shutil.copy(clip, odd)
    assert len(list(read_frames(ffmpeg, odd, SIZE, fps=16, frames=33))) == 33
    write_still(ffmpeg, odd, 0, tmp_path / "-o %d.jpg")
    assert (tmp_path / "-o %d.jpg").exists()
