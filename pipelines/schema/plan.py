"""The plan: which chunks make the video, each with a digest over what decides its pixels."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.presets import FPS, Size


def digest_of(value: Any) -> Digest:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces, ASCII)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChunkSpec(_Frozen):
    """Everything that decides the pixels of one Wan call.

    Versions of torch and diffusers are left out on purpose: they move pixels by rounding
    only, and an upgrade must not throw away hours of finished film. The manifest names
    them. `recipe` is raised by hand when our own code changes the pixels.
    """

    recipe: str = "wan-t2v/1"
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

    @property
    def digest(self) -> Digest:
        return digest_of(self.model_dump(mode="json"))

    @property
    def key(self) -> ObjectKey:
        return ObjectKey.chunk(self.digest)


class PlannedChunk(_Frozen):
    """A chunk's place in the video. Only the last chunk keeps fewer frames than it has."""

    number: int
    shot: int
    keep: int
    """Frames of the chunk that the video uses."""
    spec: ChunkSpec


class UpscaleSpec(_Frozen):
    """Everything that decides the pixels of the upscaling, beside its source."""

    recipe: str = "real-esrgan/1"
    factor: int
    model: str
    revision: Digest
    dtype: str


class Plan(_Frozen):
    """The whole video before a frame of it exists."""

    recipe: str = "cut/1"
    chunks: tuple[PlannedChunk, ...]
    upscale: UpscaleSpec | None

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
        return digest_of(
            {
                "recipe": self.recipe,
                "chunks": [[chunk.spec.digest, chunk.keep] for chunk in self.chunks],
                "upscale": self.upscale.model_dump(mode="json") if self.upscale else None,
            }
        )

    def segment_digest(self, chunk: PlannedChunk) -> Digest:
        """Identity of the upscaled part of the film that comes from `chunk`."""
        if self.upscale is None:
            raise ValueError("a plan without upscaling has no segments")
        source = {"chunk": chunk.spec.digest, "keep": chunk.keep}
        return digest_of({"source": source, "upscale": self.upscale.model_dump(mode="json")})


class Estimate(_Frozen):
    """What the run will cost, said before it starts."""

    seconds: float
    peak_memory_bytes: int
    disk_bytes: int
    basis: str
    """Where the figures come from: measured here before, or which published anchor."""
