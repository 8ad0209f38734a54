"""A video made again with a change: as a new brief that keeps every chunk which the change does not
touch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief, sentences
from pipelines.errors import BriefError
from pipelines.planning.other_preset import with_other_preset
from pipelines.planning.plan import hand_shot_of, seed_of_chunk, timeline
from pipelines.schema.limits import MAX_SECONDS
from pipelines.schema.plan import digest_of
from pipelines.schema.shots import MAX_SEED, PICK, HandShot
from pipelines.schema.storyboard import Shot

_OF_THE_PRESET: dict[str, Any] = {
    "size": "preset",
    "frames": PICK,
    "steps": PICK,
    "guidance": -1.0,
    "flow_shift": -1.0,
    "lora": "",
    "lora_strength": -1.0,
    "stands_in_for": "",
}
"""Fields that mean something for one preset only."""

_WITHOUT_STORYBOARD = {"storyboard": "none", "both": "video"}


class Change(BaseModel):
    """What is to differ. At least one field is given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    take: int = Field(
        PICK,
        ge=PICK,
        le=MAX_SEED,
        description="A number: the shots in `shots` get other seeds, which follow from it. The "
        "words stay. -1: the seeds stay.",
    )
    shots: tuple[int, ...] = Field(
        (),
        max_length=300,
        description="Numbers of the shots that get another take, from 1 on; empty: all of them.",
    )
    preset: str = Field("", max_length=100, description="Another preset; empty: as it is.")
    longer: float = Field(
        0.0, ge=0, le=MAX_SECONDS, description="Seconds that are added at the end."
    )


def again(made: Brief, change: Change) -> Brief:
    """The brief of the same video with `change`. `made` may be a brief of an older version.

    Raises BriefError if it asks for nothing, or for what the video does not have or the preset
    cannot do.
    """
    values = made.model_dump(mode="json")
    if change == Change(shots=change.shots):
        raise BriefError(
            "nothing would be different; give another take, another preset or more seconds"
        )
    # Somebody approved the words; a video that is looked at before it is published is, once more.
    values["approval"] = _WITHOUT_STORYBOARD.get(made.approval, made.approval)
    if change.preset:
        plain = parse_brief(values | _OF_THE_PRESET)
        values = _with_preset(plain, change.preset).model_dump(mode="json")
    before = parse_brief(values)
    if change.longer:
        values |= _longer(before, change.longer)
    if change.take != PICK:
        values["shots"] = _other_takes(parse_brief(values), change)
    return parse_brief(values)


def _with_preset(brief: Brief, name: str) -> Brief:
    """Shots by hand keep their shares of the video in chunks of another length."""
    try:
        return with_other_preset(brief, name)
    except ValidationError as error:
        raise BriefError(sentences(error)) from error


def _longer(brief: Brief, seconds: float) -> dict[str, Any]:
    if brief.kind == "image":
        raise BriefError("a picture has no length; ask for a video")
    longer: dict[str, Any] = {"seconds": brief.seconds + seconds}
    shots = list(brief.storyboard)
    if not shots:
        return longer
    count = len(timeline(brief))
    more = _count_without_shots(brief, brief.seconds + seconds) - count
    if shots[0].chunks:
        shots[-1] = shots[-1].model_copy(update={"chunks": shots[-1].chunks + more})
    elif more:
        # They share the chunks evenly, so a longer video would show them elsewhere. A shot for each
        # chunk, with the seed that the chunk has, keeps them where they are.
        shots = [_as_one_chunk(brief, number, count) for number in range(1, count + 1)]
        shots += [shots[-1].model_copy(update={"seed": PICK})] * more
    return longer | {"storyboard": [shot.model_dump(mode="json") for shot in shots]}


def _count_without_shots(brief: Brief, seconds: float) -> int:
    """Chunks of a video of that length, whatever the shots by hand say. Raises BriefError."""
    values = brief.model_dump(mode="json") | {"storyboard": [], "shots": [], "seconds": seconds}
    return len(timeline(parse_brief(values)))


def _as_one_chunk(brief: Brief, number: int, count: int) -> HandShot:
    """The shot of chunk `number` of `count`, with the seed that the chunk has."""
    hand = hand_shot_of(brief, number, count)
    assert hand is not None
    shot = Shot(number=number, camera="", prompt=hand.prompt, source="editor")
    return hand.model_copy(update={"seed": seed_of_chunk(brief, shot, number, count)})


def _other_takes(brief: Brief, change: Change) -> list[dict[str, Any]]:
    count = len(timeline(brief))
    if wrong := [number for number in change.shots if not 1 <= number <= count]:
        raise BriefError(
            f"shot {wrong[0]} does not exist; the video has shots 1 to {count}: name one of them"
        )
    overrides = {item.shot: item.model_dump(mode="json") for item in brief.shots}
    for number in change.shots or range(1, count + 1):
        seed = int(digest_of(["take", change.take, number])[:8], 16)
        overrides[number] = {
            "shot": number,
            "prompt": "",
            **overrides.get(number, {}),
            "seed": seed,
        }
    return [overrides[number] for number in sorted(overrides)]
