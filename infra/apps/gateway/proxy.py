"""Single sign-on: a proxy that has authenticated a user names them in a header.

The header is believed from the operator's proxy alone. A proxy on this machine shares its address
with every program on it, so it must also send the secret that both know.
"""

import hmac
import ipaddress

from fastapi import Request

from infra.adapters.settings import GatewaySettings
from infra.apps.gateway import users
from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import Client
from infra.apps.gateway.problems import ProblemError

SECRET_HEADER = "x-reelwright-proxy"  # noqa: S105 - the name of a header


def came_by_proxy(settings: GatewaySettings, request: Request) -> bool:
    """Whether the operator's proxy sent the request."""
    if not settings.proxy_header or request.client is None:
        return False
    try:
        peer = ipaddress.ip_address(request.client.host.partition("%")[0])
    except ValueError:
        return False
    inner = getattr(peer, "ipv4_mapped", None) or peer
    return any(inner in network for network in settings.proxy_networks)


def client_of_proxy(
    settings: GatewaySettings, database: Database, request: Request
) -> Client | None:
    """The user whom the proxy names; None if it names nobody, or if there is no proxy.

    Raises ProblemError 401 if somebody else sends the header, or the secret is missing, and 403 if
    the user is unknown here or disabled.
    """
    if not settings.proxy_header:
        return None
    names = request.headers.getlist(settings.proxy_header)
    if not names:
        return None
    if not came_by_proxy(settings, request) or not _knows_secret(settings, request):
        raise ProblemError(
            401,
            "unauthorised",
            f"the header {settings.proxy_header} is believed from the operator's proxy alone, and "
            "this request did not come from it; leave the header out, or log in through the proxy",
        )
    if len(names) > 1:
        raise ProblemError(
            401,
            "unauthorised",
            f"the header {settings.proxy_header} came {len(names)} times; the proxy must remove "
            "what its clients send under this name",
        )
    name = _decoded(names[0])
    if not name:  # the proxy lets in whom it does not know, such as a webhook's sender
        return None
    user = users.find_named(database, name)
    if user is None or user.disabled:
        what = "is disabled here" if user else "has no user here"
        raise ProblemError(
            403,
            "forbidden",
            f"{name!r:.70} {what}; the operator lets them in with: reelwright users "
            f"{'enable' if user else 'add'} NAME",
        )
    return user.client


def _knows_secret(settings: GatewaySettings, request: Request) -> bool:
    secret = settings.proxy_secret.get_secret_value().encode()
    given = request.headers.get(SECRET_HEADER, "").encode("utf-8", "replace")
    return not secret or hmac.compare_digest(given, secret)


def _decoded(value: str) -> str:
    """Headers are Latin-1 to the server, and UTF-8 to the proxies."""
    try:
        return value.encode("latin-1").decode().strip()
    except (UnicodeEncodeError, UnicodeDecodeError):
        return value.strip()
