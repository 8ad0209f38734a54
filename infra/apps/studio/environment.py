"""`studio.env`: how every process of this machine reaches the studio, readable by us alone."""

import os
import secrets
from pathlib import Path

from infra.adapters.disk import exclusive, make_directory, write_atomic
from infra.adapters.settings import Settings
from pipelines.errors import SettingsError

TOKEN = "REELWRIGHT_GATEWAY_TOKEN"  # noqa: S105 - the variable's name
_USER = "studio"


def path_of(settings: Settings) -> Path:
    """Where the file lies; systemd reads it as an EnvironmentFile."""
    return settings.paths.data_dir / "studio" / "studio.env"


def read(settings: Settings) -> dict[str, str]:
    """The variables of the studio that was last started here; empty if none was."""
    try:
        lines = path_of(settings).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def write(settings: Settings, variables: dict[str, str]) -> None:
    """Replace the file; its mode is 0600."""
    path = path_of(settings)
    make_directory(path.parent, private=True)
    before = os.umask(0o077)
    try:
        text = "".join(f"{name}={value}\n" for name, value in variables.items())
        write_atomic(path, text.encode())
    finally:
        os.umask(before)


def password_of(variables: dict[str, str]) -> str:
    """`user:password` of Prefect's API: the one in `variables`, or a new one."""
    return variables.get("PREFECT_API_AUTH_STRING") or f"{_USER}:{secrets.token_urlsafe(18)}"


def token_of(variables: dict[str, str]) -> str:
    """The operator's key for the gateway: the one in `variables`, or a new one."""
    return variables.get(TOKEN) or secrets.token_urlsafe(32)


def gateway_address(settings: Settings) -> str:
    """Where a browser finds the gateway of this data directory: the one of `up`, if that wrote a
    token, else the one that the settings describe."""
    if settings.gateway.url or TOKEN not in read(settings):
        return settings.gateway.base_url
    return f"http://127.0.0.1:{settings.studio.gateway_port}"


def require_server() -> None:
    """Raises SettingsError if no Prefect server is named: its client would start one of its own."""
    if not os.environ.get("PREFECT_API_URL"):
        raise SettingsError(
            "PREFECT_API_URL is not set: there is no Prefect server to work with; start "
            "`reelwright up`, or name the server, as in http://host:4200/api"
        )


def is_running(settings: Settings) -> bool:
    """Whether a studio of this data directory runs: its lock is held as long as it lives."""
    lock = path_of(settings).parent / "lock"
    if not lock.exists():
        return False

    def taken() -> None:
        raise BlockingIOError

    try:
        with exclusive(lock, taken):
            return False
    except BlockingIOError:
        return True


def adopt(settings: Settings) -> bool:
    """Put the studio's variables into this process's environment, but for those it has.

    Returns whether there are any.
    """
    variables = read(settings)
    for name, value in variables.items():
        os.environ.setdefault(name, value)
    return bool(variables)
