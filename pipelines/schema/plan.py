"""The plan: which chunks make the video, each with a digest over what decides its pixels."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.presets import FPS, Size


def digest_of(value: Any) -> Digest:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces, ASCII)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Join = Literal["cut", "continue", "crossfade"]
"""How a chunk meets the one before: another picture at once, the same picture going on, or one
picture dissolving into the other."""


class Conditioning(_Frozen):
    """What a continued chunk goes on from."""

    method: Literal["first-frame", "vace"]
    """`first-frame`: the last frame is the first of the new chunk, with a timestep of its own
    (Wan 2.2 TI2V, our demo model). `vace`: the last frames are given as known video."""
    chunk: Digest
    """The chunk before, with all that decides its pixels in turn; or an uploaded picture."""
    frames: int
    """Last raw frames of that chunk that are given. They come out again and are dropped; a picture
    is 0, because it stays as the first frame."""


class ChunkSpec(_Frozen):
    """Everything that decides the pixels of one Wan call.

    Versions of torch and diffusers are left out on purpose: they move pixels by rounding
    only, and an upgrade must not throw away hours of finished film. The manifest names
    them. `recipe` is raised by hand when our own code changes the pixels.
    """

    recipe: str = "wan/2"
    backend: str = "wan"
    revision: Digest
    dtype: str
    prompt: str
    negative: str
    size: Size
    frames: int
    steps: int
    guidance: float
    flow_shift: float
    seed: int
    conditioning: Conditioning | None = None

    @property
    def new_frames(self) -> int:
        """Frames of the stored clip: without those that repeat the chunk before."""
        return self.frames - (self.conditioning.frames if self.conditioning else 0)

    @property
    def digest(self) -> Digest:
        return digest_of(self.model_dump(mode="json"))

    @property
    def key(self) -> ObjectKey:
        return ObjectKey.chunk(self.digest)


class PlannedChunk(_Frozen):
    """A chunk's place in the video. Only the last chunk's clip may be used in part."""

    number: int
    shot: int
    join: Join
    """How it meets the chunk before; the first chunk of a video has `cut`."""
    blend: int
    """Frames that lie over the last ones of the chunk before; 0 but for a crossfade."""
    keep: int
    """Frames by which the chunk makes the video longer."""
    spec: ChunkSpec


class Span(_Frozen):
    """A run of the film's frames, beginning at a keyframe."""

    start: int
    frames: int


class UpscaleSpec(_Frozen):
    """Everything that decides the pixels of the upscaling, beside its source."""

    recipe: str = "real-esrgan/1"
    factor: int
    model: str
    revision: Digest
    dtype: str


class Plan(_Frozen):
    """The whole video before a frame of it exists."""

    recipe: str = "joins/1"
    chunks: tuple[PlannedChunk, ...]
    upscale: UpscaleSpec | None
    stands_in_for: str = ""
    """Model that a client asked for, if the demo set took its place: a video of its own, so that
    its manifest can say so."""

    @property
    def frames(self) -> int:
        return sum(chunk.keep for chunk in self.chunks)

    @property
    def fps(self) -> int:
        return FPS

    @property
    def size(self) -> Size:
        """Size before upscaling."""
        return self.chunks[0].spec.size

    @property
    def final_size(self) -> Size:
        return self.size.scaled(self.upscale.factor if self.upscale else 1)

    @property
    def content_id(self) -> Digest:
        """What the finished film is: its chunks, how they are joined, how it is enlarged."""
        film = {
            "recipe": self.recipe,
            "chunks": [[c.spec.digest, c.blend, c.keep] for c in self.chunks],
            "upscale": self.upscale.model_dump(mode="json") if self.upscale else None,
        }
        return digest_of(film | ({"for": self.stands_in_for} if self.stands_in_for else {}))

    def span_of(self, chunk: PlannedChunk) -> Span:
        """The film's frames from where `chunk` begins to show, to where the next one does."""
        following = self.chunks[chunk.number : chunk.number + 1]
        ahead = following[0].blend if following else 0
        start = sum(earlier.keep for earlier in self.chunks[: chunk.number - 1]) - chunk.blend
        return Span(start=start, frames=chunk.blend + chunk.keep - ahead)

    def segment_digest(self, chunk: PlannedChunk) -> Digest:
        """Identity of the upscaled part of the film that `span_of` gives for `chunk`."""
        if self.upscale is None:
            raise ValueError("a plan without upscaling has no segments")
        source: dict[str, Any] = {"chunk": chunk.spec.digest, "frames": self.span_of(chunk).frames}
        if chunk.blend:
            before = self.chunks[chunk.number - 2]
            source |= {"over": before.spec.digest, "blend": chunk.blend}
        return digest_of({"source": source, "upscale": self.upscale.model_dump(mode="json")})


class Estimate(_Frozen):
    """What the run will cost, said before it starts."""

    seconds: float
    peak_memory_bytes: int
    disk_bytes: int
    cost: float = 0.0
    """Of the GPU's time, in the operator's currency; 0 if its price is not set."""
    basis: str
    """Where the figures come from: measured here before, or which published anchor."""
