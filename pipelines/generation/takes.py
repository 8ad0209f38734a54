"""Takes of one chunk: made, judged, and made again with another seed if they are broken."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipelines.errors import BadFramesError
from pipelines.generation.continuing import dissolve, go_on
from pipelines.generation.memory import Rung
from pipelines.generation.wan import RenderedChunk
from pipelines.media.codec import Frame
from pipelines.quality.gate import MAX_RETRIES, judge, non_finite, rank
from pipelines.quality.seams import MAX_SEAM, RETRY_SEAM, seam_between
from pipelines.schema.manifest import Take
from pipelines.schema.plan import ChunkSpec, Join, digest_of


@dataclass(frozen=True)
class Earlier:
    """The chunk that is continued: its frames as film, and its last ones raw. Without a film it
    is a picture, which stays as the first frame."""

    film: Sequence[Frame]
    tail: Sequence[Frame]


@dataclass(frozen=True)
class Chosen:
    """The best take's new frames, and what was tried."""

    frames: list[Frame]
    takes: tuple[Take, ...]
    kept: int
    made: Join
    rung: Rung


def choose_take(
    spec: ChunkSpec,
    join: Join,
    earlier: Earlier | None,
    render: Callable[[ChunkSpec], RenderedChunk],
) -> Chosen:
    """Render up to 1 + MAX_RETRIES takes until one has no fault; else the best of them.

    A continued chunk whose best take still jumps is dissolved out of the chunk before. Raises
    BadFramesError if every take is black or non-finite.
    """
    takes: list[Take] = []
    best: tuple[int, list[Frame], Rung] | None = None
    for attempt in range(1 + MAX_RETRIES):
        seed = seed_of_take(spec.seed, attempt)
        take, frames, rung = _make(spec.model_copy(update={"seed": seed}), earlier, render)
        takes.append(take)
        if best is None or rank(take) < rank(takes[best[0]]):
            best = (attempt, frames, rung)
        if not take.faults:
            break
    assert best is not None
    kept, frames, rung = best
    if not frames or takes[kept].black == 1.0:
        tried = "; ".join(f"seed {take.seed}: {', '.join(take.faults)}" for take in takes)
        raise BadFramesError(
            f"no take of the chunk shows anything ({tried}); try another seed, or "
            "REELWRIGHT_DTYPE=float32"
        )
    if earlier and (takes[kept].seam or 0.0) > MAX_SEAM:
        join = "crossfade"
        frames = dissolve(earlier.tail[-1], frames)
    return Chosen(frames, tuple(takes), kept, join, rung)


def seed_of_take(seed: int, attempt: int) -> int:
    """The spec's own seed first, then seeds that follow from it: takes can be made again."""
    return seed if attempt == 0 else int(digest_of(["take", seed, attempt])[:8], 16)


def _make(
    spec: ChunkSpec, earlier: Earlier | None, render: Callable[[ChunkSpec], RenderedChunk]
) -> tuple[Take, list[Frame], Rung]:
    try:
        rendered = render(spec)
        frames = list(rendered.frames)
    except BadFramesError:
        return non_finite(spec.seed), [], "resident"
    if earlier is None:
        return judge(frames, spec.seed), frames, rendered.rung
    if not earlier.film:
        frames = go_on([frames[0], *frames], earlier.tail)
        return judge(frames, spec.seed), frames, rendered.rung
    frames = go_on(frames, earlier.tail)
    take = judge(frames, spec.seed)
    seam = seam_between(earlier.film, frames).score
    faults = (*take.faults, "seam") if seam > RETRY_SEAM else take.faults
    return take.model_copy(update={"seam": seam, "faults": faults}), frames, rendered.rung
