"""From a brief and its storyboard to chunks: how many, with which seed, in which place."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import BriefError
from pipelines.prompting.texts import CUSTOMARY_NEGATIVE
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest
from pipelines.schema.plan import (
    ChunkSpec,
    Conditioning,
    Join,
    Plan,
    PlannedChunk,
    UpscaleSpec,
    digest_of,
)
from pipelines.schema.presets import FPS, MAX_EXTENSIONS, fade_of
from pipelines.schema.shots import PICK, HandShot
from pipelines.schema.storyboard import Storyboard
from pipelines.schema.text import without_control_tokens


@dataclass(frozen=True)
class Weights:
    """Which weights decide the pixels, and the numbers they are computed in."""

    video_revision: Digest
    video_dtype: str
    upscaler_name: str
    upscaler_revision: Digest
    upscaler_dtype: str


def frames_of(brief: Brief) -> int:
    """Frames of the finished video: round(16 x seconds), or 1 for a still."""
    return 1 if brief.resolved_preset().is_still else round(FPS * brief.seconds)


@dataclass(frozen=True)
class Slot:
    """A chunk's place in the video before anybody knows what it shows."""

    join: Join
    overlap: int
    """Frames that repeat the chunk before and are dropped."""
    blend: int
    keep: int


def timeline(brief: Brief) -> list[Slot]:
    """The chunks of the video; their `keep` add up to `frames_of(brief)` in every mode.

    Raises BriefError if the brief changes a shot that it does not have, or has too many.
    """
    preset, left = brief.resolved_preset(), frames_of(brief)
    slots: list[Slot] = []
    extensions = 0
    while left:
        join: Join = brief.joins if slots else "cut"
        if join == "continue" and extensions == MAX_EXTENSIONS:
            join = "cut"
        extensions = extensions + 1 if join == "continue" else 0
        overlap = preset.overlap if join == "continue" else 0
        blend = fade_of(preset.frames) if join == "crossfade" else 0
        keep = min(preset.frames - overlap - blend, left)
        slots.append(Slot(join, overlap, blend, keep))
        left -= keep
    beyond = [override.shot for override in brief.shots if override.shot > len(slots)]
    if beyond:
        raise BriefError(
            f"shot {beyond[0]} is changed, but the brief has {len(slots)} "
            f"{'shot' if len(slots) == 1 else 'shots'}: name an earlier one or ask for more seconds"
        )
    if len(brief.storyboard) > len(slots):
        raise BriefError(
            f"{len(brief.storyboard)} shots are given by hand, but the video has room for "
            f"{len(slots)}: ask for more seconds, or join shots"
        )
    return slots


def hand_shot_of(brief: Brief, number: int, count: int) -> HandShot | None:
    """The shot by hand that chunk `number` of `count` shows: they share the length evenly."""
    if not brief.storyboard:
        return None
    return brief.storyboard[(number - 1) * len(brief.storyboard) // count]


def seed_of(brief: Brief) -> int:
    """The brief's seed; -1 becomes a number of the brief's words, so that the same brief gives
    the same video and an interrupted one is found again."""
    if brief.seed != PICK:
        return brief.seed
    return _number([brief.prompt, brief.style, brief.negative])


def _seed_of_chunk(brief: Brief, number: int, count: int) -> int:
    override, hand = brief.override_of(number), hand_shot_of(brief, number, count)
    if override and override.seed != PICK:
        return override.seed
    if hand is None or hand.seed == PICK:
        return _number([seed_of(brief), number])
    # Further chunks of a shot are not to show the same take once more.
    again = number > 1 and hand is hand_shot_of(brief, number - 1, count)
    return _number([hand.seed, number]) if again else hand.seed


def make_plan(brief: Brief, storyboard: Storyboard, weights: Weights) -> Plan:
    """One chunk for each shot of `storyboard`, in order; the last one keeps what is left."""
    preset = brief.resolved_preset()
    negative = negative_of(brief)
    chunks: list[PlannedChunk] = []
    slots = timeline(brief)
    for number, (shot, slot) in enumerate(zip(storyboard.shots, slots, strict=True), start=1):
        conditioning = None
        if number == 1 and brief.picture:
            digest = Digest(Path(brief.picture).stem)
            conditioning = Conditioning(method=preset.conditioning, chunk=digest, frames=0)
        if slot.overlap:
            before = chunks[-1].spec.digest
            conditioning = Conditioning(
                method=preset.conditioning, chunk=before, frames=slot.overlap
            )
        spec = ChunkSpec(
            revision=weights.video_revision,
            dtype=weights.video_dtype,
            prompt=shot.prompt,
            negative=negative,
            size=preset.size,
            frames=preset.frames,
            steps=preset.steps,
            guidance=preset.continued_guidance if conditioning else preset.guidance,
            flow_shift=preset.flow_shift,
            seed=_seed_of_chunk(brief, number, len(slots)),
            conditioning=conditioning,
        )
        planned = PlannedChunk(
            number=number,
            shot=shot.number,
            join=slot.join,
            blend=slot.blend,
            keep=slot.keep,
            spec=spec,
        )
        chunks.append(planned)
    return Plan(
        chunks=tuple(chunks),
        upscale=_upscale(brief, weights),
        stands_in_for=brief.stands_in_for,
    )


def negative_of(brief: Brief) -> str:
    """The brief's words to avoid, before Wan's customary ones (diffusers' Wan guide)."""
    words = [without_control_tokens(brief.negative), CUSTOMARY_NEGATIVE]
    return ", ".join(word for word in words if word)


def _upscale(brief: Brief, weights: Weights) -> UpscaleSpec | None:
    if brief.upscale == 1:
        return None
    return UpscaleSpec(
        factor=brief.upscale,
        model=weights.upscaler_name,
        revision=weights.upscaler_revision,
        dtype=weights.upscaler_dtype,
    )


def _number(value: object) -> int:
    return int(digest_of(value)[:8], 16)
