"""The command `reelwright make` and its options."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.apps.console import plain, say
from pipelines.backends.registry import offered_sizes, presets
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from pipelines.schema.presets import AUTO
from pipelines.schema.shots import PICK

_SIZES = ", ".join(map(str, offered_sizes()))
_ANY = float(PICK)


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text)


Prompt = Annotated[str, typer.Argument(help="The brief: what the video shows.")]
_PRESETS = ", ".join((*presets(), f"or {AUTO}: let Reelwright choose"))
PresetName = Annotated[str, _option(f"One of {_PRESETS}.")]
Seconds = Annotated[float | None, _option("Length of the video.")]
Seed = Annotated[int, _option("A take to repeat; -1: from the brief.")]
Upscale = Annotated[int, _option("2 or 4; 1: not at all; -1: the preset's.")]
SizeText = Annotated[str, _option(f"One of {_SIZES}.")]
AspectText = Annotated[str, _option("landscape, portrait or square.")]
Image = Annotated[bool, _option("A single picture.")]
Frames = Annotated[int, _option("Frames a chunk; -1: the preset's.")]
Steps = Annotated[int, _option("Denoising steps; -1: the preset's.")]
Guidance = Annotated[float, _option("Guidance; -1: the preset's.")]
FlowShift = Annotated[float, _option("Flow shift; -1: the preset's.")]
Joins = Annotated[str, _option("How shots meet: cut, continue, crossfade.")]
Style = Annotated[str, _option("Added to every shot.")]
Negative = Annotated[str, _option("What must not be seen.")]
Enhance = Annotated[bool, _option("Let the enhancer expand the brief.")]
LanguageName = Annotated[
    str, _option("Language of your words: auto, as-written (no translation), or a code such as th.")
]
Campaign = Annotated[str, _option("A tag to find the video by.")]
Picture = Annotated[Path | None, _option("A picture that the video begins with.")]
LastPicture = Annotated[Path | None, _option("A picture that the video ends with.")]
References = Annotated[list[Path] | None, _option("A picture of what is shown; repeatable.")]
Motion = Annotated[Path | None, _option("A zip with the videos that move a figure.")]
LoraName = Annotated[str, _option("Name of an installed LoRA.")]
LoraStrength = Annotated[float, _option("-1: 1, or the preset's.")]
ShotSeeds = Annotated[list[str] | None, _option("SHOT=SEED: another take of one shot.")]
ShotPrompts = Annotated[list[str] | None, _option("SHOT=WORDS: other words for one shot.")]
Out = Annotated[
    Path | None,
    _option("Copy the .mp4 (of a picture .png or .webp) here, poster and manifest beside it."),
]
Json = Annotated[bool, _option("Print the manifest.", "--json")]


def make(
    prompt: Prompt,
    preset: PresetName = "demo",
    seconds: Seconds = None,
    seed: Seed = PICK,
    upscale: Upscale = PICK,
    size: SizeText = "preset",
    aspect: AspectText = "preset",
    image: Image = False,
    frames: Frames = PICK,
    steps: Steps = PICK,
    guidance: Guidance = _ANY,
    flow_shift: FlowShift = _ANY,
    joins: Joins = "cut",
    style: Style = "",
    negative: Negative = "",
    enhance: Enhance = True,
    language: LanguageName = "auto",
    campaign: Campaign = "",
    picture: Picture = None,
    last_picture: LastPicture = None,
    reference: References = None,
    motion: Motion = None,
    lora: LoraName = "",
    lora_strength: LoraStrength = _ANY,
    shot_seed: ShotSeeds = None,
    shot_prompt: ShotPrompts = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Make one video from start to published, and print where it lies."""
    given = dict(locals())  # all options that are fields of a brief under the same name
    names = "prompt preset seed upscale size aspect frames steps guidance flow_shift joins style"
    more = "negative enhance language campaign lora lora_strength"
    values = {name: given[name] for name in f"{names} {more}".split()}
    values |= {
        "kind": "image" if image else "video",
        "shots": _overrides(shot_seed or [], shot_prompt or []),
    }
    if seconds is not None:
        values["seconds"] = seconds
    pictures = {
        "image": [picture] if picture else [],
        "last_image": [last_picture] if last_picture else [],
        "references": reference or [],
    }
    _make(values, pictures, motion, out, as_json=as_json)


def _make(
    values: dict[str, Any],
    pictures: dict[str, list[Path]],
    motion: Path | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from infra.apps import make as maker  # it loads the libraries of the object store

    with maker.given_files(pictures, motion) as files:
        manifest = maker.make(parse_brief(values | files.values), out, files)
    if as_json:
        sys.stdout.write(manifest.model_dump_json(indent=1) + "\n")
        say(maker.summary(manifest, out))
    else:
        sys.stdout.write(plain(maker.summary(manifest, out)) + "\n")


def _overrides(seeds: list[str], prompts: list[str]) -> list[dict[str, Any]]:
    """Changed shots from `SHOT=VALUE`. Raises BriefError for anything else."""
    shots: dict[int, dict[str, Any]] = {}
    for name, items in (("seed", seeds), ("prompt", prompts)):
        for item in items:
            number, separator, value = item.partition("=")
            if not (separator and number.isdecimal()):
                raise BriefError(f"--shot-{name} {item!r}: write SHOT={name.upper()}, as in 2=…")
            shots.setdefault(int(number), {"shot": int(number)})[name] = value
    return list(shots.values())
