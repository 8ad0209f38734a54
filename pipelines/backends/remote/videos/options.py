"""Options that a brief may set for a server's clips. None leaves it to the server."""

from typing import TypeVar

from pydantic import Field, ValidationError

from pipelines.errors import BriefError
from pipelines.schema.limits import MAX_GUIDANCE, MAX_STEPS
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest

Options = TypeVar("Options", bound=BackendOptions)


class StepOptions(BackendOptions):
    """Of LightX2V."""

    steps: int | None = Field(None, ge=1, le=MAX_STEPS)


class VideosOptions(StepOptions):
    """Of servers that speak `/v1/videos`."""

    guidance: float | None = Field(None, ge=0, le=MAX_GUIDANCE)
    flow_shift: float | None = Field(None, ge=0.1, le=30)


def options_in(request: ClipRequest, kind: type[Options], title: str) -> Options:
    """The options of a request. Raises BriefError for one that the server does not have."""
    try:
        return kind.model_validate(dict(request.options))
    except ValidationError as error:
        names = ", ".join(str(item["loc"][0]) for item in error.errors())
        raise BriefError(f"{title} cannot work with {names}; leave it out") from error
