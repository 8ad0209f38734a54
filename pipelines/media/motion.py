"""Checks the videos of an animation, in a process of its own.

A decoder that reads an untrusted file may crash, or use any amount of memory and time. So every
frame is decoded once in a child process with limits before the file is stored; the gateway and the
GPU host never read a file that was not checked.
"""

import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

from pipelines import processes
from pipelines.errors import BriefError, MediaError
from pipelines.media.archive import VIDEOS, Motion

MIN_FRAMES, MAX_FRAMES = 5, 3600
"""5 is the shortest segment of the animation backend; 3600 are two minutes at 30 a second."""
MAX_SIDE = 1920
MIN_FPS, MAX_FPS = 1, 120
CODECS = frozenset({"h264", "hevc", "mpeg4", "vp9", "av1"})
MAX_CHECK_SECONDS = 120
"""Time limit of the child for all videos. Four videos of two minutes at 720p take about 40 s of one
core."""
_MEMORY = 2 << 30
"""Address space of the child in bytes. 16 reference frames of 1920*1920 take 90 MB."""


@dataclass(frozen=True)
class Measured:
    """The contents of one video file, of which every frame was decoded."""

    frames: int
    rate: str
    """Frames a second as a fraction, such as `30` or `30000/1001`."""
    width: int
    height: int


@dataclass(frozen=True)
class MotionFacts:
    """What all videos of an animation have in common."""

    frames: int
    fps: Fraction
    width: int
    height: int
    """Of pose, background and mask; the face has a size of its own."""
    replaces: bool
    """Whether there are a background and a mask, which replacing the figure of a film needs."""

    @property
    def seconds(self) -> float:
        """How long the videos last."""
        return float(self.frames / self.fps)


def check_motion(motion: Motion) -> MotionFacts:
    """Decode all videos of `motion` and compare them, in up to MAX_CHECK_SECONDS of one core.

    Raises BriefError if a video cannot be decoded to its end, if it breaks a limit, or if the
    videos differ in length, rate or size.
    """
    found = _measured(motion)
    pose = found[VIDEOS["pose"]]
    for name, video in found.items():
        same_size = name == VIDEOS["face"] or (video.width, video.height) == (
            pose.width,
            pose.height,
        )
        if video.frames != pose.frames or video.rate != pose.rate or not same_size:
            raise BriefError(
                f"{name} has {_words(video)} and {VIDEOS['pose']} {_words(pose)}; the videos of an "
                "archive must be equally long, and of one size but for the face: take those of "
                "one run of the preprocessing"
            )
    return MotionFacts(
        frames=pose.frames,
        fps=Fraction(pose.rate),
        width=pose.width,
        height=pose.height,
        replaces="mask" in motion.videos,
    )


def _words(video: Measured) -> str:
    return f"{video.frames} frames of {video.width}*{video.height} at {video.rate} a second"


def _measured(motion: Motion) -> dict[str, Measured]:
    """The contents of each video, by its name in the archive. Raises BriefError for the first
    invalid one."""
    files = {VIDEOS[role]: path.resolve() for role, path in motion.videos.items()}
    argv = [sys.executable, "-m", __name__, json.dumps({n: str(p) for n, p in files.items()})]
    with tempfile.TemporaryFile() as output:
        # The messages of PyAV and libav on stderr do not help a user.
        child = processes.start_child(argv, stdout=output, stderr=subprocess.DEVNULL)
        try:
            code = child.wait(MAX_CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            processes.stop(child, 0)
        output.seek(0)
        lines = output.read().decode().splitlines()
    if lines and lines[-1].startswith("refused: "):
        raise BriefError(lines[-1].removeprefix("refused: "))
    if code != 0 or len(lines) != len(files):
        # The child writes one line for each file, so it ended in the file after the last line.
        name = list(files)[min(len(lines), len(files) - 1)]
        why = f"takes longer than {MAX_CHECK_SECONDS} s" if code is None else "breaks the decoder"
        raise BriefError(
            f"{name} {why}, or its memory; encode it again as H.264 of at most "
            f"{MAX_SIDE} pixels a side and {MAX_FRAMES} frames"
        )
    return {name: Measured(**json.loads(line)) for name, line in zip(files, lines, strict=True)}


def measure(path: Path, name: str) -> Measured:
    """Decode the MP4 video `path` in constant memory. Messages call it `name`.

    Raises MediaError if it is no MP4 video, cannot be decoded to its end, or breaks a limit.
    """
    import av

    try:
        # MP4 only, without external references: other demuxers open the files of a playlist.
        with av.open(str(path), format="mov", options={"enable_drefs": "0"}) as container:
            if not container.streams.video:
                raise MediaError(f"{name} holds no video; encode it as H.264 in MP4")
            stream = container.streams.video[0]
            rate = stream.average_rate
            _check_stream(name, stream.codec_context.codec.canonical_name, rate)
            stream.thread_type = "NONE"
            size, frames = (stream.codec_context.width, stream.codec_context.height), 0
            _check_frame(name, size, size, 0)  # before the decoder allocates a frame
            for frame in container.decode(stream):
                frames += 1
                _check_frame(name, (frame.width, frame.height), size, frames)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise MediaError(
            f"{name} cannot be read as a video to its end ({error}); encode it again as H.264 in "
            "MP4"
        ) from error
    if frames < MIN_FRAMES:
        raise MediaError(f"{name} has {frames} frames; at least {MIN_FRAMES} are needed")
    return Measured(frames, str(rate), *size)


def _check_stream(name: str, codec: str, rate: Fraction | None) -> None:
    if codec not in CODECS:
        raise MediaError(
            f"{name} is encoded as {codec!r}; {', '.join(sorted(CODECS))} can be read: encode it "
            "again as h264"
        )
    if rate is None or not MIN_FPS <= rate <= MAX_FPS:
        raise MediaError(
            f"{name} has {rate} frames a second; {MIN_FPS} to {MAX_FPS} are allowed: encode it "
            "again at 30"
        )


def _check_frame(name: str, size: tuple[int, int], first: tuple[int, int], number: int) -> None:
    if max(size) > MAX_SIDE or size != first:
        raise MediaError(
            f"{name} has a frame of {size[0]}*{size[1]} pixels, its first one has "
            f"{first[0]}*{first[1]}; all are of one size, and a side may have {MAX_SIDE}: scale "
            "the video"
        )
    if number > MAX_FRAMES:
        raise MediaError(f"{name} has more than {MAX_FRAMES} frames; send a shorter part")


def _main(files: dict[str, str]) -> None:
    """Write a line of JSON for each file. For a file that breaks a rule, write `refused: …` and
    stop."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CHECK_SECONDS, MAX_CHECK_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, path in files.items():
        try:
            _say(json.dumps(asdict(measure(Path(path), name))))
        except MediaError as error:
            _say(f"refused: {' '.join(str(error).split())}")
            return


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
