"""Which language a reader gets: the one that he chose by a link, else what the browser asks for."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import RedirectResponse
from starlette.requests import HTTPConnection

from infra.apps.gateway.languages.catalog import ENGLISH, LANGUAGES

COOKIE = "reelwright_language"
KEPT_SECONDS = 365 * 24 * 3600
"""How long a browser keeps the choice."""
_MAX_RANGES = 20
"""Of an Accept-Language header that are read; browsers send a handful."""
router = APIRouter()


def language_of(request: HTTPConnection) -> str:
    """The code of the language in which `request` is answered; English if it names none of
    ours."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES.names:
        return chosen
    return negotiated(request.headers.get("accept-language", ""))


def negotiated(accepted: str) -> str:
    """The language of ours that an Accept-Language header likes best; English if there is none."""
    wanted: list[tuple[float, str]] = []
    for item in accepted.split(",")[:_MAX_RANGES]:
        tag, _, weight = item.partition(";")
        code = tag.strip().partition("-")[0].lower()
        if code in LANGUAGES.names and (quality := _quality(weight)) > 0:
            wanted.append((quality, code))
    return max(wanted, key=lambda item: item[0])[1] if wanted else ENGLISH


def _quality(weight: str) -> float:
    """The number of `q=0.8`; 1 if there is none, 0 if it is no number."""
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(max(float(value), 0.0), 1.0) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def own_path(path: str) -> str:
    """`path` if it is one of ours: nobody is sent to another site."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


@router.get("/language/{code}")
def choose(code: str, to: Annotated[str, Query(max_length=500)] = "/") -> Response:
    """Keep the choice of a language, and go back to the page."""
    if code not in LANGUAGES.names:
        raise HTTPException(404, "there is no such language")
    response = RedirectResponse(own_path(to), 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(COOKIE, code, max_age=KEPT_SECONDS, httponly=True, samesite="lax")
    return response
