"""The service itself: health, models, routing."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from infra.adapters.weights.catalog import MODEL_SETS, MODELS
from infra.adapters.weights.library import installed_names
from infra.apps.gateway.access import Reader, gateway_of
from infra.apps.gateway.problems import REFUSALS
from infra.apps.gateway.views import name_to_install
from infra.apps.gateway.wan_requests import answering
from pipelines.backends.wan.service_tasks import WAN_TASKS

router = APIRouter(tags=["Service"])


class Health(BaseModel):
    """The gateway answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """What it needs answers too."""

    prefect: bool
    store: bool


class ModelView(BaseModel):
    """A model that can be installed."""

    id: str = Field(description="Its name for `reelwright models download`.")
    set: str = Field(description="The set that holds it; empty for one that is installed alone.")
    role: str
    name: str
    licence: str
    installed: bool


class TaskView(BaseModel):
    """A task of the Wan service and who does it here."""

    task: str
    model: str
    answered_by: str = Field(
        description="Model set or model, `demo` as a stand-in, or empty: a 409."
    )


class Models(BaseModel):
    """What is installed, and what it can do."""

    models: list[ModelView]
    tasks: list[TaskView]


@router.get("/health")
async def health() -> Health:
    """The gateway is alive."""
    return Health()


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> Any:
    """Whether Prefect and the store answered a moment ago; 503 if one did not."""
    body = Ready.model_validate(await gateway_of(request).readiness.look())
    return JSONResponse(body.model_dump(), 200 if body.prefect and body.store else 503)


@router.get("/models", responses=REFUSALS)
def models(request: Request, _: Reader) -> Models:
    """Models that are installed on this machine, and the tasks they answer."""
    gateway = gateway_of(request)
    present = installed_names(gateway.settings.paths.models)
    sets = {model: item.name for item in MODEL_SETS.values() for model in item.models}
    return Models(
        models=[
            ModelView(
                id=model.name,
                set=sets.get(model.name, ""),
                role=model.role,
                name=model.title,
                licence=model.licence,
                installed=model.name in present,
            )
            for model in MODELS.values()
        ],
        tasks=[
            TaskView(task=task.name, model=task.model, answered_by=name_to_install(backend))
            if (backend := answering(gateway, task))
            else TaskView(task=task.name, model=task.model, answered_by="")
            for task in WAN_TASKS.values()
        ],
    )
