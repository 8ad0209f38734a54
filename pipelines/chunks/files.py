"""The files of one chunk on this machine, and their keys in the bucket."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from pipelines.backends.base import Frame, Sound
from pipelines.documents.manifest import TakeRecord
from pipelines.errors import MediaError
from pipelines.media.codec import clip_of, clip_writer, read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.sound import read_sound, samples_of, write_sound
from pipelines.media.still import stack_png, unstack_png
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import PlannedChunk
from pipelines.schema.presets import fade_of
from pipelines.schema.request import ClipRequest
from pipelines.stitching.pieces import CHUNK_CRF, CHUNK_SPEED


@dataclass(frozen=True)
class ChunkFiles:
    """The clip of a chunk, and beside it its last raw frames, its takes and, if it has one, its
    sound."""

    clip: Path

    @property
    def overlap(self) -> Path:
        """PNG of the last raw frames, one below the other."""
        return self.clip.with_suffix(".png")

    @property
    def takes(self) -> Path:
        """JSON with the record of all takes."""
        return self.clip.with_suffix(".json")

    @property
    def sound(self) -> Path:
        """FLAC, exactly as long as the clip."""
        return self.clip.with_suffix(".flac")

    def beside(self, digest: Digest, *, sound: bool) -> dict[ObjectKey, Path]:
        """The files that are stored beside the clip. The clip itself is stored last."""
        files = {ObjectKey.overlap(digest): self.overlap, ObjectKey.takes(digest): self.takes}
        return files | ({ObjectKey.sound(digest): self.sound} if sound else {})

    def write(
        self,
        tool: Ffmpeg,
        chunk: PlannedChunk,
        frames: Sequence[Frame],
        sound: Sound | None,
        takes: TakeRecord,
        overlap: int,
        go_on: Callable[[], None],
    ) -> None:
        """Write all files. The clip appears only when it is complete and verified.

        `overlap` is the number of last raw frames to keep, 1 or more. `go_on` is called
        before each frame; what it raises ends the work. Raises MediaError as `write_sound` and
        `clip_writer`.
        """
        request = chunk.request
        self.overlap.write_bytes(stack_png(frames[-overlap:]))
        self.takes.write_text(takes.model_dump_json())
        if sound is not None:
            write_sound(self.sound, sound, Fraction(request.new_frames, request.fps))
        with clip_writer(
            tool,
            self.clip,
            request.size,
            request.new_frames,
            fps=request.fps,
            crf=CHUNK_CRF,
            speed=CHUNK_SPEED,
            keyframe=fade_of(request.frames, request.fps),
        ) as write:
            for frame in frames:
                go_on()
                write(frame)

    def check(self, request: ClipRequest, *, sound: bool) -> TakeRecord:
        """Verify a chunk that came from the bucket, and return the record of its takes.

        Raises MediaError if a file does not hold what it must.
        """
        clip_of(self.clip, frames=request.new_frames, size=request.size, fps=request.fps)
        if sound:
            heard = read_sound(self.sound)
            wanted = samples_of(request.new_frames, request.fps, heard.rate)
            if len(heard.samples) != wanted:
                raise MediaError(
                    f"{self.sound.name} has {len(heard.samples)} samples instead of {wanted}"
                )
        try:
            return TakeRecord.model_validate_json(self.takes.read_bytes())
        except ValidationError as error:
            raise MediaError(f"{self.takes.name} is no record of takes: {error}") from error

    def frames(self, tool: Ffmpeg, request: ClipRequest, count: int) -> list[Frame]:
        """All `count` frames of the clip, in the size and rate of `request`. Raises as
        `read_frames`."""
        return list(read_frames(tool, self.clip, request.size, fps=request.fps, frames=count))

    def last_frames(self, count: int) -> list[Frame]:
        """The last `count` raw frames. Raises MediaError if the PNG is damaged or holds another
        number."""
        return unstack_png(self.overlap.read_bytes(), count)
