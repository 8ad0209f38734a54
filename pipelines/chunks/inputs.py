"""The pixels of a chunk's inputs: uploads, and the previous chunk."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, overload

from pipelines.backends.base import Frame
from pipelines.errors import BriefError
from pipelines.media.archive import Motion, unpack_motion
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.foreign import describe_video, read_video
from pipelines.media.still import fit_picture
from pipelines.quality.takes import FromChunk, FromPicture, Start
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.request import ClipRequest, Continuation, ReferenceVideo, VideoRole
from pipelines.schema.sizes import Size

Fetch = Callable[[ObjectKey], bytes | None]
"""Returns an object's bytes, or None if it is not in the bucket. Raises StoreError if the store
fails."""


class PreviousChunk(Protocol):
    """The chunk that another one goes on from. Its clip may still be in the making."""

    def last_frames(self, count: int) -> Sequence[Frame]:
        """Its last `count` raw frames. Raises MediaError if their file is damaged."""

    def clip_frames(self, request: ClipRequest) -> list[Frame]:
        """All frames of its finished clip, in the size and rate of `request`.

        Waits until the clip is finished. Raises MediaError if it cannot be read, and what its
        making raised.
        """


class LateFrames(Sequence[Frame]):
    """Frames that are read when the first of them is needed.

    A continued chunk is compared with the clip before it only after it was made. So the device does
    not wait until that clip is encoded.
    """

    def __init__(self, read: Callable[[], list[Frame]]) -> None:
        self._read = read

    @cached_property
    def _frames(self) -> list[Frame]:
        return self._read()

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        return self._frames[index]


@dataclass(frozen=True)
class ChunkInputs:
    """The `InputMedia` of one chunk. Every method that reads an upload raises what `fetch`
    raises."""

    tool: Ffmpeg
    fetch: Fetch
    folder: Path
    """Scratch, where archives are unpacked."""
    motions: dict[Digest, Motion]
    """Archives that were unpacked in this run."""
    before: PreviousChunk | None = None

    def picture(self, digest: Digest, size: Size, *, whole: bool = False) -> Frame:
        """An uploaded picture at `size`. Raises BriefError if it is gone."""
        return fit_picture(self._upload(ObjectKey.upload(digest)), size, whole=whole)

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        """The last raw frames of the previous chunk. Raises MediaError if its PNG is damaged."""
        assert self.before is not None
        return self.before.last_frames(given.frames)

    def video(self, given: ReferenceVideo, size: Size, fps: int, frames: int) -> Sequence[Frame]:
        """A part of a video of an uploaded archive; beyond its end, the last frame is repeated.

        Raises BriefError if the archive is gone or invalid, and MediaError if the video cannot be
        read.
        """
        path = self.motion(given.archive).videos[given.role]
        available = describe_video(path).frames_at(fps) - given.start
        count = min(frames, max(available, 1))
        with closing(read_video(self.tool, path, size, fps, given.start, count)) as found:
            read = list(found)
        return read + [read[-1]] * (frames - count)

    def motion_frames(self, digest: Digest, roles: Iterable[VideoRole], fps: int) -> int:
        """Length of an uploaded motion in frames at `fps`.

        Raises BriefError if the archive is gone, or lacks the video of one of the `roles`.
        """
        videos = self.motion(digest).videos
        lacking = [role for role in roles if role not in videos]
        if lacking:
            raise BriefError(
                f"the motion has no video of {' and '.join(lacking)}, only of "
                f"{', '.join(videos)}: upload an archive with it, or choose a preset that needs "
                "fewer videos"
            )
        return min(describe_video(path).frames_at(fps) for path in videos.values())

    def start(self, request: ClipRequest) -> Start:
        """What the chunk begins with: the previous chunk, a picture, or nothing.

        Raises BriefError if the picture is gone, and MediaError if the previous chunk is damaged.
        The frames of its clip are read later: see `LateFrames`.
        """
        if request.continuation and self.before:
            film = LateFrames(partial(self.before.clip_frames, request))
            return FromChunk(film=film, overlap=self.overlap(request.continuation))
        if request.first_frame:
            return FromPicture(self.picture(request.first_frame.picture, request.size))
        return None

    def motion(self, digest: Digest) -> Motion:
        """The videos of an uploaded archive, unpacked once in a run. Raises BriefError."""
        if digest not in self.motions:
            self.motions[digest] = self._unpacked(digest)
        return self.motions[digest]

    def _unpacked(self, digest: Digest) -> Motion:
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".zip") as packed:
            packed.write(self._upload(ObjectKey.upload_archive(digest)))
            packed.flush()
            folder = self.folder / f"motion_{digest[:16]}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            return unpack_motion(Path(packed.name), folder)

    def _upload(self, key: ObjectKey) -> bytes:
        data = self.fetch(key)
        if data is None:
            raise BriefError(f"{key} is not in the bucket any more; upload it again")
        return data
