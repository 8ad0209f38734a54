"""From a brief and its storyboard to chunks: how many, with which seed, in which place."""

import math
from dataclasses import dataclass
from importlib import resources

from pipelines.errors import BriefError
from pipelines.schema.brief import PICK, Brief
from pipelines.schema.keys import Digest
from pipelines.schema.plan import ChunkSpec, Plan, PlannedChunk, UpscaleSpec, digest_of
from pipelines.schema.presets import FPS
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


def shots_of(brief: Brief) -> int:
    """How many shots the brief makes: one for each chunk, met by hard cuts.

    Raises BriefError if it changes a shot that it does not have.
    """
    count = math.ceil(frames_of(brief) / brief.resolved_preset().frames)
    beyond = [override.shot for override in brief.shots if override.shot > count]
    if beyond:
        raise BriefError(
            f"shot {beyond[0]} is changed, but the brief has {count} "
            f"{'shot' if count == 1 else 'shots'}: name an earlier one or ask for more seconds"
        )
    return count


def seed_of(brief: Brief) -> int:
    """The brief's seed; -1 becomes a number of the brief's words, so that the same brief gives
    the same video and an interrupted one is found again."""
    if brief.seed != PICK:
        return brief.seed
    return _number([brief.prompt, brief.style, brief.negative])


def make_plan(brief: Brief, storyboard: Storyboard, weights: Weights) -> Plan:
    """One chunk for each shot of `storyboard`, in order; the last one keeps what is left."""
    preset = brief.resolved_preset()
    total = frames_of(brief)
    seed, negative = seed_of(brief), negative_of(brief)
    chunks = []
    for number, shot in enumerate(storyboard.shots, start=1):
        override = brief.override_of(number)
        own_seed = override.seed if override and override.seed != PICK else _number([seed, number])
        spec = ChunkSpec(
            revision=weights.video_revision,
            dtype=weights.video_dtype,
            prompt=shot.prompt,
            negative=negative,
            size=preset.size,
            frames=preset.frames,
            steps=preset.steps,
            guidance=preset.guidance,
            flow_shift=preset.flow_shift,
            seed=own_seed,
        )
        keep = min(preset.frames, total - preset.frames * (number - 1))
        chunks.append(PlannedChunk(number=number, shot=shot.number, keep=keep, spec=spec))
    return Plan(chunks=tuple(chunks), upscale=_upscale(brief, weights))


def negative_of(brief: Brief) -> str:
    """The brief's words to avoid, before Wan's customary ones (diffusers' Wan guide)."""
    usual = resources.files("pipelines.prompting.prompts") / "negative.txt"
    words = [without_control_tokens(brief.negative), usual.read_text(encoding="utf-8").strip()]
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
