"""The plan: the chunks of a video, each with a digest of everything that decides its pixels."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pipelines.schema.durations import range_words, time_words
from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size
from pipelines.schema.stages import Stage


def digest_of(value: Any) -> Digest:
    """SHA-256 of the canonical JSON of `value` (sorted keys, no spaces, ASCII)."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Digest(hashlib.sha256(canonical.encode()).hexdigest())


Transition = Literal["cut", "continue", "crossfade"]
"""How a chunk follows the previous one. `cut`: another picture at once. `continue`: the same
picture goes on. `crossfade`: one picture is blended into the other."""


class ChunkSpec(Frozen):
    """Everything that decides the pixels of one call of a backend.

    Versions of torch and diffusers are left out on purpose: they change pixels by rounding only,
    and an upgrade must not discard hours of finished work. The manifest names them. The recipe in
    `identity` is raised by hand when our own code changes the pixels.
    """

    backend: str
    identity: Mapping[str, str]
    """Revision of every component that decides pixels, dtype and recipe."""
    request: ClipRequest

    @property
    def digest(self) -> Digest:
        """The identity of the chunk."""
        return digest_of(self.model_dump(mode="json"))

    def with_seed(self, seed: int) -> "ChunkSpec":
        """A copy with another seed."""
        return self.model_copy(update={"request": self.request.model_copy(update={"seed": seed})})


class PlannedChunk(Frozen):
    """A chunk's place in the video. Only the last chunk's clip may be used in part."""

    number: int
    shot: int
    transition: Transition
    """How it follows the previous chunk; the first chunk of a video has `cut`."""
    blend: int
    """Frames that overlap the last ones of the previous chunk; 0 except for a crossfade."""
    frame_count: int
    """Frames by which the chunk makes the video longer."""
    digest: Digest
    """Digest of `spec`. It is stored, because manifests of version 3 computed it in another way."""
    spec: ChunkSpec

    @property
    def key(self) -> ObjectKey:
        """The key of its clip in the bucket."""
        return ObjectKey.chunk(self.digest)

    @property
    def request(self) -> ClipRequest:
        """The request to its backend."""
        return self.spec.request


class Span(Frozen):
    """Consecutive frames of the film, from a keyframe on."""

    start: int
    frames: int


class UpscaleSpec(Frozen):
    """Everything that decides the pixels of the upscaling, besides its source."""

    recipe: str = "real-esrgan/1"
    factor: int
    model: str
    revision: Digest
    dtype: str


Kind = Literal["video", "image"]
"""What is published: an MP4, or a picture as PNG and WebP."""
FILM, PICTURE = "transitions/2", "picture/1"
"""Recipes of a plan: its chunks are joined to a video, or its single frame is published as a
picture. Versions up to 0.5.0 published a still as a video of one frame, with the recipe of all
videos; its plan still says so."""


