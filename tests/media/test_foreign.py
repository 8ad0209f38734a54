"""Videos from outside: any rate, shape, rotation and codec in, exact frames out, nothing opened."""

import subprocess
from contextlib import closing
from pathlib import Path
from socket import create_server

import numpy as np
import pytest

from pipelines.backends.base import Frame
from pipelines.errors import MediaError
from pipelines.media.ffmpeg import Ffmpeg, foreign_input
from pipelines.media.foreign import describe_video, read_video, split_sound
from pipelines.schema.sizes import Size
from tests.support.pictures import numbered_frames, read_number, write_clip

SIZE = Size(64, 32)


@pytest.fixture(scope="module")
def numbered(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 numbered frames, 2 s."""
    path = tmp_path_factory.mktemp("foreign") / "numbered.mp4"
    return write_clip(ffmpeg, path, numbered_frames(SIZE, 48), SIZE, 48, fps=24)


def make(ffmpeg: Ffmpeg, path: Path, *arguments: object) -> Path:
    """A file as another program would write it."""
    command = [ffmpeg.executable, "-v", "error", "-y", *map(str, arguments), str(path)]
    subprocess.run(command, check=True)
    return path


def numbers(ffmpeg: Ffmpeg, path: Path, fps: int, start: int, frames: int) -> list[int]:
    return [read_number(frame) for frame in read_video(ffmpeg, path, SIZE, fps, start, frames)]


@pytest.mark.parametrize("fps", [8, 12, 16, 24, 25, 30])
def test_a_video_is_read_at_any_rate_from_any_frame(
    ffmpeg: Ffmpeg, numbered: Path, fps: int
) -> None:
    """Each frame is the one of the source that is seen at its time."""
    found = numbers(ffmpeg, numbered, fps, 0, 2 * fps)
    assert found == [index * 24 // fps for index in range(2 * fps)]
    assert numbers(ffmpeg, numbered, fps, 5, 4) == found[5:9]
    assert describe_video(numbered).frames_at(fps) == 2 * fps


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.webm", ("-c:v", "libvpx-vp9", "-b:v", "400k", "-deadline", "realtime")),
        ("a.mkv", ("-c:v", "libx264", "-bf", "2")),
        ("a.mov", ("-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv444p10le")),
        ("a.avi", ("-c:v", "mpeg4", "-q:v", "3")),
        ("a.ts", ("-c:v", "libx264", "-bf", "2")),
    ],
)
def test_other_containers_and_codecs_give_every_frame(
    ffmpeg: Ffmpeg, numbered: Path, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    path = make(ffmpeg, tmp_path / name, "-i", numbered, *options)
    facts = describe_video(path)
    assert (facts.size, facts.frames_at(24)) == (SIZE, 48)
    assert facts.seconds == pytest.approx(2, abs=0.01)
    assert facts.fps == pytest.approx(24, abs=0.2)
    assert numbers(ffmpeg, path, 24, 0, 48) == list(range(48))


def test_a_varying_frame_rate_becomes_a_steady_one(
    ffmpeg: Ffmpeg, numbered: Path, tmp_path: Path
) -> None:
    """Frames 10 to 19 are missing: frame 9 stands until frame 20 is due."""
    gap = ("-vf", "select='not(between(n,10,19))'", "-fps_mode", "vfr", "-c:v", "libx264")
    path = make(ffmpeg, tmp_path / "vfr.mp4", "-i", numbered, *gap)
    assert describe_video(path).fps == pytest.approx(19, abs=0.1)
    found = numbers(ffmpeg, path, 24, 0, 48)
    assert found == [*range(10), *[9] * 10, *range(20, 48)]


def quarters(ffmpeg: Ffmpeg, path: Path, size: Size) -> list[list[int]]:
    """Mean colours of the four quarters of the first frame, row by row."""
    with closing(read_video(ffmpeg, path, size, 8, 0, 2)) as frames:
        frame: Frame = next(frames)
    assert frame.shape == (size.height, size.width, 3)
    halves = (part for rows in np.array_split(frame, 2) for part in np.array_split(rows, 2, axis=1))
    return [part[4:-4, 4:-4].mean(axis=(0, 1)).round().astype(int).tolist() for part in halves]


RED, GREEN, BLUE, GREY = [230, 20, 20], [20, 230, 20], [20, 20, 230], [128, 128, 128]


def painted(ffmpeg: Ffmpeg, path: Path) -> Path:
    """Red and green above blue and grey, 96*48."""
    frame = np.zeros((48, 96, 3), np.uint8)
    frame[:24, :48], frame[:24, 48:], frame[24:, :48], frame[24:, 48:] = RED, GREEN, BLUE, GREY
    return write_clip(ffmpeg, path, iter([frame] * 8), Size(96, 48), 8, fps=8)


@pytest.mark.parametrize(
    ("degrees", "seen"),
    [
        (0, [RED, GREEN, BLUE, GREY]),
        (90, [GREEN, GREY, RED, BLUE]),
        (180, [GREY, BLUE, GREEN, RED]),
    ],
)
def test_a_rotated_video_is_seen_upright(
    ffmpeg: Ffmpeg, tmp_path: Path, degrees: int, seen: list[list[int]]
) -> None:
    """A phone stores the pictures as the sensor gives them, and a flag how to turn them."""
    source = painted(ffmpeg, tmp_path / "source.mp4")
    turn = ("-display_rotation:v:0", degrees, "-i", source, "-c", "copy")
    path = make(ffmpeg, tmp_path / "turned.mp4", *turn)
    size = Size(48, 96) if degrees == 90 else Size(96, 48)
    assert describe_video(path).size == size
    assert np.abs(np.subtract(quarters(ffmpeg, path, size), seen)).max() <= 6


def test_another_shape_is_cropped_around_the_centre(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """Of stripes 25 + 50 + 25 wide, a square takes the middle one; odd sizes lose nothing."""
    frame = np.full((51, 101, 3), GREY, np.uint8)
    frame[:, :25], frame[:, 76:] = RED, BLUE
    (tmp_path / "raw.rgb").write_bytes(frame.tobytes() * 4)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "101x51", "-r", 8)
    coded = ("-c:v", "libx264", "-pix_fmt", "yuv444p")
    path = make(ffmpeg, tmp_path / "odd.mp4", *raw, "-i", tmp_path / "raw.rgb", *coded)
    assert describe_video(path).size == Size(101, 51)
    square = next(read_video(ffmpeg, path, Size(64, 64), 8, 0, 1))
    assert np.abs(square[:, 2:-2].astype(int) - 128).max() <= 8
    wide = next(read_video(ffmpeg, path, Size(128, 64), 8, 0, 1))
    assert wide[:, :24, 0].min() > 180
    assert wide[:, -24:, 2].min() > 180


def test_pixels_that_are_not_square_are_stretched(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    """Stored as 96*48 with pixels half as wide as high, so seen as 48*48."""
    source = painted(ffmpeg, tmp_path / "source.mp4")
    path = make(ffmpeg, tmp_path / "sar.mkv", "-i", source, "-vf", "setsar=1/2", "-c:v", "libx264")
    assert describe_video(path).size == Size(48, 48)
    seen = quarters(ffmpeg, path, Size(48, 48))
    assert np.abs(np.subtract(seen, [RED, GREEN, BLUE, GREY])).max() <= 8


def test_a_video_that_is_too_short_is_refused_before_a_frame_is_read(
    ffmpeg: Ffmpeg, numbered: Path
) -> None:
    rule = r"gives 32 frames at 16 a second, frames 11 to 33 are needed: send one of 2\.06 s"
    with pytest.raises(MediaError, match=rule):
        read_video(ffmpeg, numbered, SIZE, 16, 10, 23)


def test_a_video_that_is_too_large_or_too_long_is_refused(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    picture = ("-f", "lavfi", "-i", "color=s=4112x16:r=1:d=1", "-c:v", "mpeg4")
    wide = make(ffmpeg, tmp_path / "wide.avi", *picture)
    with pytest.raises(MediaError, match="4112x16 pixels; a side may have 4096: make it smaller"):
        describe_video(wide)
    hours = ("-f", "lavfi", "-i", "color=s=16x16:r=0.1:d=700", "-c:v", "mpeg4")
    long = make(ffmpeg, tmp_path / "long.mkv", *hours)
    with pytest.raises(MediaError, match="lasts longer than 600 s"):
        describe_video(long)


def test_what_is_no_video_is_refused(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=d=1")
    cover = ("-f", "lavfi", "-i", "color=s=64x64:d=1", "-map", "0", "-map", "1", "-frames:v", 1)
    files = {
        "sound.m4a": make(ffmpeg, tmp_path / "sound.m4a", *tone),
        "cover.m4a": make(
            ffmpeg, tmp_path / "cover.m4a", *tone, *cover, "-c:v", "png",
            "-disposition:v:0", "attached_pic", "-f", "mp4",
        ),
        "text.mp4": tmp_path / "text.mp4",
        "empty.mp4": tmp_path / "empty.mp4",
    }  # fmt: skip
    files["text.mp4"].write_text("This is a text." * 100, encoding="ascii")
    files["empty.mp4"].write_bytes(b"")
    for name, path in files.items():
        with pytest.raises(MediaError, match=rf"{name} (holds no video|is no video that can be)"):
            describe_video(path)


def test_a_truncated_video_is_refused(ffmpeg: Ffmpeg, numbered: Path, tmp_path: Path) -> None:
    path = make(ffmpeg, tmp_path / "cut.mkv", "-i", numbered, "-c", "copy")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"cut\.mkv"):
        list(read_video(ffmpeg, path, SIZE, 24, 0, 48))


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{address}'\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
    "<Period><AdaptationSet><Representation id='1'><BaseURL>{address}</BaseURL>"
    "</Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("target", ["file", "http"])
def test_a_playlist_opens_no_other_file_and_no_address(
    ffmpeg: Ffmpeg, numbered: Path, tmp_path: Path, kind: str, target: str
) -> None:
    """The file beside it is a whole video: were it opened, reading would succeed."""
    (tmp_path / "secret.mp4").write_bytes(numbered.read_bytes())
    with create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        port = server.getsockname()[1]
        web = f"http://127.0.0.1:{port}/secret.mp4"
        address = web if target == "http" else "secret.mp4"
        path = tmp_path / "playlist.mp4"
        path.write_text(PLAYLISTS[kind].format(address=address, port=port), encoding="ascii")
        for attempt in (
            lambda: describe_video(path),
            lambda: read_video(ffmpeg, path, SIZE, 24, 0, 4),
            lambda: split_sound(ffmpeg, path, tmp_path / "video.mp4"),
        ):
            with pytest.raises(MediaError, match=r"playlist\.mp4 is no video that can be read"):
                attempt()
        with pytest.raises(BlockingIOError):  # nobody connected
            server.accept()


def test_ffmpeg_itself_refuses_a_list_of_files(
    ffmpeg: Ffmpeg, numbered: Path, tmp_path: Path
) -> None:
    """Not only the look before it: the file could be another one by then."""
    (tmp_path / "secret.mp4").write_bytes(numbered.read_bytes())
    (tmp_path / "list.mp4").write_text(PLAYLISTS["concat"].format(address="secret.mp4"))
    node = foreign_input(tmp_path / "list.mp4").output(str(tmp_path / "copy.mp4"), c="copy")
    with pytest.raises(MediaError, match="ffmpeg failed"):
        ffmpeg.run(node)
    assert not (tmp_path / "copy.mp4").exists()
