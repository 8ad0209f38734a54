"""The shots of a draft, from the storyboard and the plan of a brief."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from pipelines.documents.brief import Brief
from pipelines.documents.draft import DraftShot
from pipelines.documents.manifest import StoredObject
from pipelines.errors import BriefError
from pipelines.planning.edits import shown_in
from pipelines.planning.framing import unstyled
from pipelines.planning.plan import hand_shot_of, seconds_for
from pipelines.schema.plan import Plan
from pipelines.schema.storyboard import Shot, Storyboard


def draft_shots(
    brief: Brief, plan: Plan, storyboard: Storyboard, stills: Sequence[StoredObject | None]
) -> Iterator[DraftShot]:
    """A shot of the draft for each shot of the storyboard; chunks that show the same shot by hand
    are one."""
    shots = storyboard.shots
    starts = [n for n in range(len(shots)) if not _goes_on(brief, shots, n)]
    for number, (start, end) in enumerate(pairwise([*starts, len(shots)]), start=1):
        shot, chunks = shots[start], plan.chunks[start:end]
        size, camera = _framing(brief, shot, len(shots))
        words = unstyled(shot.prompt, brief.style)
        yield DraftShot(
            number=number,
            prompt=words,
            seconds=round(sum(chunk.frame_count for chunk in chunks) / plan.fps, 2),
            still=stills[start],
            seed=chunks[0].request.seed,
            chunks=len(chunks),
            size=size,
            camera=camera,
            source=shot.source,
            note=shot.note,
            shows=shown_in(words, storyboard.sheet),
        )


def chunk_seconds(brief: Brief, count: int) -> float:
    """Seconds by which a chunk more makes the video longer; 0 if it cannot be longer."""
    try:
        return round(seconds_for(brief, count + 1) - seconds_for(brief, count), 4)
    except BriefError:
        return 0.0


def _goes_on(brief: Brief, shots: Sequence[Shot], index: int) -> bool:
    """Whether the shot with that index is a further chunk of the shot by hand before it."""
    if not index or not brief.storyboard or brief.override_of(index + 1):
        return False
    here, before = (hand_shot_of(brief, number, len(shots)) for number in (index + 1, index))
    return here is before


def _framing(brief: Brief, shot: Shot, count: int) -> tuple[str, str]:
    """Size and camera of a shot, as far as they are known."""
    # A shot by hand has a plan if it was written again with a wish, with a size of its own.
    if shot.plan:
        move = shot.plan.camera_move
        return shot.plan.size, "static camera" if move == "static" else move
    hand = hand_shot_of(brief, shot.number, count)
    if hand:
        return hand.size, hand.camera
    # The list of `prompting.cameras` has sizes, and one move.
    if shot.source in ("editor", "continued") or not shot.prompt.startswith(shot.camera):
        return "", ""
    return ("", shot.camera) if "tracking" in shot.camera else (shot.camera, "")
