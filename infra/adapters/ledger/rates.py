"""Caps and prices of GPU time, from the settings."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from infra.adapters.disk import read_text
from infra.adapters.settings import CostSettings, Settings
from pipelines.costs.caps import Caps, parse_caps
from pipelines.costs.gpu import GpuRates
from pipelines.errors import SettingsError


def caps_of(settings: CostSettings) -> Caps:
    """The caps of the settings; what the file says goes first.

    Raises SettingsError, with the line, if the file cannot be used.
    """
    own = Caps(
        video=settings.video_cap,
        campaign=settings.campaign_cap,
        day=settings.day_cap,
        month=settings.month_cap,
    )
    if settings.file is None:
        return own
    text = read_text(settings.file, f"REELWRIGHT_COSTS_FILE={settings.file}")
    return parse_caps(text, str(settings.file), own)


def rates_of(settings: Settings) -> GpuRates:
    """What GPU time costs.

    Raises SettingsError if the settings give both the price of an hour and the parts of it.
    """
    costs = settings.costs
    hour = Decimal(str(settings.compute.gpu_hour_price))
    parts = costs.gpu_watts, costs.kwh_price, costs.gpu_price, costs.gpu_life_hours
    if hour and any(parts):
        raise SettingsError(
            f"REELWRIGHT_GPU_HOUR_PRICE={hour} is the whole price of an hour, but electricity and "
            "depreciation are set too; keep one of the two: REELWRIGHT_GPU_HOUR_PRICE, or the "
            "REELWRIGHT_COSTS_… variables of the GPU"
        )
    for one, other, names in (
        (costs.gpu_watts, costs.kwh_price, "GPU_WATTS and KWH_PRICE"),
        (costs.gpu_price, costs.gpu_life_hours, "GPU_PRICE and GPU_LIFE_HOURS"),
    ):
        if bool(one) != bool(other):
            raise SettingsError(
                f"REELWRIGHT_COSTS_{names.replace(' and ', ' and REELWRIGHT_COSTS_')}: {one} and "
                f"{other}; one is of no use without the other: set both, or none"
            )
    return GpuRates(
        currency=costs.currency,
        watts=costs.gpu_watts,
        kwh_price=costs.kwh_price,
        card_price=costs.gpu_price,
        card_hours=costs.gpu_life_hours,
        hour_price=hour,
    )


def zone_of(settings: CostSettings) -> ZoneInfo:
    """The time zone in which days and months begin."""
    return ZoneInfo(settings.time_zone)
