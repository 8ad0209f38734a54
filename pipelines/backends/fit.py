"""Whether a backend can make what a brief asks for, said before anything is loaded."""

from collections.abc import Iterator

from pipelines.backends.base import BackendDefinition
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind

_NOUNS: dict[InputKind, tuple[str, str]] = {
    "first_frame": ("begin with a picture", "a picture to begin with (image)"),
    "last_frame": ("end with a picture", "a picture to end with (last_image)"),
    "continuation": ("go on from chunk to chunk", "joins 'continue'"),
    "reference_image": ("show a reference picture", "pictures of what is shown (references)"),
    "reference_video": ("follow a video", "a motion archive (motion)"),
    "audio": ("follow a sound", "a sound"),
}
"""What a backend does with an input, and what a brief calls it."""


def check_fit(
    backend: BackendDefinition,
    preset: Preset,
    inputs: frozenset[InputKind],
    *,
    continues: bool,
    shaped: bool = False,
) -> None:
    """Raises ValueError with value, rule and remedy if `backend` cannot make it.

    `preset` is resolved: with the brief's own size and frames. `continues` says whether chunks
    go on from one another, `shaped` whether the size was calculated from a shape.
    """
    can = backend.capabilities
    _check_inputs(can, preset, inputs)
    _check_size(can, preset, shaped=shaped)
    _check_length(can, preset, continues=continues)


def _check_inputs(can: Capabilities, preset: Preset, inputs: frozenset[InputKind]) -> None:
    for kind in sorted(inputs - can.inputs):
        verb, noun = _NOUNS[kind]
        able = ", ".join(_presets_with(kind)) or "none that is installed with this version"
        raise ValueError(
            f"the preset {preset.name!r} cannot {verb}: leave out {noun}, or choose a preset that "
            f"can ({able})"
        )
    for kind in sorted(can.required - inputs):
        _, noun = _NOUNS[kind]
        raise ValueError(
            f"the preset {preset.name!r} needs {noun}: give one, or choose another preset"
        )


def _presets_with(kind: InputKind) -> Iterator[str]:
    from pipelines.backends.registry import definitions

    for item in definitions().values():
        if kind in item.capabilities.inputs:
            yield from (preset.name for preset in item.presets if not preset.is_still)


def _check_size(can: Capabilities, preset: Preset, *, shaped: bool) -> None:
    size, step = preset.size, can.side_step
    longest = max(max(offered) for offered in can.sizes)
    suits = not (size.width % step or size.height % step or max(size) > longest)
    if size not in can.sizes and not (shaped and suits):
        offered = ", ".join(map(str, can.sizes))
        raise ValueError(
            f"size '{size}' is not offered by the preset {preset.name!r} (sides are multiples of "
            f"{step}, up to {longest}); choose one of {offered}, or 'preset'"
        )


def _check_length(can: Capabilities, preset: Preset, *, continues: bool) -> None:
    frames = preset.frames
    if frames == 1 and not can.stills:
        raise ValueError(
            f"the preset {preset.name!r} makes videos only, no pictures; ask for a video"
        )
    if not can.is_length(frames):
        below, above = can.lengths_around(frames)
        choice = f"choose {below}" if below == above else f"choose {below} or {above}"
        raise ValueError(
            f"{frames} frames a chunk cannot be made; it must be {can.length_rule}: {choice}"
        )
    if continues and frames < can.shortest_continued:
        raise ValueError(
            f"joins 'continue' needs chunks of {can.shortest_continued} frames or more, not "
            f"{frames}: ask for more frames a chunk, or for cuts"
        )