class Plan(Frozen):
    """The whole video, before a frame of it is made."""

    recipe: str = FILM
    chunks: tuple[PlannedChunk, ...]
    upscale: UpscaleSpec | None
    requested_model: str = ""
    """Model that a client asked for, if another one replaced it. Such a video has its own content
    id, so that its manifest can name that model."""

    @property
    def kind(self) -> Kind:
        """What is published of it."""
        return "image" if self.recipe == PICTURE else "video"

    @property
    def frames(self) -> int:
        """Frames of the finished video."""
        return sum(chunk.frame_count for chunk in self.chunks)

    @property
    def fps(self) -> int:
        """Frames a second; the same for all chunks."""
        return self.chunks[0].request.fps

    @property
    def seconds(self) -> float:
        """Length of the finished video in seconds."""
        return self.frames / self.fps

    @property
    def backend(self) -> str:
        """Name of the backend that makes all chunks."""
        return self.chunks[0].spec.backend

    @property
    def size(self) -> Size:
        """Size before upscaling."""
        return self.chunks[0].request.size

    @property
    def final_size(self) -> Size:
        """Size of the finished video."""
        return self.size.scaled(self.upscale.factor if self.upscale else 1)

    @property
    def content_id(self) -> Digest:
        """The identity of the finished film: its chunks, how they are joined, and how it is
        upscaled."""
        film = {
            "recipe": self.recipe,
            "chunks": [[c.digest, c.blend, c.frame_count] for c in self.chunks],
            "upscale": self.upscale.model_dump(mode="json") if self.upscale else None,
        }
        return digest_of(film | ({"for": self.requested_model} if self.requested_model else {}))

    def span_of(self, chunk: PlannedChunk) -> Span:
        """The film's frames from the first one that shows `chunk`, up to the first one of the next
        chunk."""
        following = self.chunks[chunk.number : chunk.number + 1]
        ahead = following[0].blend if following else 0
        earlier = self.chunks[: chunk.number - 1]
        start = sum(item.frame_count for item in earlier) - chunk.blend
        return Span(start=start, frames=chunk.blend + chunk.frame_count - ahead)

    def seconds_of_shot(self, shot: int) -> float:
        """Seconds for which a shot is seen, rounded to two places."""
        frames = sum(chunk.frame_count for chunk in self.chunks if chunk.shot == shot)
        return round(frames / self.fps, 2)

    def segment_digest(self, chunk: PlannedChunk) -> Digest:
        """Identity of the upscaled part of the film that `span_of` gives for `chunk`.

        Raises ValueError if the plan has no upscaling.
        """
        if self.upscale is None:
            raise ValueError("a plan without upscaling has no segments")
        source: dict[str, Any] = {"chunk": chunk.digest, "frames": self.span_of(chunk).frames}
        if chunk.blend:
            before = self.chunks[chunk.number - 2]
            source |= {"over": before.digest, "blend": chunk.blend}
        return digest_of({"source": source, "upscale": self.upscale.model_dump(mode="json")})


class StageEstimate(Frozen):
    """The expected cost of one stage of a run."""

    stage: Stage
    seconds: float
    """Of `encode`, with the loading of the models."""
    memory_bytes: int
    """Most that is on the device at once, as it is planned for this host: models of earlier stages
    that stay there, and on a CPU the whole process."""
    disk_bytes: int
    """Bytes that it adds on this machine, the object store's included."""
    parts: Mapping[str, int] = {}
    """`memory_bytes` of the parts of the stage that differ, such as `denoise` and `decode`."""

    @property
    def memory_words(self) -> str:
        """The memory in GB, such as `encode 13.0` or `denoise 6.1, decode 11.7`."""
        parts = self.parts or {str(self.stage): self.memory_bytes}
        return ", ".join(f"{name} {size / 1e9:.1f}" for name, size in parts.items())


class Estimate(Frozen):
    """The expected cost of a run, before it starts."""

    seconds: float
    peak_memory_bytes: int
    """The largest of all stages."""
    disk_bytes: int
    """The sum of all stages."""
    cost: float = 0.0
    """Price of the GPU's time in the studio's currency; 0 if no price is set. What a service asks
    is in `price`."""
    price: Money | None = None
    """The most that a remote backend asks for; None for one on the device."""
    basis: str
    """Source of the figures: measured on this machine, or derived from which published figure."""
    stages: tuple[StageEstimate, ...] = ()
    """In the order of the run. Empty in manifests of versions up to 0.2."""
    low_seconds: float = 0.0
    """Between this and `high_seconds` lie most runs; both are 0 in manifests of versions up to
    0.5."""
    high_seconds: float = 0.0

    @property
    def time_words(self) -> str:
        """The time in words, such as `about 3 min (2 to 4 min; median of 5 recent runs)`."""
        usual = f"about {time_words(self.seconds)}"
        if not self.high_seconds:
            return f"{usual} ({self.basis})"
        return f"{usual} ({range_words(self.low_seconds, self.high_seconds)}; {self.basis})"

    @property
    def memory_words(self) -> str:
        """The memory in words, such as `at most 13.0 GB of memory (encode 13.0, denoise 6.1)`."""
        loading = [item for item in self.stages if item.stage not in ("stitch", "upload")]
        each = f" ({', '.join(item.memory_words for item in loading)})" if loading else ""
        return f"at most {self.peak_memory_bytes / 1e9:.1f} GB of memory{each}"
