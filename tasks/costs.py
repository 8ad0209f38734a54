"""What runs cost: the ledger of a run, its GPU time, and the costs of a video for its manifest."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from uuid import uuid4
from zoneinfo import ZoneInfo

from prefect.runtime import flow_run

from infra.adapters.ledger import (
    BucketLedger,
    LedgerLog,
    caps_of,
    check_currency_of_month,
    open_ledger,
    rates_of,
    record_gpu,
)
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.backends.base import VideoBackend
from pipelines.costs.book import lines_of
from pipelines.costs.entries import Spender
from pipelines.costs.gpu import gpu_seconds, price_of
from pipelines.costs.summary import VideoCosts, video_costs
from pipelines.documents.brief import Brief
from pipelines.errors import CorruptObjectError, ReelwrightError
from pipelines.schema.keys import Digest
from pipelines.schema.plan import Estimate
from tasks.remote_access import owner
from tasks.stage_costs import StageCosts
from tasks.waivers import waiver_of

_MONTHS = 3
"""Books that are searched for the costs of a video that is being published."""
_log = logging.getLogger("reelwright.costs")


class Spending(Protocol):
    """The part of a run's context that its costs depend on."""

    device: str
    content_id: str

    @property
    def brief(self) -> Brief: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def store(self) -> ObjectStore: ...
    @property
    def backend(self) -> VideoBackend: ...
    @property
    def costs(self) -> StageCosts: ...


def ledger_of(context: Spending) -> BucketLedger:
    """The ledger of a run. Its caps hold for the video only if the plan is made already.

    Raises SettingsError if the caps cannot be read.
    """
    brief = context.brief
    return open_ledger(
        context.store,
        context.settings,
        owner(),
        brief.campaign,
        brief.preset,
        video=context.content_id,
        waiver=waiver_of(context.store, owner(), brief.preset),
    )


@contextmanager
def gpu_time_recorded(context: Spending) -> Iterator[None]:
    """Write the GPU time of the stages that run in the block into the ledger, also if it fails.

    An error of the ledger is logged: it must not cost a film that is finished.
    """
    reason = ""
    try:
        yield
    except BaseException as error:
        reason = f"it ended with {type(error).__name__}"
        raise
    finally:
        _record(context, reason)


def _record(context: Spending, reason: str) -> None:
    brief, definition = context.brief, context.backend.definition
    spender = Spender(
        run=owner(), campaign=brief.campaign, video=context.content_id, preset=brief.preset
    )
    try:
        record_gpu(
            context.store,
            context.settings,
            spender,
            _attempt(),
            definition.name,
            [(item.stage, item.seconds) for item in context.costs.costs],
            device=context.device,
            location=definition.capabilities.location,
            reason=reason,
        )
    except ReelwrightError:
        _log.warning("the GPU time of this run is not in the ledger", exc_info=True)


def _attempt() -> str:
    """Names this attempt at this flow run; a worker may start the run again."""
    return f"{flow_run.id}-{flow_run.run_count}" if flow_run.id else str(uuid4())


def priced(expected: Estimate, context: Spending) -> Estimate:
    """`expected` with the price of its GPU time; 0 if no price is set.

    Raises SettingsError, before anything is made, if the prices of GPU time contradict each other,
    if a service makes the clips and the caps cannot be read, or if the run would add amounts to a
    month that has some in another currency.
    """
    location = context.backend.definition.capabilities.location
    if location == "remote":
        caps_of(context.settings.costs)
    stages = [(item.stage, item.seconds) for item in expected.stages]
    seconds = gpu_seconds(stages, context.device, location)
    rates = rates_of(context.settings)
    price = price_of(rates.cost(seconds))
    if location == "remote" or (seconds and rates.are_known):
        _check_currency(context)
    return expected.model_copy(update={"cost": round(float(price.amount), 4)})


def _check_currency(context: Spending) -> None:
    try:
        check_currency_of_month(context.store, context.settings)
    except CorruptObjectError:
        # Whoever spends money with a service meets it again, and stops. GPU time is only recorded.
        _log.warning("the ledger of this month cannot be read", exc_info=True)


def costs_of_video(store: ObjectStore, content_id: Digest) -> VideoCosts | None:
    """What the ledger knows of the costs of a video; None if that is nothing.

    An error of the ledger is logged: it must not keep a finished video from being published.
    """
    try:
        log = LedgerLog(store, ZoneInfo("UTC"))
        books = [log.book(month) for month in log.months()[-_MONTHS:]]
        return video_costs(lines_of(books), content_id, owner())
    except ReelwrightError:
        _log.warning("the costs of this video are not in its manifest", exc_info=True)
        return None
