"""Options that a brief may set for a server's clips. None leaves it to the server."""

from pydantic import Field

from pipelines.schema.limits import MAX_GUIDANCE, MAX_STEPS
from pipelines.schema.presets import BackendOptions


class StepOptions(BackendOptions):
    """Of LightX2V."""

    steps: int | None = Field(None, ge=1, le=MAX_STEPS)


class VideosOptions(StepOptions):
    """Of servers that speak `/v1/videos`."""

    guidance: float | None = Field(None, ge=0, le=MAX_GUIDANCE)
    flow_shift: float | None = Field(None, ge=0.1, le=30)
