"""The page of all backends and models, and the same as JSON."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Reader, gateway_of
from infra.apps.gateway.api import page_of
from infra.apps.gateway.cards import BackendCard, Cards, Need, chosen
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.pages import to_login
from infra.apps.gateway.problems import REFUSALS
from infra.apps.gateway.store_work import at_store
from tasks.surroundings import measured_of

router = APIRouter()
_NEWEST = 100
"""Videos among which a sample is looked for."""
Needs = Annotated[list[Need], Query(default_factory=list)]


@router.get("/marketplace", include_in_schema=False)
async def model_page(
    request: Request, need: Needs, usable: bool = False, free: bool = False
) -> Response:
    """Everything that can make a video here, or could."""
    if redirect := to_login(request):
        return redirect
    cards = await run_in_threadpool(_cards, request)
    found = list(chosen(cards, need, usable=usable, free=free))
    return render(
        request,
        "models.html",
        cards=found,
        all=len(cards),
        need=need,
        usable=usable,
        free=free,
    )


@router.get("/api/v1/backends", tags=["Service"], responses=REFUSALS)
@at_store
def backends(
    request: Request,
    _: Reader,
    need: Needs,
    usable: bool = False,
    free: bool = False,
) -> list[BackendCard]:
    """Every backend: what it takes and makes, whether it can be used now, and what it costs."""
    return list(chosen(_cards(request), need, usable=usable, free=free))


def _cards(request: Request) -> list[BackendCard]:
    gateway = gateway_of(request)
    videos = page_of(request, _NEWEST, "", "").videos
    return Cards(gateway.settings, measured_of(gateway.store)).all(videos)
