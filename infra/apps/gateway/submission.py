"""Submits briefs to Prefect for REST, the forms and the webhooks, after checking them."""

import shutil
from uuid import UUID, uuid4

from starlette.concurrency import run_in_threadpool

from infra.adapters.weights.library import installed_names
from infra.apps.gateway.keys import Client
from infra.apps.gateway.owners import tags_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.views import RunView
from pipelines.documents.brief import Brief
from pipelines.planning.plan import check_timeline
from pipelines.schema.plan import digest_of
from pipelines.schema.presets import AUTO
from tasks.hosts import gpu_host
from tasks.translate import why_not_translated

NO_TRANSLATOR = "no_translator"
"""Code of a brief in a language that nobody here can translate."""


async def start_brief(gateway: Gateway, brief: Brief, client: Client, key: str) -> RunView:
    """A run of `brief`; with a `key` the same one however often it is asked for.

    Raises BriefError, ServerError, or ProblemError 409 if the key belongs to another brief or a
    model or a translator is missing, 507 if the disk is full.
    """
    check_timeline(brief)
    require_models(gateway, brief)
    await require_translator(gateway, brief)
    own = digest_of(["brief", client.id, key])[:40] if key else uuid4().hex
    run = await start_run(gateway, brief, f"api-{own}", tags_of(client))
    return await gateway.runs.see(run, client)


async def start_run(
    gateway: Gateway, brief: Brief, key: str, tags: list[str], *, retry: bool = True
) -> UUID:
    """As `Runs.start`, if the disk has room. Raises ProblemError 507 `disk_full`."""
    require_free_space(gateway)
    return await gateway.runs.start(brief, key, tags, retry=retry)


def require_models(gateway: Gateway, brief: Brief) -> None:
    """Raises ProblemError 409 if this machine has the models of the brief's backend, but not those
    that its inputs need besides. Where it has none of them, the GPU is on another host."""
    if brief.preset == AUTO or brief.backend.name not in gateway.installed():
        return
    here = frozenset(installed_names(gateway.settings.paths.models))
    absent = [name for name in brief.backend.models_for(brief.inputs) if name not in here]
    if absent:
        raise ProblemError(
            409,
            "model_not_installed",
            f"{brief.backend.title} needs {', '.join(absent)} for this brief, which is not here: "
            f"run: reelwright models download {' '.join(absent)}",
        )


async def require_translator(gateway: Gateway, brief: Brief) -> None:
    """Raises ProblemError 409 if it is known that nobody can translate the brief: neither this
    machine nor the GPU host."""
    # In a thread: the first text in Latin letters makes the detector load.
    reason = await run_in_threadpool(why_not_translated, brief, gateway.settings)
    if not reason:
        return
    reported = await gateway.work.run(gpu_host, gateway.store)
    if reported:
        others = reported.models
        reason = await run_in_threadpool(why_not_translated, brief, gateway.settings, others)
    elif brief.preset == AUTO or brief.backend.name not in gateway.installed():
        return  # a GPU host that has not reported may have one; the run tells
    if reason:
        raise ProblemError(409, "no_translator", reason)


def require_free_space(gateway: Gateway) -> None:
    """Raises ProblemError 507 if the disk of the data directory has less free space than
    REELWRIGHT_GATEWAY_FREE_MB. A brief accepted then would fail later, after using the GPU."""
    needed = gateway.settings.gateway.free_mb
    free = shutil.disk_usage(gateway.settings.paths.data_dir).free // 10**6
    if free < needed:
        raise ProblemError(
            507,
            "disk_full",
            f"{free:,} MB are free on the studio's disk and {needed:,} MB are needed; nothing was "
            "started; free some room, or lower REELWRIGHT_GATEWAY_FREE_MB",
        )
