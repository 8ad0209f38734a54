"""`/api/v1/route`: what a request would be made with, and why."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from infra.apps.gateway.access import Reader, gateway_of
from infra.apps.gateway.problems import REFUSALS, ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.store_work import at_store
from infra.apps.gateway.submission import require_models, require_translator
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definition_of, presets
from pipelines.backends.wan.service_tasks import WAN_TASKS
from pipelines.documents.brief import Brief, Priority
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Alternative, Candidate, Route
from pipelines.errors import BudgetError, UnavailableError
from pipelines.planning.plan import check_timeline
from pipelines.routing.policy import Policy, Weights
from pipelines.routing.router import find_route
from pipelines.schema.limits import MIN_SECONDS
from pipelines.schema.presets import AUTO, Preset
from pipelines.schema.shots import MAX_PROMPT
from tasks.hosts import gpu_host
from tasks.surroundings import HostSurroundings, measured_of, policy_of

router = APIRouter(tags=["Service"])
Modality = Literal["image", "video"]
_USUAL_SECONDS = 4.0
_BEST = Weights(quality=0.9, cost=0.05, speed=0.05)
"""Weights for a client that prefers quality."""
_WAN_NAMES = {task.backend: task.model for task in WAN_TASKS.values() if task.backend}
"""Names of models that clients of the Wan service know."""


class RouteContext(BaseModel):
    """What matters to whoever asks."""

    model_config = ConfigDict(extra="ignore")

    prefer_quality: bool = False
    max_duration: float | None = Field(None, gt=0, le=600, description="Seconds.")
    campaign: str = Field("", max_length=100, description="For rules of the policy.")
    priority: Priority = "normal"


class RouteRequest(BaseModel):
    """What a video or picture shall show, and what matters."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "query": "a red ball moves right",
                    "modality": "video",
                    "context": {"prefer_quality": True, "max_duration": 8},
                }
            ]
        },
    )

    query: str = Field(min_length=1, max_length=MAX_PROMPT)
    modality: Modality = "video"
    preset: str = Field(AUTO, max_length=100, description="A preset, to see what it would cost.")
    context: RouteContext = RouteContext()


class RouteAnswer(BaseModel):
    """What a request would be made with, and why."""

    preset: str
    model: str
    model_set: str = Field(description="`demo` or `studio`; empty for a remote backend.")
    seconds: float = Field(description="Length of the video, 0 for a picture.")
    stands_in_for: str = Field(
        "",
        description="The model of `video_fast`, or of `video_high` with `prefer_quality`, if it is "
        "not installed and the demo is used.",
    )
    reasons: tuple[str, ...]
    text: tuple[str, ...] = Field(
        description="The whole decision as lines, as `reelwright route` prints it and the run's "
        "page shows it."
    )
    run_seconds: float | None = Field(
        description="How long making it would take, without the start of its run and publishing, "
        "which no run measures."
    )
    memory_bytes: int | None = Field(description="Most on the device at once.")
    price: str = Field(description="What a remote backend would ask for at most; empty: nothing.")
    candidates: tuple[Candidate, ...] = Field(description="In the order in which they are tried.")
    alternatives: tuple[Alternative, ...] = Field(description="All other presets, and why not.")


@router.post("/api/v1/route", response_model=RouteAnswer, responses=REFUSALS)
@at_store
def route(request: Request, body: RouteRequest, _: Reader) -> Any:
    """Which preset and model a request would get, and why. Starts nothing."""
    gateway = gateway_of(request)
    policy = policy_of(gateway.settings)
    if body.context.prefer_quality:
        policy = policy.model_copy(update={"weights": _BEST})
    brief = _brief_of(body)
    usual = f"{body.modality}_{'high' if body.context.prefer_quality else 'fast'}"
    return _answer(_find(gateway, brief, policy), brief, presets()[usual])


