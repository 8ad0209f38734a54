"""Who may ask: a key or a session with the right scope, a user whom the operator's proxy names, or
the operator with the studio's token.

Where the operator allows it, also this machine. A program on it is known by its peer address. A web
page that is open there has that address too, so the Host, Origin and Sec-Fetch-Site headers must
say that no other site is behind the request, and nothing may say that a proxy is. A proxy that says
nothing, or a tunnel, cannot be told from a program: so this is off unless it is asked for.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from infra.apps.gateway.keys import LOCAL, OPERATOR, Client, Scope, client_of, expiry_of
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.proxy import client_of_proxy
from infra.apps.gateway.sessions import client_of_session
from infra.apps.gateway.state import Gateway

COOKIE = "reelwright_session"
_LOOPBACK = {"127.0.0.1", "::1"}
_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_PROXIED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_SAME = {"same-origin", "none"}


def gateway_of(request: Request) -> Gateway:
    """The state that all requests share."""
    found = request.app.state.gateway
    assert isinstance(found, Gateway)
    return found


def identify(request: Request) -> Client:
    """The client that sent the request. Raises ProblemError 401 if it cannot be told, 403 if the
    proxy names a user who may not get in."""
    gateway = gateway_of(request)
    key = _key_in(request)
    if key:
        return _client_of_key(gateway, key)
    # A cookie travels with every request of a browser, also with one that another site made.
    session = request.cookies.get(COOKIE, "") if is_own_page(request) else ""
    client = client_of_session(gateway.database, session) if session else None
    if client is not None:
        gateway.uses.of_session(session)
        gateway.uses.of_user(client.id)
        return client
    if (person := _named_by_proxy(gateway, request)) is not None:
        gateway.uses.of_user(person.id)
        return person
    if gateway.settings.gateway.trust_local and _is_local(request):
        return LOCAL
    raise ProblemError(
        401,
        "unauthorised",
        "an API key is needed: send it as `Authorization: Bearer rw_…`; the operator makes one "
        "with: reelwright keys add NAME",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _client_of_key(gateway: Gateway, key: str) -> Client:
    client = client_with_key(gateway, key)
    if client is None:
        over = expiry_of(gateway.database, key)
        raise ProblemError(
            401,
            "unauthorised",
            f"this API key expired at {over[:16]} UTC; the operator makes another one with: "
            "reelwright keys add NAME"
            if over
            else "this API key is not known here, or was revoked",
        )
    gateway.uses.of_key(key)
    gateway.uses.of_user(client.id)
    return client


def _named_by_proxy(gateway: Gateway, request: Request) -> Client | None:
    """The user whom the proxy names. Its own cookie, too, travels with what other sites ask for."""
    person = client_of_proxy(gateway.settings.gateway, gateway.database, request)
    if person and is_own_page(request) and not _is_embedded_elsewhere(request):
        return person
    return None


def client_with_key(gateway: Gateway, key: str) -> Client | None:
    """Whose key it is, or the operator if it is the studio's token."""
    token = gateway.settings.gateway.token.get_secret_value()
    if token and hmac.compare_digest(key.encode("utf-8", "replace"), token.encode()):
        return OPERATOR
    return client_of(gateway.database, key)


def require(client: Client, scope: Scope) -> None:
    """Raises ProblemError 403 if `client` may not do that."""
    if scope not in client.scopes:
        raise ProblemError(403, "forbidden", f"the key {client.name!r} lacks the scope {scope!r}")


def needs(scope: Scope, instead: Scope | None = None) -> Callable[[Request], Awaitable[Client]]:
    """A dependency: the client, if it has the scope, or the one that serves `instead`. Writes count
    against its limit, and stand in the audit log under its name."""

    async def check(request: Request) -> Client:  # a thread for it would cost more than it does
        client = identify(request)
        if instead not in client.scopes:
            require(client, scope)
        if scope not in ("read", "metrics"):
            request.state.client = client
            gateway_of(request).limits.count(f"client {client.id}")
        return client

    return check


def _key_in(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return request.headers.get("x-api-key", "")


def _is_local(request: Request) -> bool:
    peer = request.client.host if request.client else ""
    if peer not in _LOOPBACK or any(name in request.headers for name in _PROXIED):
        return False
    host = request.headers.get("host", "")
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in _NAMES and is_own_page(request) and not _is_embedded_elsewhere(request)


def _is_embedded_elsewhere(request: Request) -> bool:
    """Whether a page of another site shows the answer within itself.

    A page of this host at another port may: Prefect's pages show the pictures of a video. With a
    session this need not be asked, because its cookie is not sent from other sites.
    """
    site = request.headers.get("sec-fetch-site", "none")
    mode = request.headers.get("sec-fetch-mode", "navigate")
    return site == "cross-site" and mode != "navigate"


def is_own_page(request: Request) -> bool:
    """Whether the request comes from our own pages or from a program, not from another site."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    site = request.headers.get("sec-fetch-site", "none")
    # Following a link from elsewhere shows a page, and changes nothing.
    return site in _SAME or request.method in ("GET", "HEAD")


Reader = Annotated[Client, Depends(needs("read"))]
Maker = Annotated[Client, Depends(needs("make"))]
Approver = Annotated[Client, Depends(needs("approve"))]
Manager = Annotated[Client, Depends(needs("manage"))]
Deleter = Annotated[Client, Depends(needs("manage", "make"))]
"""Who may delete some videos; `deleting` says which."""
Scraper = Annotated[Client, Depends(needs("metrics"))]
