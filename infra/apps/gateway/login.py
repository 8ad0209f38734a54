"""`/login`: starts a session for a browser with a key or a one-time link."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from infra.apps.gateway import sessions
from infra.apps.gateway.access import COOKIE, client_with_key, gateway_of, is_own_page
from infra.apps.gateway.keys import OPERATOR, Client
from infra.apps.gateway.languages.choice import own_path
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.problems import ProblemError

router = APIRouter()
_USED = "This link was used, or is older than 15 minutes. Print another one: reelwright login"
_UNKNOWN = "This key is not known, or was revoked."


@router.get("/login")
async def login_page(
    request: Request,
    to: Annotated[str, Query(max_length=300)] = "/",
    token: Annotated[str, Query(max_length=100)] = "",
) -> Response:
    """Where a browser without a session is sent; with the token of a link, it gets one."""
    if not token:
        return _page(request, to)
    if "prefetch" in request.headers.get("sec-purpose", request.headers.get("purpose", "")):
        return Response(status_code=204)  # looked at by the browser, not by its user
    gateway = gateway_of(request)
    if not sessions.use_link(gateway.database, token):
        _count_failure(request)
        return _page(request, to, _USED, 401)
    return _begun(request, OPERATOR, to)


@router.post("/login")
async def login(
    request: Request,
    key: Annotated[str, Form(max_length=200)],
    to: Annotated[str, Form(max_length=300)] = "/",
) -> Response:
    """Begin a session of the key's client."""
    if not is_own_page(request):  # a foreign page could log a browser in as somebody else
        raise ProblemError(403, "forbidden", "log in on the gateway's own page: GET /login")
    client = client_with_key(gateway_of(request), key.strip())
    if client is None:
        _count_failure(request)
        return _page(request, to, _UNKNOWN, 401)
    return _begun(request, client, to)


def _begun(request: Request, client: Client, to: str) -> Response:
    """Sent on without the token in the address, with a cookie that no script and no other site
    gets."""
    gateway = gateway_of(request)
    response = RedirectResponse(own_path(to), 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        sessions.begin(gateway.database, client),
        max_age=sessions.SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=gateway.settings.gateway.base_url.startswith("https:"),
    )
    return response


def _page(request: Request, to: str, problem: str = "", status: int = 200) -> HTMLResponse:
    headers = {"Cache-Control": "no-store"}
    return render(request, "login.html", status, headers, to=own_path(to), problem=problem)


def _count_failure(request: Request) -> None:
    """Raises ProblemError 429 for who fails too often. Success is not counted: others with the
    same address, as behind a proxy, must not keep the operator out."""
    peer = request.client.host if request.client else ""
    gateway_of(request).limits.count(f"login {peer}")
