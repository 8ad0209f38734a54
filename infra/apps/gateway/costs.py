"""What the studio spends, for its managers: a page with a chart, JSON, CSV."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from infra.adapters.ledger.ledger import log_of
from infra.apps.gateway.access import Manager, gateway_of, identify
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.problems import REFUSALS, ProblemError
from infra.apps.gateway.store_work import at_store
from pipelines.costs.book import Line
from pipelines.costs.entries import MONTH
from pipelines.costs.report import csv_of, page_values, values_of
from pipelines.costs.summary import By, sums_of

router = APIRouter(tags=["Costs"])
pages = APIRouter()
_MOST_VIDEOS = 200
"""Of a page; the CSV has all."""
Month = Annotated[
    str, Query(pattern=f"^(?:{MONTH})?$", description="As `2026-11`; empty: the present one.")
]


class CostSum(BaseModel):
    """Amounts are decimal numbers as text, so that no program makes them inexact."""

    key: str
    jobs: int
    jobs_without_cost: int
    billed: str
    estimated: str
    unknown: str = Field(description="The answer was lost: the whole price counts.")
    reserved: str
    gpu: str
    gpu_seconds: str
    total: str


class Costs(BaseModel):
    """What was spent in a month, and what is reserved."""

    month: str
    currency: str
    by: By
    sums: list[CostSum]
    total: CostSum


@router.get("/api/v1/costs", response_model=Costs, responses=REFUSALS)
@at_store
def costs(request: Request, _: Manager, month: Month = "", by: By = "campaign") -> Any:
    """What was spent in a month by campaign, backend, video or day. For keys that may `manage`."""
    month, lines, currency = _read(request, month)[1:]
    return values_of(lines, month, by, currency)


@pages.get("/costs.csv")
@at_store
def costs_csv(request: Request, _: Manager, month: Month = "") -> Response:
    """A row for every job and every use of the GPU."""
    month, lines = _read(request, month)[1:3]
    name = f'attachment; filename="costs-{month}.csv"'
    return Response(
        csv_of(lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": name, "Cache-Control": "private, no-store"},
    )


@pages.get("/costs")
@at_store
def costs_page(request: Request, month: Month = "") -> Response:
    """The month as a chart and as tables."""
    try:
        client = identify(request)
    except ProblemError:
        to = f"{request.url.path}?{request.url.query}".rstrip("?")
        return RedirectResponse(f"/login?{urlencode({'to': to})}", 303)
    if "manage" not in client.scopes:
        values = {"title": "Not for this key", "text": "Costs are shown to keys that may manage."}
        return render(request, "message.html", 403, **values)
    months, month, lines, currency = _read(request, month)
    videos = [item for item in sums_of(lines, "video") if item.key]
    values = page_values(lines, month, currency) | {
        "months": months,
        "videos": videos[:_MOST_VIDEOS],
        "more_videos": max(len(videos) - _MOST_VIDEOS, 0),
    }
    return render(request, "costs.html", **values)


def _read(request: Request, month: str) -> tuple[list[str], str, list[Line], str]:
    """All months that have costs; the month that is meant, its lines, and their currency."""
    gateway = gateway_of(request)
    log = log_of(gateway.store, gateway.settings)
    months = log.months()
    month = month or log.present_month()
    lines = list(log.book(month).lines.values())
    currency = lines[-1].price.currency if lines else gateway.settings.costs.currency
    return sorted({*months, month}), month, lines, currency
