"""Makes the chunks from a brief and its storyboard: their number, seeds and places."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.backends.base import VideoBackend
from pipelines.backends.registry import presets
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.schema import limits
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.keys import Digest
from pipelines.schema.plan import (
    FILM,
    PICTURE,
    ChunkSpec,
    Kind,
    Plan,
    PlannedChunk,
    Transition,
    UpscaleSpec,
    digest_of,
)
from pipelines.schema.presets import AUTO, MAX_EXTENSIONS, fade_of
from pipelines.schema.request import (
    ClipInput,
    ClipRequest,
    Continuation,
    FirstFrame,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)
from pipelines.schema.shots import PICK, HandShot
from pipelines.schema.storyboard import Shot, Storyboard
from pipelines.schema.text import without_control_tokens


def kind_of(brief: Brief) -> Kind:
    """What is published of a brief: the preset may make single pictures only. A preset that is to
    be chosen makes what the brief asks for."""
    if brief.kind == "image":
        return "image"
    return "image" if brief.preset != AUTO and brief.resolved_preset().is_still else "video"


def frames_of(brief: Brief) -> int:
    """Frames of the finished video: round(fps x seconds), or 1 for a still.

    A video that ends with a picture may be a few frames longer: its last chunk is used up to the
    end of its clip, and a clip cannot have any length. Raises BriefError as `timeline`.
    """
    return sum(slot.frame_count for slot in timeline(brief))


@dataclass(frozen=True)
class Slot:
    """A chunk's place in the video, before its words are known."""

    transition: Transition
    overlap: int
    """Frames that repeat the previous chunk and are removed."""
    blend: int
    frame_count: int
    """Frames by which it makes the video longer."""
    frames: int
    """Frames of the backend's call."""


def timeline(brief: Brief) -> list[Slot]:
    """The chunks of the video. The sum of their `frame_count` is `frames_of(brief)` in every mode.

    Raises BriefError if the brief changes a shot that it does not have, or has more shots than
    chunks.
    """
    preset, can = brief.resolved_preset(), brief.backend.capabilities
    left = 1 if preset.is_still else round(can.fps * brief.seconds)
    slots: list[Slot] = []
    extensions = 0
    while left > 0:
        transition: Transition = brief.joins if slots else "cut"
        if transition == "continue" and extensions == _longest_run(can):
            transition = "cut"
        extensions = extensions + 1 if transition == "continue" else 0
        overlap = can.overlap if transition == "continue" else 0
        blend = fade_of(preset.frames, can.fps) if transition == "crossfade" else 0
        if transition == "crossfade" and not blend:  # a chunk of one or two frames has none to give
            transition = "cut"
        frames, count = preset.frames, min(preset.frames - overlap - blend, left)
        if brief.last_image and count == left:  # the picture is the last frame that is seen
            frames = _ending_length(can, overlap + blend + count, blend, preset.frames)
            count = frames - overlap - blend
        slots.append(Slot(transition, overlap, blend, count, frames))
        left -= count
    _check_shots(brief, len(slots))
    return slots


def check_timeline(brief: Brief) -> None:
    """Raises BriefError as `timeline`. If the preset is to be chosen, one that fits is enough."""
    if brief.preset != AUTO:
        timeline(brief)
        return
    problem: BriefError | None = None
    for name in presets():
        try:
            timeline(brief.with_preset(name))
        except ValidationError:
            continue
        except BriefError as error:
            problem = problem or error
        else:
            return
    if problem:
        raise problem


def _longest_run(can: Capabilities) -> int | None:
    """Chunks that go on from one another before a cut; None for any number.

    A backend that makes nothing without a picture would cut back to the first one.
    """
    return None if "first_frame" in can.required else MAX_EXTENSIONS


