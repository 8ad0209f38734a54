"""`studio.env`: the variables by which the processes of this machine reach the studio; mode
0600."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra.adapters.disk import exclusive, make_directory, write_atomic
from infra.adapters.settings import Settings
from pipelines.errors import ServerError, SettingsError

TOKEN = "REELWRIGHT_GATEWAY_TOKEN"  # noqa: S105 - the variable's name
HOOKS, CALENDAR = "REELWRIGHT_GATEWAY_HOOKS", "REELWRIGHT_CALENDAR_FILE"
BACKENDS, POLICY = "REELWRIGHT_BACKENDS", "REELWRIGHT_ROUTING_POLICY"
CAPS = "REELWRIGHT_COSTS_FILE"
FILES = (HOOKS, CALENDAR, BACKENDS, POLICY, CAPS)
_CHOSEN = ("REELWRIGHT_RETENTION_", "REELWRIGHT_COSTS_", "REELWRIGHT_GPU_HOUR_PRICE")
_USER = "studio"
_ANSWER_TIMEOUT = 10.0
"""Seconds to wait for a response; a server on a busy machine has taken 3."""
_API, _PAGES = "PREFECT_API_URL", "/v2"
_OF_SERVER, _OF_STORE = "PREFECT_API_", "REELWRIGHT_S3_"


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


def chosen(known: Mapping[str, str]) -> dict[str, str]:
    """What was set for the start of a studio and concerns other commands and later starts too:
    the operator's files, what a purge keeps, and what may be spent.

    What the environment does not set is as in `known`, the variables of the last start: caps must
    not be lost because somebody starts the studio from another shell. Paths are absolute, wherever
    those commands are given.
    """
    now = {name: value for name, value in os.environ.items() if _is_chosen(name)}
    last = {name: value for name, value in known.items() if _is_chosen(name)}
    return {
        name: str(Path(value).absolute()) if value and name in FILES else value
        for name, value in (last | now).items()
    }


def _is_chosen(name: str) -> bool:
    return name in FILES or name.startswith(_CHOSEN)


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


def prefect_pages() -> str:
    """Where a browser finds Prefect's pages: at PREFECT_UI_URL, or beside its API; empty if the
    environment names no server.

    Below `/v2`, because an address without it opens the older pages, which Prefect shows nobody who
    comes by its front door.
    """
    given = os.environ.get("PREFECT_UI_URL", "")
    base = (given or os.environ.get(_API, "").rstrip("/").removesuffix("/api")).rstrip("/")
    return f"{base.removesuffix(_PAGES)}{_PAGES}" if base else ""


def prefect_password(settings: Settings) -> str:
    """What Prefect's login page asks for. Raises SettingsError if it is not known here."""
    name = "PREFECT_API_AUTH_STRING"
    found = os.environ.get(name) or read(settings).get(name, "")
    if not found:
        raise SettingsError(
            f"{name} is not set, and no studio was started in {settings.paths.data_dir}: Prefect's "
            "password is in studio/studio.env of the machine where `reelwright up` runs"
        )
    return found


def require_server() -> None:
    """Raises SettingsError if the environment names no Prefect server. An address in a profile
    of Prefect's is not used: nobody would see which server a command works with."""
    if not os.environ.get("PREFECT_API_URL"):
        raise SettingsError(
            "no studio runs here; start: reelwright up. For a studio elsewhere, set "
            "PREFECT_API_URL, as in http://host:4200/api"
        )


def require_healthy_server() -> None:
    """Raises ServerError if the Prefect server cannot be reached: Prefect's client would retry
    for minutes."""
    import httpx  # here, so that commands which ask no server stay quick

    url = os.environ["PREFECT_API_URL"].rstrip("/")
    try:
        response = httpx.get(f"{url}/health", timeout=_ANSWER_TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServerError(
            f"the Prefect server PREFECT_API_URL={url} does not answer ({error}); start the "
            "studio there, wait until it is ready, or correct the address"
        ) from error
    if not response.is_success:
        raise ServerError(
            f"the Prefect server PREFECT_API_URL={url} answers {response.status_code}, not 200; "
            "wait until it is ready, or correct the address"
        )


def require_store(settings: Settings) -> None:
    """Raises SettingsError if no object store is named."""
    if not settings.store.endpoint:
        raise SettingsError(
            "no studio runs here; start: reelwright up. For a store elsewhere, set "
            "REELWRIGHT_S3_ENDPOINT, as in host:9000, and its keys"
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


def adopt_backends() -> None:
    """Name the backends file of the studio that runs here in this process's environment, unless
    that names another one. A command needs it before it reads a brief."""
    if BACKENDS in os.environ:
        return
    settings = Settings.load()
    file = read(settings).get(BACKENDS)
    if file and is_running(settings):
        os.environ[BACKENDS] = file


def adopted() -> Settings:
    """The settings, with the addresses of the studio that runs here, unless the environment names
    others. Call it before an import of Prefect, which reads its environment once."""
    settings = Settings.load()
    if is_running(settings) and adopt(settings):
        return Settings.load()
    return settings


def adopt(settings: Settings) -> bool:
    """Put the studio's variables into this process's environment, but for those it has.

    Where it names another server or store, that one gets none of this studio's passwords.
    Returns whether there are any.
    """
    variables = read(settings)
    others = tuple(
        prefix
        for prefix, address in (
            (_OF_SERVER, "PREFECT_API_URL"),
            (_OF_STORE, f"{_OF_STORE}ENDPOINT"),
        )
        if os.environ.get(address) not in (None, "", variables.get(address))
    )
    for name, value in variables.items():
        if not name.startswith(others):
            os.environ.setdefault(name, value)
    return bool(variables)
