"""`/new`: the form in which an editor starts a video, filled in from a preset, a campaign, a video
or a run; and what the form would take and cost, while it is filled in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from infra.apps.gateway.access import Maker, Reader, gateway_of, identify
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.listing import VideoFilter
from infra.apps.gateway.pages import to_login
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.routing import check_brief
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.submission import NO_TRANSLATOR, start_brief
from infra.apps.gateway.uploads import keep_picture
from pipelines.backends.registry import offered_sizes, presets
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError, ReelwrightError, StoreError
from pipelines.schema.keys import Digest
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.languages import AUTO as LANGUAGE_AUTO
from pipelines.schema.presets import AUTO

router = APIRouter()
EXAMPLES = (
    "a red ball moves to the right over a dark blue background",
    "A day at sea: a sailboat drifts left at dawn, a whale swims by at noon, a ship sails at night",
    "A fox trots through fresh snow, then looks up at the northern lights",
)
_WHAT = ("prompt", "language", "kind", "seconds", "image")
_LOOK = ("preset", "aspect", "size", "upscale", "style", "negative", "joins")
_PEOPLE = ("campaign", "approval", "approval_hours", "on_silence", "priority")
_SHOWN = (*_WHAT, *_LOOK, *_PEOPLE, "enhance", "seed")
"""Fields of a brief that the form has. The others travel in one hidden field."""
_MAX_REST = 100_000
"""Characters of that field."""
_OF_ONE = frozenset(
    {
        "prompt",
        "image",
        "last_image",
        "references",
        "motion",
        "storyboard",
        "shots",
        "sheet",
        "reviewed",
        "seed",
    }
)
"""Fields that say what one video shows, and not how the videos of a campaign look."""
_WRITTEN = {"storyboard", "shots", "sheet"}
"""Fields of shots that somebody wrote or changed."""


@dataclass(frozen=True)
class Filled:
    """What stands in the form."""

    values: Mapping[str, Any]
    problem: str = ""
    status: int = 200
    asks: bool = False
    """Whether nobody can translate, and the editor may go on in his own words."""

    @property
    def rest(self) -> str:
        """The fields that the form does not show, as JSON; empty if all are as usual."""
        usual = Brief.model_fields
        more = {
            name: value
            for name, value in self.values.items()
            if name in usual and name not in _SHOWN and value not in (usual[name].default, [])
        }
        return json.dumps(more) if more else ""

    @property
    def shots_by_hand(self) -> int:
        """Shots that somebody wrote or changed, which stay as they are."""
        return len(self.values.get("storyboard") or self.values.get("shots") or ())


@router.get("/new")
async def new(
    request: Request,
    preset: Annotated[str, Query(max_length=100)] = AUTO,
    campaign: Annotated[str, Query(max_length=100)] = "",
    like: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "",
    run: UUID | None = None,
) -> Response:
    """The form: empty, or with the brief of a video (`like`), of a run, or with the looks of the
    newest video of a campaign."""
    if redirect := to_login(request):
        return redirect
    gateway = gateway_of(request)
    try:
        found = await _brief_before(request, gateway, like, run, campaign)
    except (ProblemError, StoreError) as error:
        status = error.status if isinstance(error, ProblemError) else 503
        return _page(request, Filled({"preset": preset}, str(error), status))
    values = found or {"preset": preset}
    return _page(request, Filled(values | ({"campaign": campaign} if campaign else {})))


async def _brief_before(
    request: Request, gateway: Gateway, like: str, run: UUID | None, campaign: str
) -> dict[str, Any]:
    """The values of the brief to begin with. Raises ProblemError, StoreError."""
    if run:
        return await gateway.runs.brief(run, identify(request))
    if campaign and not like:
        newest = await run_in_threadpool(gateway.videos.index.page, 1, VideoFilter(campaign))
        like = newest.videos[0].id if newest.videos else ""
    if not like:
        return {}
    manifest = await gateway.work.run(gateway.videos.manifest, Digest(like))
    if manifest is None:
        raise ProblemError(404, "not_found", f"there is no published video {like[:12]}…")
    values = manifest.brief.model_dump(mode="json")
    return {k: v for k, v in values.items() if not campaign or k not in _OF_ONE}


@router.post("/new")
async def create(request: Request, client: Maker) -> Response:
    """Start what the form says. A form that cannot be made comes back with what was typed."""
    gateway = gateway_of(request)
    data = await request.form()
    values = values_of(data)
    if data.get("own") == AS_WRITTEN:
        values["language"] = AS_WRITTEN
    try:
        picture = data.get("upload")
        if isinstance(picture, UploadFile) and picture.size:
            kept = await gateway.work.run(keep_picture, gateway.store, picture.file)
            values["image"] = kept.image_path
        view = await start_brief(gateway, parse_brief(values), client, "")
    except BriefError as error:
        return _page(request, Filled(values, str(error), 422))
    except ProblemError as error:
        asks = error.code == NO_TRANSLATOR
        return _page(request, Filled(values, error.message, error.status, asks))
    except ReelwrightError as error:  # Prefect or the store is away: nothing typed is lost
        return _page(request, Filled(values, str(error), 503))
    return RedirectResponse(f"/jobs/{view.id}", 303)


@router.post("/new/forecast")
async def forecast(request: Request, _: Reader) -> HTMLResponse:
    """What the form would be made with, and what that takes and costs; or why it cannot be made.
    Starts nothing."""
    gateway = gateway_of(request)
    try:
        brief = parse_brief(values_of(await request.form()))
        found = await check_brief(gateway, brief)
    except BriefError as error:
        return render(request, "_forecast.html", problem=str(error), found=None)
    except ProblemError as error:
        return render(request, "_forecast.html", problem=error.message, found=None)
    return render(request, "_forecast.html", problem="", found=found)


def values_of(data: FormData) -> dict[str, Any]:
    """The fields of a brief in a form. What is not given has its usual value."""
    values: dict[str, Any] = {}
    rest = str(data.get("rest") or "")
    if rest and len(rest) <= _MAX_REST:
        try:
            more = json.loads(rest)
        except (ValueError, RecursionError):
            more = {}
        if isinstance(more, dict):
            values = {name: value for name, value in more.items() if name not in _SHOWN}
    # Shots by hand are made of the words before: other words, or a tick, have them written anew.
    if data.get("anew") or data.get("words_before", data.get("prompt")) != data.get("prompt"):
        values = {name: value for name, value in values.items() if name not in _WRITTEN}
    for name in _SHOWN:
        value = data.get(name)
        if isinstance(value, str) and (value or name == "prompt"):
            values[name] = int(value) if name == "upscale" and _is_whole(value) else value
    values.setdefault("prompt", "")
    return values


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and len(text) < 4


def _page(request: Request, filled: Filled) -> HTMLResponse:
    usual = {name: field.default for name, field in Brief.model_fields.items()}
    return render(
        request,
        "new.html",
        filled.status,
        values=usual | {"prompt": ""} | dict(filled.values),
        rest=filled.rest,
        by_hand=filled.shots_by_hand,
        problem=filled.problem,
        presets=[*presets().values()],
        sizes=[str(size) for size in offered_sizes()],
        auto=AUTO,
        asks=filled.asks,
        found_out=LANGUAGE_AUTO,
        as_written=AS_WRITTEN,
        codes=[*NAMES],
        examples=EXAMPLES,
        is_open=any(
            str(filled.values.get(name, usual[name])) != str(usual[name])
            for name in ("approval", "approval_hours", "priority", "enhance", "seed", "on_silence")
        ),
    )
