"""`/benchmarks`: people rate the videos of a comparison, two at a time, without knowing who made
which.

The addresses of the videos name a pair and a side, and nothing else does. Ratings lie in the
bucket, one for each rater and pair; the first one stays. Nobody sees the ratings of others here:
the report has them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.access import Approver, gateway_of, identify, require
from infra.apps.gateway.keys import LOCAL, OPERATOR, Client
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import at_store
from pipelines.benchmark.blind import (
    MAX_NAME,
    Choice,
    Pair,
    Rating,
    Side,
    film_on,
    order_for,
    pairs_of,
    rater_key,
    rater_name,
    rating_file,
    rating_of,
)
from pipelines.benchmark.request import LATEST
from pipelines.benchmark.samples import Sample
from pipelines.schema.keys import ObjectKey

router = APIRouter()
_NAME = r"^[a-z0-9][a-z0-9-]{0,59}$"
Name = Annotated[str, PathParameter(pattern=_NAME)]
PairId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{16}$")]
RaterQuery = Annotated[str, Query(max_length=200)]
Signature = tuple[tuple[str, str], ...]
"""Keys and ETags of the outcomes of a comparison: the same until one of them changes."""


@router.get("/benchmarks")
@at_store
def comparisons(request: Request) -> Response:
    """The comparisons that there are."""
    if redirect := _to_login(request):
        return redirect
    folders = gateway_of(request).store.folders("benchmarks/")
    names = [name for name in folders if name != LATEST]
    return _render(request, "benchmarks.html", names=names)


@router.get("/benchmarks/{name}")
@at_store
def rate(request: Request, name: Name, rater: RaterQuery = "") -> Response:
    """The next pair that this rater has not rated; without a name, the question for it."""
    if redirect := _to_login(request):
        return redirect
    return _page(request, name, rater, identify(request))


@router.post("/benchmarks/{name}")
@at_store
def rated(
    request: Request,
    name: Name,
    client: Approver,
    rater: Annotated[str, Form(max_length=200)],
    pair: Annotated[str, Form(max_length=16)],
    left: Annotated[int, Form(ge=1, le=5)],
    right: Annotated[int, Form(ge=1, le=5)],
    preference: Annotated[Choice, Form()],
) -> Response:
    """Keep a rating. The first one of a rater for a pair stays."""
    store = gateway_of(request).store
    seen = next((item for item in _pairs_of(store, name) if item.id == pair), None)
    if seen is None:
        raise ProblemError(404, "not_found", "there is no such pair any more; load the page again")
    try:
        _check_owner(store, name, rater, client)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rating = rating_of(seen, rater, client.id, (left, right), preference, now)
    except ValueError as error:
        return _page(request, name, "", client, problem=_words(error), status=422)
    except ProblemError as error:
        return _page(request, name, "", client, problem=error.message, status=error.status)
    key = ObjectKey.benchmark(name, rating_file(seen.id, rater))
    if not store.put_if_absent(key, rating.model_dump_json().encode(), "application/json"):
        words = "You have rated that pair before, and the first rating stays. This is the next one."
        return _page(request, name, rater, client, problem=words, status=409)
    query = urlencode({"rater": rating.rater})
    return RedirectResponse(f"/benchmarks/{name}?{query}", 303)


@router.get("/benchmarks/{name}/clips/{pair}/{side}.mp4")
async def clip(
    request: Request,
    name: Name,
    pair: PairId,
    side: Side,
    rater: Annotated[str, Query(max_length=200)],
) -> Response:
    """The video on one side of a pair. Ranges are served, so that players can seek."""
    require(identify(request), "approve")  # not as a dependency: that counts it as a write
    gateway = gateway_of(request)

    def find() -> Any:
        seen = next((item for item in _pairs_of(gateway.store, name) if item.id == pair), None)
        if seen is None:
            raise ProblemError(404, "not_found", "there is no such pair")
        cid = film_on(side, rater, seen)
        wanted = request.headers.get("range", "")
        return gateway.videos.part(f"{cid}.mp4", wanted, unpublished=False)

    part = await gateway.work.run(find)
    await gateway.videos.verify(part.found)
    # No ETag: it would be the checksum by which the video is known elsewhere.
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "Content-Length": str(part.length),
    }
    if not part.is_all:
        headers["Content-Range"] = f"bytes {part.start}-{part.end}/{part.found.size}"
    blocks = await gateway.work.stream(gateway.videos.stream(part))
    return StreamingResponse(blocks, 200 if part.is_all else 206, headers, "video/mp4")


def _page(
    request: Request,
    name: str,
    rater: str,
    client: Client,
    *,
    problem: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The next pair for `rater`, or the question for a name."""
    store = gateway_of(request).store
    pairs = _pairs_of(store, name)
    values: dict[str, Any] = {"name": name, "rater": "", "pair": None, "total": len(pairs)}
    values |= {"problem": problem, "done": 0, "longest": MAX_NAME, "suggested": _suggested(client)}
    if rater and pairs:
        try:
            values["rater"] = rater_name(rater)
            _check_owner(store, name, rater, client)
        except (ValueError, ProblemError) as error:
            values |= {"rater": "", "problem": _words(error)}
            return _render(request, "rate.html", 422, **values)
        done = _rated_by(store, name, rater)
        waiting = [pair for pair in order_for(rater, pairs) if pair.id not in done]
        values |= {"done": len(pairs) - len(waiting), "pair": waiting[0] if waiting else None}
    return _render(request, "rate.html", status, **values)