@router.post("/briefs/check", tags=["Runs"], response_model=RouteAnswer, responses=REFUSALS)
async def check(request: Request, body: dict[str, Any], _: Reader) -> Any:
    """What a brief would be made with, how long that takes and what it costs. Starts nothing; a
    brief that `POST /briefs` would refuse is refused in the same words."""
    return await check_brief(gateway_of(request), parse_brief(body))


async def check_brief(gateway: Gateway, brief: Brief) -> RouteAnswer:
    """The same for a brief that was read. Raises BriefError, ProblemError."""
    check_timeline(brief)
    require_models(gateway, brief)
    await require_translator(gateway, brief)
    usual = presets()["image_fast" if brief.kind == "image" else "video_fast"]
    policy = policy_of(gateway.settings)
    found = await gateway.work.run(_find, gateway, brief, policy)
    return await gateway.work.run(_answer, found, brief, usual)


def preset_for(gateway: Gateway, prompt: str, *, begins: bool) -> Preset:
    """The preset that a video without a named model gets. `begins`: it begins with a picture.

    It may ask remote services and the store. Raises ProblemError 409 if there is none, BriefError
    for words that are no brief.
    """
    image = f"uploads/{'0' * 64}.png" if begins else ""  # its name does not matter here
    values = {"prompt": prompt, "preset": AUTO, "enhance": False, "image": image}
    route = _find(gateway, parse_brief(values), policy_of(gateway.settings))
    return presets()[route.chosen.preset]


def _find(gateway: Gateway, brief: Brief, policy: Policy) -> Route:
    """Raises ProblemError 409 if nothing can make it."""
    surroundings = HostSurroundings(gateway.settings, reported=gpu_host(gateway.store))
    try:
        return find_route(brief, policy, surroundings, measured_of(gateway.store))
    except BudgetError as error:
        raise ProblemError(409, "above_cap", str(error)) from error
    except UnavailableError as error:
        raise ProblemError(409, "model_not_installed", str(error)) from error


def _brief_of(body: RouteRequest) -> Brief:
    """A usual brief. Raises BriefError for a query that is none."""
    seconds = max(MIN_SECONDS, min(_USUAL_SECONDS, body.context.max_duration or _USUAL_SECONDS))
    return parse_brief(
        {
            "prompt": body.query,
            "kind": body.modality,
            "seconds": seconds,
            "preset": body.preset,
            "campaign": body.context.campaign,
            "priority": body.context.priority,
        }
    )


def _answer(found: Route, brief: Brief, usual: Preset) -> RouteAnswer:
    """`usual` is the preset that a client without a preset gets where its models are installed."""
    chosen = found.chosen
    backend, forecast = definition_of(presets()[chosen.preset]), chosen.forecast
    missing = _missing(found, usual) if backend.stand_in else None
    limit = f"{brief.seconds:g} s is the length that is asked for, or the usual one"
    return RouteAnswer(
        preset=chosen.preset,
        model=_name_of(backend),
        model_set="" if backend.capabilities.location == "remote" else backend.model_set,
        seconds=0.0 if brief.kind == "image" else brief.seconds,
        stands_in_for=_name_of(missing) if missing else "",
        reasons=(
            f"{brief.kind} was asked for",
            *([limit] if brief.kind == "video" else []),
            *found.reasons,
            *chosen.reasons,
            *([f"{missing.title} is not installed"] if missing else []),
        ),
        text=tuple(found.lines()),
        run_seconds=forecast.seconds if forecast else None,
        memory_bytes=forecast.memory_bytes if forecast else None,
        price=str(forecast.price) if forecast and forecast.price else "",
        candidates=found.candidates,
        alternatives=found.alternatives,
    )


def _missing(found: Route, usual: Preset) -> BackendDefinition | None:
    """The backend of `usual`, if it would be used and only lacks its models."""
    lacks = any(
        item.preset == usual.name and item.cause == "unavailable" for item in found.alternatives
    )
    return definition_of(usual) if lacks else None


def _name_of(backend: BackendDefinition) -> str:
    return _WAN_NAMES.get(backend.name, backend.title)
