"""`/login`: starts a session for a browser with a password, a key or a one-time link."""

from contextlib import suppress
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway import audit, sessions, users
from infra.apps.gateway.access import COOKIE, client_with_key, gateway_of, identify, is_own_page
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.choice import own_path
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.passwords import LONGEST
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.state import Gateway

router = APIRouter()
_USED = "This link was used, or is older than 15 minutes. Print another one: reelwright login"
_UNKNOWN = "This key is not known, or was revoked."
_FOR_PROGRAMS = "This key belongs to a user, and is for programs. Log in as that user instead."
_WRONG = "There is no user with this name and password, or the user is disabled."
_WAITING = 30
"""Passwords that wait to be looked at, each for about a tenth of a second of a core."""
_GUESSES = 10
"""Wrong passwords a minute for one name from one address. Further ones are not looked at, not even
a right one, or guessing would go on."""
_RECORDED = 10
"""Failed logins a minute, of everybody, that stand in the audit log."""


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
    client = sessions.use_link(gateway_of(request).database, token)
    if client is None:
        await _note_failure(request, "a link that is used or old")
        return _page(request, to, _USED, 401)
    return await _begun(request, client, to, "link")


@router.post("/login")
async def login(
    request: Request,
    key: Annotated[str, Form(max_length=200)] = "",
    name: Annotated[str, Form(max_length=100)] = "",
    password: Annotated[str, Form(max_length=LONGEST + 100)] = "",
    to: Annotated[str, Form(max_length=300)] = "/",
) -> Response:
    """Begin a session of the key's client, or of the user with this name and password."""
    if not is_own_page(request):  # a foreign page could log a browser in as somebody else
        raise ProblemError(403, "forbidden", "log in on the gateway's own page: GET /login")
    if name and not key:
        return await _with_password(request, name.strip(), password, to)
    client = client_with_key(gateway_of(request), key.strip())
    if client is None or client.id.startswith(users.PREFIX):
        await _note_failure(request, "a key that is unknown, expired or of a user")
        return _page(request, to, _FOR_PROGRAMS if client else _UNKNOWN, 401)
    return await _begun(request, client, to, "key")


async def _with_password(request: Request, name: str, password: str, to: str) -> Response:
    gateway = gateway_of(request)
    if not gateway.settings.gateway.passwords:
        raise ProblemError(
            403, "forbidden", "nobody logs in with a password here; ask the operator for the way"
        )
    peer = request.client.host if request.client else ""
    guesses = f"password {name} {peer}"
    gateway.limits.count(guesses, _GUESSES)  # before the check: many may come at once
    if gateway.checks.statistics().tasks_waiting >= _WAITING:
        raise ProblemError(
            503,
            "too_many",
            "many people log in at the same time; try again in a while",
            headers={"Retry-After": "5"},
        )
    client = await to_thread.run_sync(
        users.client_of, gateway.database, name, password, limiter=gateway.checks
    )
    if client is None:
        await _note_failure(request, f"a wrong password for {name!r:.70}")
        return _page(request, to, _WRONG, 401)
    gateway.limits.give_back(guesses, _GUESSES)
    return await _begun(request, client, to, "password")


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End the session of this browser."""
    if not is_own_page(request):
        raise ProblemError(403, "forbidden", "log out on the gateway's own page")
    gateway, token = gateway_of(request), request.cookies.get(COOKIE, "")
    client = sessions.client_of_session(gateway.database, token)
    if client:
        sessions.end_with(gateway.database, token)
        await _record(request, gateway, client, "session.ended", "logged out")
    response = RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(COOKIE)
    return response


async def _begun(request: Request, client: Client, to: str, way: str) -> Response:
    """Sent on without the token in the address, with a cookie that no script and no other site
    gets."""
    gateway = gateway_of(request)
    peer = request.client.host if request.client else ""
    await _record(request, gateway, client, "session.begun", way)
    response = RedirectResponse(own_path(to), 303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        sessions.begin(gateway.database, client, way, peer),
        max_age=sessions.SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=gateway.settings.gateway.base_url.startswith("https:"),
    )
    return response


def _page(request: Request, to: str, problem: str = "", status: int = 200) -> HTMLResponse:
    try:
        who = identify(request).name
    except ProblemError:
        who = ""
    passwords = gateway_of(request).settings.gateway.passwords
    headers = {"Cache-Control": "no-store"}
    values = {"to": own_path(to), "problem": problem, "who": who, "passwords": passwords}
    return render(request, "login.html", status, headers, **values)


async def _note_failure(request: Request, what: str) -> None:
    """Raises ProblemError 429 for who fails too often. Success is not counted: others with the
    same address, as behind a proxy, must not keep the operator out."""
    peer = request.client.host if request.client else ""
    gateway = gateway_of(request)
    gateway.limits.count(f"login {peer}")
    with suppress(ProblemError):  # a stranger must not fill the disk with what is kept for a year
        gateway.limits.count("recorded failures", _RECORDED)
        await _record(request, gateway, Client("", frozenset(), ""), "session.refused", what)


async def _record(
    request: Request, gateway: Gateway, client: Client, action: str, detail: str
) -> None:
    peer = request.client.host if request.client else ""
    await run_in_threadpool(audit.add, gateway.database, client, action, "", detail, peer)
