"""Asks the gateway for a command, as any other client does: it knows videos and runs."""

from typing import Any

import httpx

from infra.adapters.settings import Settings
from infra.apps import environment
from pipelines.errors import BriefError, ServerError, SettingsError

_SECONDS = 60.0
"""For which an answer is waited for."""


def ask(settings: Settings, method: str, path: str, **query: Any) -> httpx.Response:
    """The gateway's answer to a request with the operator's token.

    Raises SettingsError if there is no token, ServerError if the gateway does not answer or fails,
    and BriefError with its sentence if it refuses the request.
    """
    token = token_of(settings)
    url = environment.gateway_address(settings).rstrip("/")
    given = {name: value for name, value in query.items() if value not in ("", None)}
    try:
        answer = httpx.request(
            method,
            f"{url}{path}",
            params=given,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"the gateway {url} does not answer ({error}); start it: reelwright up, or set "
            "REELWRIGHT_GATEWAY_URL to where it is"
        ) from error
    if answer.is_success:
        return answer
    kind = ServerError if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else BriefError
    raise kind(f"the gateway {url} says: {_sentence(answer)}")


def token_of(settings: Settings) -> str:
    """The operator's key: of the settings, or of the studio of this data directory.

    Raises SettingsError if there is none.
    """
    known = environment.read(settings).get(environment.TOKEN, "")
    found = settings.gateway.token.get_secret_value() or known
    if not found:
        raise SettingsError(
            f"no studio was started in {settings.paths.data_dir}, so there is no token; start "
            "`reelwright up`, or set REELWRIGHT_DATA_DIR or REELWRIGHT_GATEWAY_TOKEN"
        )
    return found


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
