"""Raw RGB frames to and from H.264, one frame at a time: memory stays constant.

All clips are encoded alike (no B-frames, one closed group of pictures a clip, time base
1/16000), so that they can be joined by copying packets. The thread count is fixed because
x264's output depends on it: the same frames give the same bytes on every machine.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ffmpeg
import numpy as np
import numpy.typing as npt

from pipelines.errors import MediaError
from pipelines.media.ffmpeg import Ffmpeg, forced_input
from pipelines.media.probe import verify_clip
from pipelines.schema.manifest import Clip
from pipelines.schema.presets import FPS, Size

Frame = npt.NDArray[np.uint8]
"""Height x width x 3, RGB, 0 to 255."""

TIMESCALE = 16_000
_THREADS = 4
_CELLS, _COLUMNS, _CELL = 12, 4, 320
"""Of a contact sheet: pictures at most, pictures side by side, width of one in pixels."""
_TO_BT709 = (
    "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int,"
    "format=yuv420p,setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
)
_FROM_BT709 = (
    "scale=in_color_matrix=bt709:in_range=tv:out_range=pc"
    ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
)
_TO_JPEG = "scale=out_range=pc:out_color_matrix=bt601,format=yuvj444p"
"""JPEG knows one matrix, and ffmpeg otherwise keeps the one of the video."""
MUX = {
    "f": "mp4",
    "video_track_timescale": TIMESCALE,
    "movie_timescale": TIMESCALE,
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
    crf: int,
    speed: str,
    keyframe: int = 0,
) -> Iterator[Callable[[Frame], None]]:
    """Write exactly `frames` frames to `path`; it appears only complete and verified.

    Frame number `keyframe` becomes one, so that the clip can be cut there by copying.
    Raises MediaError if another number of frames was written or the file is not right.
    """
    part = path.with_suffix(".part")
    source = ffmpeg.input(
        "pipe:", f="rawvideo", pix_fmt="rgb24", s=f"{size.width}x{size.height}", r=FPS
    )
    options = _x264(frames, crf, speed)
    if 0 < keyframe < frames:
        options["force_key_frames"] = f"{keyframe / FPS:.6f}"
    node = source.output(str(part.resolve()), vf=_TO_BT709, **options, **MUX)
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
        verify_clip(part, frames=frames, size=size, fps=FPS, decode=True)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _x264(frames: int, crf: int, speed: str) -> dict[str, object]:
    # x264 calls a stream whose key frames are 1 apart an intra one, with other parameter sets: a
    # clip of one frame, such as the last of 16 s in chunks of 17 frames, could not be joined.
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
        "r": FPS,
    }


def read_frames(
    tool: Ffmpeg, path: Path, size: Size, *, start: int = 0, frames: int
) -> Generator[Frame, None, None]:
    """Yield `frames` RGB frames of `path` from frame `start` on, which must be a keyframe's.

    Whoever may stop before the end closes it: an exception that somebody keeps would else keep
    ffmpeg running. Raises MediaError if the file ends early.
    """
    source = forced_input(path, ss=f"{start / FPS:.6f}") if start else forced_input(path)
    node = source.output(
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
    """Frame number `frame` of `video` as a JPEG of high quality."""
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
    """Those frames of `video`, at most _CELLS of them, side by side as one JPEG."""
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


def clip_of(path: Path, *, frames: int, size: Size) -> Clip:
    """Verify a clip that somebody else wrote. Raises MediaError if it is not as planned."""
    return verify_clip(path, frames=frames, size=size, fps=FPS, decode=False)
