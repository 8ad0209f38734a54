"""content-calendar: starts the briefs that are due, and settles overdue approvals."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.approval import settle_silences
from tasks.calendar import start_what_is_due
from tasks.options import done
from tasks.purge import forget_empty_minutes


@flow(name="content-calendar", persist_result=False)
def content_calendar() -> State[Any]:
    """Start what the calendar says is due, settle approvals that nobody gave, and forget minutes in
    which nothing was due."""
    tick = start_what_is_due()
    settle_silences()
    forget_empty_minutes()
    return done(str(tick))