def _ending_length(can: Capabilities, needed: int, blend: int, usual: int) -> int:
    """Frames of a last chunk that is used to its end: the fewest from `needed` on.

    Where it dissolves, its clip is cut after `blend` frames, so it must be of a length whose
    keyframe lies there. One of the `usual` length always is.
    """
    frames = can.lengths_around(max(needed, can.shortest_continued))[1]
    while blend and fade_of(frames, can.fps) != blend and frames < usual:
        frames += can.frame_step
    return frames


def _check_shots(brief: Brief, count: int) -> None:
    beyond = [override.shot for override in brief.shots if override.shot > count]
    if beyond:
        raise BriefError(
            f"shot {beyond[0]} is changed, but the brief has {count} "
            f"{'shot' if count == 1 else 'shots'}: name an earlier one or ask for more seconds"
        )
    if len(brief.storyboard) > count:
        raise BriefError(
            f"{len(brief.storyboard)} shots are given by hand, but the video has room for "
            f"{count}: ask for more seconds, or join shots"
        )
    given = [shot.chunks for shot in brief.storyboard]
    if any(given) and not all(given):
        raise BriefError(
            "some shots by hand say their length in chunks and others do not: say it in all of "
            "them, or leave it at 0 in all, and they share the video evenly"
        )
    if any(given) and sum(given) != count:
        raise BriefError(
            f"the shots by hand take {sum(given)} chunks, but the length of the video has "
            f"{count}: change the seconds of the video, or the chunks of a shot"
        )


def hand_shot_of(brief: Brief, number: int, count: int) -> HandShot | None:
    """The editor's shot that chunk `number` of `count` shows, if there is one."""
    found = _place_of(brief, number, count)
    return brief.storyboard[found[0]] if found else None


