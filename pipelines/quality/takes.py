"""Takes of one chunk: each is made and checked; a faulty one is made again with another seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.backends.base import Frame, GeneratedClip, Sound
from pipelines.documents.manifest import Take
from pipelines.errors import BadFramesError, GenerationError
from pipelines.media.sound import part_of
from pipelines.quality.continuing import dissolve, go_on
from pipelines.quality.gate import MAX_RETRIES, judge, non_finite, rank
from pipelines.quality.seams import MAX_SEAM, RETRY_SEAM, seam_between
from pipelines.schema.computation import Computation
from pipelines.schema.plan import ChunkSpec, Transition, digest_of


@dataclass(frozen=True)
class FromChunk:
    """The chunk continues another chunk."""

    film: Sequence[Frame]
    """All frames of the other chunk's clip."""
    overlap: Sequence[Frame]
    """Its last raw frames, which the new chunk repeats."""


@dataclass(frozen=True)
class FromPicture:
    """The chunk begins with an uploaded picture, which stays as its first frame."""

    picture: Frame


Start = FromChunk | FromPicture | None
"""What a chunk begins with; None if nothing is given."""
Generate = Callable[[ChunkSpec], GeneratedClip]


@dataclass(frozen=True)
class Chosen:
    """The new frames of the best take, and the records of all takes."""

    frames: list[Frame]
    sound: Sound | None
    """Sound of the new frames only."""
    takes: tuple[Take, ...]
    kept: int
    made: Transition
    memory_mode: str
    computation: Computation | None = None


@dataclass(frozen=True)
class _Attempt:
    """One take: its record, its frames and its sound."""

    take: Take
    frames: list[Frame]
    sound: Sound | None
    memory_mode: str
    computation: Computation | None = None


def choose_take(
    spec: ChunkSpec,
    transition: Transition,
    start: Start,
    generate: Generate,
    retries: int = MAX_RETRIES,
) -> Chosen:
    """Generate up to 1 + `retries` takes until one has no fault, and choose the best one.

    If even the best take of a continued chunk jumps, it is blended in from the previous chunk.
    Raises BadFramesError if every take is black or non-finite, GenerationError if a clip has
    another length or size than was asked for; and what `generate` raises, except BadFramesError.
    """
    takes: list[Take] = []
    best: _Attempt | None = None
    for number in range(1 + retries):
        seed = seed_of_take(spec.request.seed, number)
        attempt = _attempt(spec.with_seed(seed), start, generate)
        takes.append(attempt.take)
        if best is None or rank(attempt.take) < rank(best.take):
            best = attempt  # the frames of the others are dropped: they are large
        if not attempt.take.faults:
            break
    assert best is not None
    if not best.frames or best.take.black == 1.0:
        tried = "; ".join(f"seed {take.seed}: {', '.join(take.faults)}" for take in takes)
        raise BadFramesError(
            f"no take of the chunk shows anything ({tried}); try another seed, or "
            "REELWRIGHT_DTYPE=float32"
        )
    frames = best.frames
    if isinstance(start, FromChunk) and (best.take.seam or 0.0) > MAX_SEAM:
        transition = "crossfade"
        frames = dissolve(start.overlap[-1], frames, spec.request.fps)
    kept = takes.index(best.take)
    return Chosen(
        frames, best.sound, tuple(takes), kept, transition, best.memory_mode, best.computation
    )


def seed_of_take(seed: int, attempt: int) -> int:
    """The spec's own seed for the first take, then seeds derived from it, so that takes can be made
    again."""
    return seed if attempt == 0 else int(digest_of(["take", seed, attempt])[:8], 16)


def _attempt(spec: ChunkSpec, start: Start, generate: Generate) -> _Attempt:
    seed = spec.request.seed
    try:
        clip = generate(spec)
        frames = list(clip.frames)
    except BadFramesError:
        return _Attempt(non_finite(seed), [], None, "")
    _check_count(spec, frames)
    sound, how = _new_part(clip.sound, spec), (clip.memory_mode, clip.computation)
    match start:
        case None:
            return _Attempt(judge(frames, seed), frames, sound, *how)
        case FromPicture(picture):
            frames = go_on([frames[0], *frames], [picture])
            return _Attempt(judge(frames, seed), frames, sound, *how)
        case FromChunk(film, overlap):
            frames = go_on(frames, overlap)
            take = judge(frames, seed)
            seam = seam_between(film, frames).score
            faults = (*take.faults, "seam") if seam > RETRY_SEAM else take.faults
            take = take.model_copy(update={"seam": seam, "faults": faults})
            return _Attempt(take, frames, sound, *how)


def _check_count(spec: ChunkSpec, frames: Sequence[Frame]) -> None:
    """Raises GenerationError for a clip of another length or size. Another length would shift all
    later frames."""
    request = spec.request
    shape = (request.size.height, request.size.width, 3)
    wrong = next((frame.shape for frame in frames if frame.shape != shape), None)
    if len(frames) != request.frames or wrong:
        raise GenerationError(
            f"the backend {spec.backend} made {len(frames)} frames of {wrong or shape}; "
            f"{request.frames} of {shape} (height, width, colours) were asked for: report this "
            "with the brief"
        )


def _new_part(sound: Sound | None, spec: ChunkSpec) -> Sound | None:
    """The sound without that of the frames which repeat the previous chunk."""
    if sound is None:
        return None
    request = spec.request
    return part_of(sound, request.fps, request.frames - request.new_frames, request.new_frames)
