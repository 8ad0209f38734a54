"""Encodes and decodes H.264, one raw RGB frame at a time, in constant memory.

All clips of one frame rate are encoded in the same way (no B-frames, one closed group of pictures
in each clip, one time base), so that they can be joined by copying packets. The thread count is
fixed, because x264's output depends on it: the same frames give the same bytes on every machine.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ffmpeg
import numpy as np

from pipelines.backends.base import Frame
from pipelines.errors import MediaError
from pipelines.media.ffmpeg import Ffmpeg, forced_input
from pipelines.media.probe import verify_clip
from pipelines.schema.clip import Clip
from pipelines.schema.sizes import Size

MAX_FPS = 60
_TICKS = 1000
"""Ticks of the MP4 clock for each frame. A multiple of the frame rate is exact at every rate; a
fixed clock drifts at some rates. ffmpeg reads times in microseconds; at 60 frames a second a tick
lasts 16 of them, so that no time is rounded to a wrong tick."""
_THREADS = 4
_CELLS, _COLUMNS, _CELL = 12, 4, 320
"""Contact sheet: most pictures, pictures in a row, width of a picture in pixels."""
_TO_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,"
    "format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
_FROM_BT709 = (
    "scale=in_color_matrix=bt709:in_range=tv:out_range=pc"
    ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
)
_TO_JPEG = "scale=out_range=pc:out_color_matrix=bt601,format=yuvj444p"
"""JPEG has one colour matrix, but ffmpeg would keep the matrix of the video."""


def mp4_options(fps: int) -> dict[str, object]:
    """Options of ffmpeg for an MP4 of `fps` frames a second, whose bytes depend on its content
    only.

    Raises MediaError if the rate is not a whole number from 1 to MAX_FPS.
    """
    if not 1 <= fps <= MAX_FPS:
        raise MediaError(
            f"{fps} frames a second cannot be written; choose a rate from 1 to {MAX_FPS}"
        )
    return {
        "f": "mp4",
        "video_track_timescale": fps * _TICKS,
        "movie_timescale": fps * _TICKS,
        "movflags": "+faststart",
        "fflags": "+bitexact",
        "map_metadata": -1,
    }


@contextmanager
def clip_writer(
    tool: Ffmpeg,
    path: Path,
    size: Size,
    frames: int,
    *,
    fps: int,
    crf: int,
    speed: str,
    keyframe: int = 0,
) -> Iterator[Callable[[Frame], None]]:
    """Write exactly `frames` frames to `path`, which appears only when it is complete and verified.

    `crf` is x264's constant rate factor, `speed` the name of its preset. Frame number `keyframe`
    becomes a keyframe, so that the clip can be cut there by copying. Raises MediaError if the rate
    is not from 1 to MAX_FPS, a frame has another size, another number of frames was written or the
    file is not as planned; and as `Ffmpeg.run`.
    """
    part = path.with_suffix(".part")
    source = ffmpeg.input(
        "pipe:", f="rawvideo", pix_fmt="rgb24", s=f"{size.width}x{size.height}", r=fps
    )
    options = _x264(frames, fps, crf, speed)
    if 0 < keyframe < frames:
        # The keyframe is given by number: ffmpeg rounds times to microseconds, and a time that is
        # rounded up would make the next frame the keyframe.
        options["force_key_frames"] = f"expr:eq(n,{keyframe})"
    node = source.output(str(part.resolve()), vf=_TO_BT709, **options, **mp4_options(fps))
    written = 0
    try:
        with tool.feeding(node) as pipe:

            def write(frame: Frame) -> None:
                nonlocal written
                if frame.shape != (size.height, size.width, 3) or frame.dtype != np.uint8:
                    raise MediaError(f"a frame of {frame.shape} {frame.dtype} for a {size} clip")
                pipe.write(np.ascontiguousarray(frame).data)
                written += 1

            yield write
        if written != frames:
            raise MediaError(f"{written} frames were made for {path.name}, planned were {frames}")
        verify_clip(part, frames=frames, size=size, fps=fps, decode=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _x264(frames: int, fps: int, crf: int, speed: str) -> dict[str, object]:
    # With a keyframe distance of 1, x264 writes an intra stream with other parameter sets. A clip
    # of one frame, such as the last of 16 s in chunks of 17 frames, could then not be joined.
    distance = max(frames, 2)
    return {
        "c:v": "libx264",
        "preset": speed,
        "crf": crf,
        "bf": 0,
        "g": distance,
        "keyint_min": distance,
        "sc_threshold": 0,
        "flags": "+cgop+bitexact",
        "threads": _THREADS,
        "r": fps,
    }


def read_frames(
    tool: Ffmpeg, path: Path, size: Size, *, fps: int, start: int = 0, frames: int
) -> Generator[Frame, None, None]:
    """Yield `frames` RGB frames of `path`, from frame `start` on, which must be a keyframe.

    A caller that may stop before the end must close the generator (`contextlib.closing`): an
    exception that is kept with its traceback otherwise keeps ffmpeg running. Raises MediaError if
    the file ends early, and as `Ffmpeg.run`.
    """
    source = forced_input(path, ss=f"{start / fps:.6f}") if start else forced_input(path)
    node = source["v:0"].output(
        "pipe:",
        f="rawvideo",
        vf=_FROM_BT709,
        fps_mode="passthrough",
        **{"frames:v": frames},
    )
    length = size.width * size.height * 3
    with tool.reading(node) as pipe:
        for index in range(frames):
            data = pipe.read(length)
            if len(data) != length:
                raise MediaError(f"{path.name} ends at frame {start + index}")
            yield np.frombuffer(data, np.uint8).reshape(size.height, size.width, 3)


def write_still(tool: Ffmpeg, video: Path, frame: int, path: Path) -> None:
    """Write frame number `frame` of `video` to `path`, as a JPEG of high quality.

    Raises MediaError if the video has no such frame, and as `Ffmpeg.run`.
    """
    node = forced_input(video).output(
        str(path.resolve()),
        f="image2",
        vf=f"select=eq(n\\,{frame}),{_FROM_BT709},{_TO_JPEG}",
        update=1,
        **{"frames:v": 1, "q:v": 2},
    )
    tool.run(node)
    if not path.exists() or path.stat().st_size == 0:
        raise MediaError(f"{video.name} has no frame {frame} to take as a poster")


def write_contact_sheet(tool: Ffmpeg, video: Path, frames: Sequence[int], path: Path) -> None:
    """Write these frames of `video`, at most _CELLS, to `path` as one JPEG with a grid of pictures.

    Raises MediaError if the sheet is empty, and as `Ffmpeg.run`.
    """
    some = sorted({frames[i * len(frames) // _CELLS] for i in range(_CELLS)})
    chosen = "+".join(f"eq(n\\,{frame})" for frame in some)
    columns = min(_COLUMNS, len(some))
    node = forced_input(video).output(
        str(path.resolve()),
        f="image2",
        vf=f"select={chosen},{_FROM_BT709},scale={_CELL}:-2,"
        f"tile={columns}x{-(-len(some) // columns)},{_TO_JPEG}",
        fps_mode="passthrough",
        update=1,
        **{"frames:v": 1, "q:v": 3},
    )
    tool.run(node)
    if not path.exists() or path.stat().st_size == 0:
        raise MediaError(f"no contact sheet could be made of {video.name}")


def clip_of(path: Path, *, frames: int, size: Size, fps: int, sound: bool = False) -> Clip:
    """Verify a clip that was written elsewhere, without decoding its pictures, and describe it.

    Raises MediaError if it is not as planned.
    """
    return verify_clip(path, frames=frames, size=size, fps=fps, decode=False, sound=sound)
