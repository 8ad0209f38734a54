"""A published video made again with a change: the address for programs, and the forms of its
page."""

from typing import Annotated

from fastapi import APIRouter, Form, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from infra.apps.gateway.access import Maker, gateway_of
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.problems import REFUSALS, ProblemError
from infra.apps.gateway.submission import start_brief
from infra.apps.gateway.views import RunView
from pipelines.documents.parsing import sentences
from pipelines.errors import BriefError
from pipelines.planning.again import Change, again
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of
from pipelines.schema.shots import PICK

router = APIRouter()
pages = APIRouter()
Cid = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}$", description="Content id.")]


@router.post("/videos/{cid}/again", tags=["Videos"], status_code=202, responses=REFUSALS)
async def make_again(
    request: Request,
    cid: Cid,
    change: Change,
    client: Maker,
    idempotency_key: Annotated[str, Header(max_length=200)] = "",
) -> RunView:
    """Make a published video again with a change: another take of one shot or of all, another
    preset, seconds more. Every chunk that the change does not touch is kept. The old video
    stays."""
    return await _start(request, cid, change, client, idempotency_key)


@pages.post("/watch/{cid}/again")
async def again_from_page(
    request: Request,
    cid: Cid,
    client: Maker,
    key: Annotated[str, Form(max_length=100)],
    take: Annotated[int, Form()] = PICK,
    shot: Annotated[int, Form()] = 0,
    preset: Annotated[str, Form(max_length=100)] = "",
    longer: Annotated[float, Form()] = 0.0,
) -> Response:
    """The buttons below a video. `key` makes two presses of one button one run."""
    try:
        change = Change(take=take, shots=(shot,) if shot else (), preset=preset, longer=longer)
        told = digest_of(change.model_dump(mode="json"))[:16]
        view = await _start(request, cid, change, client, f"page-{key}-{told}")
    except ValidationError as error:
        return _refused(request, 422, sentences(error))
    except BriefError as error:
        return _refused(request, 422, str(error))
    except ProblemError as problem:
        return _refused(request, problem.status, problem.message)
    return RedirectResponse(f"/jobs/{view.id}", 303)


async def _start(request: Request, cid: str, change: Change, client: Client, key: str) -> RunView:
    gateway = gateway_of(request)
    manifest = await gateway.work.run(gateway.videos.manifest, Digest(cid))
    if manifest is None:
        raise ProblemError(404, "not_found", f"there is no published video {cid[:12]}…")
    return await start_brief(gateway, again(manifest.brief, change), client, key)


def _refused(request: Request, status: int, words: str) -> Response:
    return render(request, "message.html", status, title="Not made again", text=words)
