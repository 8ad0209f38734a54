"""What a comparison of backends makes: the same prompts, seeds and length for every candidate."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field, field_validator

from pipelines.backends.registry import definition_of, definitions, presets
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from pipelines.schema import limits
from pipelines.schema.frozen import Frozen
from pipelines.schema.plan import digest_of
from pipelines.schema.presets import Preset
from pipelines.schema.shots import MAX_PROMPT, PICK
from pipelines.schema.text import clean_text

MAX_VIDEOS = 500
MAX_CANDIDATES = 12
MAX_PROMPTS = 500
LATEST = "latest"
"""Name under which the newest measured values of all presets lie; no comparison may have it."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,59}")
_SETTABLE = (
    *("size", "aspect", "frames", "steps", "guidance", "flow_shift", "upscale"),
    *("lora", "lora_strength", "style", "negative"),
)
"""Fields of a brief that a candidate may set for itself."""


class Benchmark(Frozen):
    """A comparison of backends, as it is stored before its first video is made."""

    name: str = Field(
        title="Name",
        description="Lower-case letters, digits and hyphens, at most 60. The same name goes on "
        "with the same comparison.",
    )
    candidates: tuple[str, ...] = Field(
        title="Candidates",
        description="Presets or backends, such as demo. A preset may have settings of its own: "
        "video_fast:steps=30:size=832*480.",
    )
    prompts: tuple[str, ...] = Field(
        title="Prompts", description="Every candidate gets the same ones, unchanged."
    )
    videos: int = Field(
        30,
        title="Videos",
        description=f"Of each candidate, 1 to {MAX_VIDEOS}. More than there are prompts: each "
        "prompt again, with another seed.",
    )
    seconds: float = Field(4.0, title="Seconds", description="Length of every video.")

    @field_validator("name")
    @classmethod
    def _checked_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or value == LATEST:
            raise ValueError(
                f"the name {value!r:.80} cannot be used; take lower-case letters, digits and "
                f"hyphens, at most 60, and not {LATEST!r}"
            )
        return value

    @field_validator("prompts")
    @classmethod
    def _checked_prompts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(value) <= MAX_PROMPTS:
            raise ValueError(f"{len(value)} prompts are given; give 1 to {MAX_PROMPTS}")
        cleaned = tuple(clean_text(item, "prompt", MAX_PROMPT) for item in value)
        twice = next((item for item in cleaned if cleaned.count(item) > 1), None)
        if twice is not None:
            raise ValueError(
                f"the prompt {twice!r:.80} is given twice and would count twice; write it once"
            )
        return cleaned

    @field_validator("videos")
    @classmethod
    def _checked_videos(cls, value: int) -> int:
        if not 1 <= value <= MAX_VIDEOS:
            raise ValueError(f"{value} videos of each candidate; choose 1 to {MAX_VIDEOS}")
        return value

    @field_validator("seconds")
    @classmethod
    def _checked_seconds(cls, value: float) -> float:
        if not limits.MIN_SECONDS <= value <= limits.MAX_SECONDS:
            raise ValueError(
                f"{value:g} seconds are outside {limits.MIN_SECONDS:g} to {limits.MAX_SECONDS:g}; "
                "choose a length in that range"
            )
        return value


@dataclass(frozen=True)
class Candidate:
    """A preset, perhaps with settings of its own, that is compared with others."""

    label: str
    """As it was written."""
    preset: Preset
    values: Mapping[str, str | int | float]
    """Fields of its briefs that differ from the preset."""

    @property
    def slug(self) -> str:
        """Its name in object keys and file names: letters, digits, `_` and `-`, at most 70."""
        if not self.values:
            return self.preset.name
        return f"{self.preset.name:.60}-{digest_of(dict(self.values))[:8]}"


@dataclass(frozen=True)
class Case:
    """One video of one candidate."""

    candidate: Candidate
    number: int
    """From 1 on; the same number has the same prompt and seed for every candidate."""
    prompt: str
    seed: int
    """-1: derived from the brief."""
    brief: Brief


def parse_candidates(labels: tuple[str, ...]) -> tuple[Candidate, ...]:
    """The candidates of these labels, in order.

    Raises BriefError for a name that is neither a preset nor a backend with videos, a setting that
    is not one, a candidate that is named twice, and for fewer than 1 or more than MAX_CANDIDATES.
    """
    if not 1 <= len(labels) <= MAX_CANDIDATES:
        raise BriefError(f"{len(labels)} candidates are given; give 1 to {MAX_CANDIDATES}")
    found = tuple(_parse(label.strip()) for label in labels)
    slugs = [item.slug for item in found]
    for item in found:
        if slugs.count(item.slug) > 1:
            raise BriefError(f"the candidate {item.label!r} is given twice; name it once")
    return found


def cases_of(benchmark: Benchmark) -> Iterator[Case]:
    """All videos of a comparison, one candidate after the other, so that each model loads once.

    Raises BriefError as `parse_candidates`, and for a brief that a candidate cannot make; its
    message names the candidate.
    """
    for candidate in parse_candidates(benchmark.candidates):
        for index in range(benchmark.videos):
            take, place = divmod(index, len(benchmark.prompts))
            prompt = benchmark.prompts[place]
            seed = int(digest_of(["benchmark", prompt, take])[:8], 16) if take else PICK
            brief = _brief(benchmark, candidate, prompt, seed)
            yield Case(candidate, index + 1, prompt, seed, brief)


def default_name(candidates: tuple[str, ...], prompts: tuple[str, ...], *more: object) -> str:
    """A name that the same request always has."""
    return f"bench-{digest_of([candidates, prompts, [str(item) for item in more]])[:10]}"


def _brief(benchmark: Benchmark, candidate: Candidate, prompt: str, seed: int) -> Brief:
    values = {
        "prompt": prompt,
        "preset": candidate.preset.name,
        "seconds": benchmark.seconds,
        "seed": seed,
        "enhance": False,  # a language model would give each candidate other words
        "priority": "batch",
        "campaign": f"benchmark {benchmark.name}",
    }
    try:
        return parse_brief(values | dict(candidate.values))
    except BriefError as error:
        raise BriefError(f"candidate {candidate.label!r}: {error}") from error


def _parse(label: str) -> Candidate:
    name, *settings = label.split(":")
    values: dict[str, str | int | float] = {}
    for item in settings:
        field, separator, value = item.partition("=")
        if not separator or field not in _SETTABLE:
            raise BriefError(
                f"candidate {label!r}: {item!r} is no setting; write FIELD=VALUE with one of "
                f"{', '.join(_SETTABLE)}"
            )
        values[field] = _plain(value)
    return Candidate(label, _preset_of(name, label), values)


def _preset_of(name: str, label: str) -> Preset:
    known = presets()
    if name in known:
        preset: Preset | None = known[name]
    elif name in definitions():
        preset = next((item for item in definitions()[name].presets if not item.is_still), None)
    else:
        videos = [item.name for item in known.values() if not item.is_still]
        raise BriefError(
            f"candidate {label!r}: {name!r} is neither a preset nor a backend; choose of "
            f"{', '.join(videos)}, or a backend of {', '.join(definitions())}"
        )
    if preset is None or preset.is_still:
        raise BriefError(f"candidate {label!r} makes pictures; name a preset that makes videos")
    assert definition_of(preset)
    return preset


def _plain(value: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