def _place_of(brief: Brief, number: int, count: int) -> tuple[int, int] | None:
    """Index of the editor's shot that chunk `number` of `count` shows, and index of the chunk in
    that shot. Shots without a length share the chunks evenly."""
    shots = brief.storyboard
    if not shots:
        return None
    if not shots[0].chunks:
        index = (number - 1) * len(shots) // count
        return index, number - 1 - -(-index * count // len(shots))
    left = number - 1
    for index, shot in enumerate(shots):
        if left < shot.chunks:
            return index, left
        left -= shot.chunks
    raise ValueError(f"chunk {number} is behind the last shot by hand; see timeline")


def has_wishes(brief: Brief) -> bool:
    """Whether a shot is to be written again."""
    return any(shot.wish for shot in brief.storyboard) or any(item.wish for item in brief.shots)


def is_enhanced(brief: Brief) -> bool:
    """Whether a language model is asked for words: for all shots, or for a wish."""
    if has_wishes(brief):
        return True
    return brief.enhance and not brief.storyboard


def seconds_for(brief: Brief, count: int) -> float:
    """Seconds of a video of `brief` with `count` chunks, whose last one is used as far as that of
    `brief` is.

    Raises BriefError if that is longer than a video may be, and as `timeline`.
    """
    if brief.resolved_preset().is_still:
        if count > 1:
            raise BriefError(f"a picture has one shot, and these are {count}: remove the others")
        return brief.seconds
    plain: dict[str, Any] = {"storyboard": (), "shots": ()}
    last = timeline(brief.model_copy(update=plain))[-1]
    longest = brief.model_copy(update=plain | {"seconds": limits.MAX_SECONDS, "last_image": ""})
    slots = timeline(longest)
    if count > len(slots):
        raise BriefError(
            f"the shots take {count} chunks, and a video of {limits.MAX_SECONDS:g} seconds, the "
            f"longest, has {len(slots)}: remove shots, or make some shorter"
        )
    full = [slot.frame_count for slot in slots[:count]]
    frames = sum(full[:-1]) + min(last.frame_count, full[-1])
    return frames / brief.backend.capabilities.fps


def seed_of(brief: Brief) -> int:
    """The brief's seed. If it is -1, a number derived from the brief's words: the same brief gives
    the same video, and an interrupted one is found again."""
    if brief.seed != PICK:
        return brief.seed
    return _number([brief.prompt, brief.style, brief.negative])


def seed_of_number(seed: int, number: int) -> int:
    """The seed of chunk `number` of a video with this `seed`."""
    return _number([seed, number])


def seed_of_chunk(brief: Brief, shot: Shot, number: int, count: int) -> int:
    """The seed of chunk `number` of `count`, which shows `shot`: an editor's, the shot's own, or
    one derived from the brief's."""
    override, hand = brief.override_of(number), hand_shot_of(brief, number, count)
    if override and override.seed != PICK:
        return override.seed
    if hand is None or hand.seed == PICK:
        return seed_of_number(seed_of(brief), number) if shot.seed is None else shot.seed
    # Further chunks of a shot get other seeds, or they would show the same take again. In a shot
    # of a length of its own they stay the same wherever the shot is moved to.
    place = _place_of(brief, number, count)
    within = place[1] if place else 0
    if hand.chunks:
        return _number([hand.seed, "chunk", within]) if within else hand.seed
    return _number([hand.seed, number]) if within else hand.seed


def make_plan(
    brief: Brief, storyboard: Storyboard, backend: VideoBackend, upscale: UpscaleSpec | None
) -> Plan:
    """One chunk for each shot of `storyboard`, in order. The last chunk may be used in part.

    Raises BriefError as `timeline`, and ValueError if the storyboard has another number of shots.
    """
    preset = brief.resolved_preset()
    identity, slots = backend.identity(preset.options), timeline(brief)
    negative = negative_of(brief)
    chunks: list[PlannedChunk] = []
    shown = 0
    for number, (shot, slot) in enumerate(zip(storyboard.shots, slots, strict=True), start=1):
        before = chunks[-1].digest if chunks else None
        is_last = number == len(slots)
        start = shown - slot.overlap - slot.blend
        request = ClipRequest(
            prompt=shot.prompt,
            negative=negative,
            size=preset.size,
            fps=backend.definition.capabilities.fps,
            frames=slot.frames,
            seed=seed_of_chunk(brief, shot, number, len(slots)),
            inputs=tuple(_inputs(brief, slot, before, start, is_last=is_last)),
            options=preset.options.identity(),
        )
        spec = ChunkSpec(backend=preset.backend, identity=identity, request=request)
        planned = PlannedChunk(
            number=number,
            shot=shot.number,
            transition=slot.transition,
            blend=slot.blend,
            frame_count=slot.frame_count,
            digest=spec.digest,
            spec=spec,
        )
        chunks.append(planned)
        shown += slot.frame_count
    return Plan(
        recipe=PICTURE if preset.is_still else FILM,
        chunks=tuple(chunks),
        upscale=upscale,
        requested_model=brief.stands_in_for,
    )


def _inputs(
    brief: Brief, slot: Slot, before: Digest | None, start: int, *, is_last: bool
) -> Iterator[ClipInput]:
    """The inputs of one chunk besides its text. `start` is its first frame in the film."""
    required = brief.backend.capabilities.required
    if slot.overlap and before:
        yield Continuation(chunk=before, frames=slot.overlap)
    elif brief.image and (before is None or "first_frame" in required):
        # A backend that makes nothing without a picture begins every new shot with it.
        yield FirstFrame(picture=_digest_in(brief.image))
    if brief.last_image and is_last:
        yield LastFrame(picture=_digest_in(brief.last_image))
    for picture in brief.references:
        yield ReferenceImage(picture=_digest_in(picture))
    if brief.motion:
        for role in brief.resolved_preset().options.video_roles:
            yield ReferenceVideo(archive=_digest_in(brief.motion), role=role, start=start)


def _digest_in(key: str) -> Digest:
    return Digest(Path(key).stem)


def negative_of(brief: Brief) -> str:
    """Words to avoid: those of the brief, then those of its backend."""
    words = [without_control_tokens(brief.negative), brief.backend.negative]
    return ", ".join(word for word in words if word)


def _number(value: object) -> int:
    return int(digest_of(value)[:8], 16)
