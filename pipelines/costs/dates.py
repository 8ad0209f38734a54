"""Months and days of the ledger, in the studio's time zone."""

import calendar
from datetime import datetime
from zoneinfo import ZoneInfo


def month_of(moment: datetime, zone: ZoneInfo) -> str:
    """The month, such as `2026-11`."""
    return f"{moment.astimezone(zone):%Y-%m}"


def day_of(moment: datetime, zone: ZoneInfo, month: str) -> str:
    """The day, such as `2026-11-30`, within `month`.

    A book may be one of a neighbouring month: clocks of two hosts differ at the turn of a month,
    and jobs end in the month after. Then it is the month's first or last day that is nearest.
    """
    day = f"{moment.astimezone(zone):%Y-%m-%d}"
    if day[:7] == month:
        return day
    return f"{month}-01" if day[:7] < month else f"{month}-{_last(month)}"


def _last(month: str) -> int:
    return calendar.monthrange(int(month[:4]), int(month[5:]))[1]
