"""`/queue`: what waits for a person, what is being made and how long that still takes, what waits
for its turn and at which place, and what ended without a video."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from infra.apps.gateway.access import Maker, gateway_of, identify
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.pages import to_login
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.submission import start_brief
from infra.apps.gateway.views import RunView
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Route
from pipelines.errors import BriefError

router = APIRouter()
_SHOWN = 100
_ENDED = 20


@dataclass(frozen=True)
class Waiting:
    """A run of the list, with what is known of its future."""

    run: RunView
    place: int = 0
    """In the line, from 1 on; 0 if it does not wait, or stands far behind."""
    left: str = ""
    """Usual time until it is done once it is at work, such as `0:02:10`; empty if not known."""


@router.get("/queue")
async def queue(request: Request) -> Response:
    """The runs that the reader may see; their places are among everybody's."""
    if redirect := to_login(request):
        return redirect
    gateway, client = gateway_of(request), identify(request)
    runs = await gateway.runs.recent(_SHOWN, client)
    places = await gateway.line.places()
    living = [run for run in runs if not run.ended]
    waiting = await asyncio.gather(*(_look(gateway, run, places) for run in living))
    return render(
        request,
        "queue.html",
        asks=[item for item in waiting if item.run.waiting_for],
        made=[item for item in waiting if item.run.state == "running"],
        line=sorted(
            (item for item in waiting if item.run.state == "accepted"),
            key=lambda item: (not item.place, item.place),
        ),
        ended=[run for run in runs if run.ended and run.state != "completed"][:_ENDED],
        makes="make" in client.scopes,
    )


@router.post("/jobs/{run}/again")
async def again(request: Request, run: UUID, client: Maker) -> Response:
    """Start the brief of a run once more: finished parts are kept. Two presses are one run."""
    gateway = gateway_of(request)
    try:
        brief = parse_brief(await gateway.runs.brief(run, client))
        view = await start_brief(gateway, brief, client, f"again-{run}")
    except (BriefError, ProblemError) as error:
        status = error.status if isinstance(error, ProblemError) else 422
        return render(request, "message.html", status, title="Not made again", text=str(error))
    return RedirectResponse(f"/jobs/{view.id}", 303)


async def _look(gateway: Gateway, run: RunView, places: dict[UUID, int]) -> Waiting:
    route = await gateway.runs.route(run.id) if run.state == "running" else None
    return Waiting(run, places.get(run.id, 0), time_left(route, run.percent))


def time_left(route: Route | None, percent: float) -> str:
    """The rest of the usual time of a video at `percent`, to ten seconds. Empty if no time is
    known, or if the video already takes longer than usual."""
    forecast = route.chosen.forecast if route else None
    if forecast is None or not forecast.seconds or percent >= 100:
        return ""
    left = forecast.seconds * (100 - percent) / 100
    return str(timedelta(seconds=max(10, round(left, -1))))