def _suggested(client: Client) -> str:
    """A key has a person's name; the operator and this machine have none."""
    return "" if client.id in (OPERATOR.id, LOCAL.id) else client.name


def _pairs_of(store: ObjectStore, name: str) -> tuple[Pair, ...]:
    """The pairs of a comparison; none if there is no such comparison."""
    entries = store.entries(f"benchmarks/{name}/sample-")
    return _read_pairs(store, name, tuple((entry.key, entry.etag) for entry in entries))


@lru_cache(maxsize=8)
def _read_pairs(store: ObjectStore, name: str, signature: Signature) -> tuple[Pair, ...]:
    """Reading the outcomes costs a request each, so it is done once for each state of them."""
    samples = list(_samples(store, signature))
    return tuple(pairs_of(name, sorted({item.candidate for item in samples}), samples))


def _samples(store: ObjectStore, signature: Signature) -> Iterator[Sample]:
    for key, _ in signature:
        data = store.get_bytes(ObjectKey(key))
        if data is not None:
            try:
                yield Sample.model_validate_json(data)
            except ValidationError:
                continue  # of another version: it cannot be shown


def _rated_by(store: ObjectStore, name: str, rater: str) -> set[str]:
    """Ids of the pairs that this rater has rated."""
    return {key.split("-")[-2] for key in _ratings_of(store, name, rater)}


def _ratings_of(store: ObjectStore, name: str, rater: str) -> list[ObjectKey]:
    own = f"-{rater_key(rater)}.json"
    keys = store.list_keys(f"benchmarks/{name}/rating-")
    return [key for key in keys if key.endswith(own)]


def _check_owner(store: ObjectStore, name: str, rater: str, client: Client) -> None:
    """Raises ProblemError 409 if another key has rated under this name: nobody votes as somebody
    else. ValueError if it is no name."""
    for key in _ratings_of(store, name, rater)[:1]:
        data = store.get_bytes(key)
        if data is not None and Rating.model_validate_json(data).client != client.id:
            raise ProblemError(
                409,
                "name_taken",
                f"ratings under the name {rater_name(rater)!r} come from another key; take "
                "another name",
            )


def _words(error: ValueError | ProblemError) -> str:
    if isinstance(error, ProblemError):
        return error.message
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(error)


def _render(request: Request, page: str, status: int = 200, **values: Any) -> HTMLResponse:
    headers = {"Cache-Control": "no-store"}  # the next pair, and not the last one again
    return render(request, page, status, headers, **values)


def _to_login(request: Request) -> Response | None:
    try:
        client = identify(request)
    except ProblemError:
        return RedirectResponse(f"/login?{urlencode({'to': request.url.path})}", 303)
    require(client, "approve")
    return None
