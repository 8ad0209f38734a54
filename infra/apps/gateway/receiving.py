"""`/hooks/{source}`: a signed delivery becomes one run, however often it comes. And the test of an
endpoint that gets our own webhooks."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Manager, gateway_of
from infra.apps.gateway.deliveries import outcome_of, require_size
from infra.apps.gateway.hooks import Source
from infra.apps.gateway.outbox import send_test
from infra.apps.gateway.problems import REFUSALS, ProblemError, refusals
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.submission import start_run

router = APIRouter(tags=["Webhooks"])
_REPEATED_FOR = 30
"""Days in which a delivery may be repeated. GitHub lets its users do so for three."""
_RESPONSES = refusals(400, 401, 404, 409, 413, 422, 429, 503, 507)


class Received(BaseModel):
    """What became of a delivery."""

    status: str
    run: str = ""
    run_url: str = ""


@router.post("/hooks/{source}", status_code=202, response_model=Received, responses=_RESPONSES)
async def receive(request: Request, source: Annotated[str, Path(max_length=40)]) -> Any:
    """Take a delivery. The same one, repeated, is answered with the same run."""
    gateway = gateway_of(request)
    found = gateway.hooks.sources.get(source)
    if found is None:
        raise ProblemError(404, "not_found", f"no webhooks are taken from {source!r}")
    body = await _body(request, found)
    headers = {name.lower(): value for name, value in request.headers.items()}
    delivery, signature = found.delivery(headers, body)
    if signature:
        await run_in_threadpool(_remember, gateway, source, signature, delivery)
    gateway.limits.count(f"hook {source}", found.per_minute)
    outcome = outcome_of(found, headers, body)
    if outcome.brief is None:
        return Received(status=outcome.sentence)
    run = await start_run(
        gateway,
        outcome.brief,
        f"hook-{source}-{hashlib.sha256(delivery.encode()).hexdigest()[:40]}",
        ["webhook", f"webhook:{source}"],
        retry=False,
    )
    where = f"/runs/{run}"
    answer = Received(status="accepted", run=where, run_url=gateway.address(where))
    return JSONResponse(answer.model_dump(), 202, headers={"Location": where})


class Tested(BaseModel):
    """What became of a test event."""

    endpoint: str
    url: str
    accepted: bool
    status: int = Field(description="HTTP status of the receiver's answer; 0: none came.")
    answer: str = Field(description="The beginning of its body.")
    error: str = Field(description="What was wrong; empty if the receiver took it.")
    seconds: float


@router.post("/webhooks/{endpoint}/test", responses=REFUSALS)
async def send_to_endpoint(
    request: Request, endpoint: Annotated[str, Path(max_length=40)], _: Manager
) -> Tested:
    """Send a signed event of the type `test` to an endpoint of the operator's file, once, and say
    what the receiver answered."""
    gateway = gateway_of(request)
    found = next((item for item in gateway.hooks.endpoints if item.name == endpoint), None)
    if found is None:
        names = ", ".join(item.name for item in gateway.hooks.endpoints) or "none"
        raise ProblemError(
            404, "not_found", f"there is no endpoint {endpoint!r}; there are: {names}"
        )
    sent = await send_test(found, gateway.settings.gateway.base_url)
    return Tested(
        endpoint=found.name,
        url=found.url,
        accepted=not sent.error,
        status=sent.status,
        answer=sent.answer,
        error=sent.error,
        seconds=round(sent.seconds, 3),
    )


async def _body(request: Request, source: Source) -> bytes:
    """The body, given up as soon as it is too long. Raises ProblemError 413."""
    blocks, size = [], 0
    async for block in request.stream():
        size += len(block)
        require_size(source, size)
        blocks.append(block)
    return b"".join(blocks)


def _remember(gateway: Gateway, source: str, signature: str, delivery: str) -> None:
    """A signature belongs to one delivery, and signatures without a time are never forgotten.

    A repeat gets the run of the first time, so it is taken only as long as Prefect keeps that run
    in any case. Raises ProblemError 401 for a repeat that is too late, or has another id.
    """
    gateway.database.run(
        "insert or ignore into deliveries values (?, ?, ?, ?)",
        (source, signature, delivery, time.time()),
    )
    rows = gateway.database.rows(
        "select delivery, seen from deliveries where source = ? and signature = ?",
        (source, signature),
    )
    ((known, seen),) = rows
    if known != delivery:
        raise ProblemError(401, "replayed", "this signature came with another delivery before")
    days = min(_REPEATED_FOR, gateway.settings.retention.prefect_days or _REPEATED_FOR)
    if seen < time.time() - days * 24 * 3600:
        raise ProblemError(
            401, "replayed", f"this delivery came before, and is taken again for {days} days only"
        )
