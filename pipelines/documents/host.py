"""What a GPU host says of itself, for routers on hosts without a device."""

from collections.abc import Mapping
from datetime import datetime

from pipelines.documents.route import Forecast
from pipelines.schema.frozen import Frozen


class HostReport(Frozen):
    """A GPU host at one moment. It is written again every few minutes."""

    name: str
    """Of its worker."""
    written: datetime
    version: str
    """Of Reelwright."""
    device: str
    """`cuda` or `cpu`."""
    models: frozenset[str]
    """Installed models and LoRAs, by the names that backends use."""
    usual_seconds: float
    """Length of the videos that `forecasts` are for."""
    forecasts: Mapping[str, Forecast]
    """Of a usual video without upscaling, for each preset whose models are installed there."""
