"""What every backend checks before it loads anything."""

from pydantic import ValidationError

from pipelines.backends.base import BackendDefinition
from pipelines.errors import BriefError, GenerationError, WeightsError
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest, InputKind


def check_request(definition: BackendDefinition, request: ClipRequest) -> None:
    """Raises BriefError if `request` is outside what the backend can do. Loads nothing."""
    able = definition.capabilities
    check_kinds(definition, request.kinds)
    if not able.is_length(request.frames):
        raise BriefError(
            f"{definition.title} makes {able.length_rule} frames a clip, not {request.frames}; "
            f"the nearest are {' and '.join(map(str, able.lengths_around(request.frames)))}"
        )
    if request.fps != able.fps:
        raise BriefError(
            f"{definition.title} makes {able.fps} frames a second, not {request.fps}; "
            f"ask for {able.fps}"
        )
    if min(request.size) <= 0 or any(side % able.side_step for side in request.size):
        raise BriefError(
            f"{definition.title} makes frames whose sides are multiples of {able.side_step}, not "
            f"{request.size}; choose one of {', '.join(map(str, able.sizes))}"
        )


def check_kinds(definition: BackendDefinition, kinds: frozenset[InputKind]) -> None:
    """Raises BriefError if an input is none that the backend takes, or one that it needs is
    missing. A chunk that goes on needs no first frame: the chunk before began with it."""
    able = definition.capabilities
    unknown = sorted(kinds - able.inputs)
    if unknown:
        raise BriefError(
            f"{definition.title} takes {', '.join(sorted(able.inputs))}, not "
            f"{', '.join(unknown)}; leave it out or choose another preset"
        )
    begun: frozenset[InputKind] = frozenset({"first_frame"} if "continuation" in kinds else ())
    missing = sorted(able.required - kinds - begun)
    if missing:
        raise BriefError(
            f"{definition.title} is given {', '.join(sorted(kinds))} and makes nothing without "
            f"{', '.join(missing)}; add it or choose another preset"
        )


def options_of(definition: BackendDefinition, request: ClipRequest) -> BackendOptions:
    """The request's options as the backend's own class. Raises BriefError for a wrong one."""
    try:
        return definition.options.model_validate(dict(request.options))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}={item['input']!r}: {item['msg']}"
            for item in error.errors()
        )
        raise BriefError(
            f"{definition.title} cannot work with these options ({wrong}); "
            "leave them out for the preset's"
        ) from error


def loads(error: Exception, what: str) -> WeightsError | GenerationError:
    """The error for `what`, which does not load, with a remedy.

    Models are read into the host's memory. If that ran out, the files are as they should be.
    """
    from pipelines.backends.memory import is_out_of_memory  # imports torch

    if is_out_of_memory(error):
        return GenerationError(
            f"the host's memory ran out while {what} was read; close other programs that use it, "
            "or choose a preset with a smaller model"
        )
    return WeightsError(
        f"{what} does not load: {error}; verify its files with: reelwright models verify"
    )
