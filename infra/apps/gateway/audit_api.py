"""The audit log for operators, and who one is oneself."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from infra.apps.gateway import audit
from infra.apps.gateway.access import Manager, Reader, gateway_of
from infra.apps.gateway.api import NEXT, Since, Until
from infra.apps.gateway.problems import REFUSALS

router = APIRouter(prefix="/api/v1", tags=["Service"])


class AuditEntry(BaseModel):
    """One thing that somebody did."""

    number: int = Field(description="Counts up; a gap means that old entries were removed.")
    at: datetime
    who: str = Field(description="A user or key, `operator`, `webhook:…`, or the command line.")
    who_id: str = Field(description="Another one if somebody else has the name later.")
    action: str = Field(examples=["run.started"])
    subject: str = Field(description="The run, video, user or key.")
    detail: str
    address: str = Field(description="That the request came from.")


class Me(BaseModel):
    """Who sent the request."""

    name: str
    scopes: list[str]


@router.get("/me", responses=REFUSALS)
async def me(client: Reader) -> Me:
    """Whose key or session it is, and what it may do."""
    return Me(name=client.name, scopes=sorted(client.scopes))


@router.get("/audit", responses=REFUSALS | NEXT)
def entries(
    request: Request,
    response: Response,
    _: Manager,
    who: Annotated[str, Query(max_length=100, description="Only of that name.")] = "",
    action: Annotated[
        str, Query(max_length=100, description="Such as `run.started`, or `run` for all of them.")
    ] = "",
    subject: Annotated[str, Query(max_length=300, description="Such as a run's id.")] = "",
    since: Since = None,
    until: Until = None,
    before: Annotated[int, Query(ge=0, le=2**62, description="From a Link header.")] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[AuditEntry]:
    """Who did what, the newest first."""
    wanted = audit.Wanted(
        who, action, subject, _text(since), _text(until), before=before, limit=limit
    )
    more = replace(wanted, limit=limit + 1)
    found = audit.entries(gateway_of(request).database, more)
    if len(found) > limit:
        query = dict(request.query_params) | {"before": found[limit - 1].number}
        response.headers["Link"] = f'</api/v1/audit?{urlencode(query)}>; rel="next"'
    return [AuditEntry.model_validate(entry.as_dict()) for entry in found[:limit]]


def _text(when: datetime | None) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds") if when else ""
