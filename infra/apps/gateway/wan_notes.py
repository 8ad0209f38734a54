"""What a request of the Wan service does not get as it asked for it, in sentences."""

from collections.abc import Iterator

from infra.apps.gateway.wan_requests import Generate
from pipelines.backends.base import BackendDefinition
from pipelines.documents.brief import Brief
from pipelines.planning.plan import frames_of, timeline
from pipelines.schema.limits import MIN_SECONDS

_NAMED = 5
"""Unknown fields that are named; the others are counted."""


def notes_of(body: Generate, backend: BackendDefinition, brief: Brief) -> str:
    """Every change of a value, one sentence each; empty if nothing was changed.

    Raises BriefError as `timeline`.
    """
    return "; ".join([*_frame_notes(body, backend, brief), *_value_notes(body, backend, brief)])


def warnings_of(body: Generate) -> list[str]:
    """A sentence for each field of the request that the service does not know."""
    unknown, known = sorted(body.model_extra or {}), ", ".join(type(body).model_fields)
    sentences = [f"{name!r:.80} is no field and was ignored" for name in unknown[:_NAMED]]
    if len(unknown) > _NAMED:
        sentences.append(f"{len(unknown) - _NAMED} further unknown fields were ignored")
    return [*sentences, f"the fields are {known}"] if unknown else []


def _frame_notes(body: Generate, backend: BackendDefinition, brief: Brief) -> Iterator[str]:
    kept = frames_of(brief)
    if kept != body.frame_num:
        yield (
            f"frame_num {body.frame_num} became {kept}: a video lasts {MIN_SECONDS:g} s at least, "
            f"at {backend.capabilities.fps} frames a second"
        )
    made = sum(slot.frames - slot.overlap - slot.blend for slot in timeline(brief))
    if made != kept:
        yield (
            f"clips of this model have {made} frames here: the video has the first {kept}, and "
            f"the other {made - kept} are dropped"
        )


def _value_notes(body: Generate, backend: BackendDefinition, brief: Brief) -> Iterator[str]:
    """Values that the request gives and that the brief does not have."""
    preset = brief.resolved_preset()
    used = {
        "size": str(preset.size),
        "sample_steps": getattr(preset.options, "steps", None),
        "sample_guide_scale": getattr(preset.options, "guidance", None),
    }
    for name, value in used.items():
        asked = getattr(body, name)
        if name not in body.model_fields_set or value == asked:
            continue
        if value is None:
            yield f"{name} was ignored: {backend.title} has no such option"
        else:
            yield f"{name} {asked} became {value}"
