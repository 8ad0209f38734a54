"""Starts runs of `produce-content`: one for a request, however often it is asked for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.problems import ProblemError, prefect_errors
from infra.apps.gateway.views import RunView
from pipelines.documents.brief import Brief
from pipelines.documents.brief_form import parameters_of
from pipelines.errors import ServerError
from pipelines.schema.names import brief_deployment
from pipelines.schema.plan import digest_of
from tasks.run_names import name_of

_ATTEMPTS = 20


class Starts:
    """The starts of one gateway."""

    def __init__(
        self, client: PrefectClient, look: Callable[[UUID], Awaitable[RunView | None]]
    ) -> None:
        """`look` tells the state of a run."""
        self._client, self._look = client, look
        self._under_way: dict[str, asyncio.Lock] = {}
        self._deployments: dict[str, UUID] = {}
        self.on_start: Callable[[UUID, Brief, list[str]], None] = lambda *_: None
        """Told of every start, with the run's tags; a request that is repeated starts again."""

    async def start(self, brief: Brief, key: str, tags: list[str], *, retry: bool = True) -> UUID:
        """The run for `key`: a new one, or the one that the same request started before.

        With `retry`, one that failed or was cancelled makes room for another attempt. Raises
        ProblemError 409 if the key was used for another brief.
        """
        # Prefect itself makes one run of a key; fifty repeats at once would all wait for it.
        lock = self._under_way.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                run = await self._start(brief, key, tags, retry)
            await run_in_threadpool(self.on_start, run, brief, tags)
            return run
        finally:
            if not lock.locked():
                self._under_way.pop(key, None)

    async def _start(self, brief: Brief, key: str, tags: list[str], retry: bool) -> UUID:
        parameters = parameters_of(brief)
        for attempt in range(1, _ATTEMPTS + 1):
            own = f"{key}-{attempt}"
            name = name_of(brief.prompt, digest_of(own))
            run = await self._create(brief.priority, parameters, own, tags, name)
            if not _is_of(run.parameters, brief):
                raise ProblemError(
                    409,
                    "key_reused",
                    "this idempotency key belongs to another request; take a new key",
                )
            view = await self._look(run.id)
            if not retry or view is None or view.state not in ("failed", "cancelled", "rejected"):
                return run.id
        raise ProblemError(409, "too_many_failures", f"{_ATTEMPTS} runs of this request failed")

    async def _create(
        self, priority: str, parameters: dict[str, Any], key: str, tags: list[str], name: str
    ) -> FlowRun:
        try:
            with prefect_errors():
                if priority not in self._deployments:
                    deployment = brief_deployment(priority)
                    found = await self._client.read_deployment_by_name(deployment)
                    self._deployments[priority] = found.id
                return await self._client.create_flow_run_from_deployment(
                    self._deployments[priority],
                    parameters=parameters,
                    idempotency_key=key,
                    tags=tags,
                    name=name,
                )
        except ObjectNotFound as error:
            self._deployments.clear()
            raise ServerError("produce-content is not deployed; run: reelwright deploy") from error


def _is_of(parameters: dict[str, Any], brief: Brief) -> bool:
    """Whether a run was started for `brief`, perhaps by an earlier version, whose briefs lack the
    fields that came later."""
    try:
        return Brief.model_validate(parameters.get("brief")) == brief
    except ValidationError:
        return False
