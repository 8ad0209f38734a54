"""HTTP to one remote backend, as `pipelines.backends.remote.access.Connection` says it.

Only the operator's file names addresses. The key is read when a request is sent, goes to the
backend's own host and to the download hosts of its entry, and stands in no log or error.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import httpx

from infra.adapters.remote.breaker import Breaker, breaker_of
from infra.adapters.remote.deadline import Deadline
from infra.adapters.remote.listening import WebsocketListener, listen
from infra.adapters.secrets import read_secret
from pipelines.backends.remote.access import Reply
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import AnswerLostError, MediaError, SettingsError, UnavailableError

_log = logging.getLogger("reelwright.remote")
# httpx logs whole addresses, and those of clips may hold a signature.
logging.getLogger("httpx").setLevel(logging.WARNING)

_TRIES = 4
"""Times that a request is sent which changes nothing."""
_PAUSE = 0.5
"""Seconds before the second try; doubled for each further one, with jitter."""
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_AMBIGUOUS = frozenset({502, 504})
"""A proxy lost the server's answer: it may have done what was asked."""
_LARGEST_REPLY = 256 * 2**20
"""Bytes. Clips come inline as base64 from some services."""
_REDIRECTS = 3
_WHOLE = 5
"""Times `timeout_seconds` that a request may take as a whole. A picture that is sent and a clip
that comes inline need longer than the start of an answer. A download has `job_seconds`."""
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Faults after which the request surely did not arrive."""
Method = Literal["GET", "POST", "DELETE"]


class HttpConnection:
    """A Connection through httpx."""

    def __init__(
        self,
        config: RemoteConfig,
        *,
        breaker: Breaker | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._pause = config, pause
        self._breaker = breaker or breaker_of(config.name)
        self._where = f"{config.name} at {config.address}"
        # A connection that is kept may be closed by the server just when a request is sent on it;
        # for a paid job nobody could tell whether it arrived. So each request has a new one.
        self._client = httpx.Client(
            timeout=httpx.Timeout(config.timeout_seconds, connect=10.0),
            limits=httpx.Limits(max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    def send(
        self,
        method: Method,
        path: str,
        *,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request, as the interface says. Raises SettingsError if the key cannot be read."""
        address = self._config.address + path
        headers = self._key_headers()
        for left in reversed(range(_TRIES if method == "GET" else 1)):
            try:
                with (
                    self._watched(method),
                    self._deadline(_WHOLE * self._config.timeout_seconds) as deadline,
                    self._client.stream(
                        method,
                        address,
                        json=json,
                        data=data,
                        files=files,
                        params=query,
                        headers=headers,
                        extensions={"trace": deadline.trace},
                    ) as response,
                ):
                    reply = Reply(
                        response.status_code, _lower(response.headers), self._body(response, method)
                    )
            except UnavailableError as error:
                if not left or self._breaker.seconds_left():
                    raise
                _log.debug("%s", error)
            else:
                self._count(reply.status)
                if method != "GET" and reply.status in _AMBIGUOUS:
                    raise AnswerLostError(f"{self._where}: a proxy answered {reply.status}")
                if not (left and reply.status in _TRANSIENT):
                    return reply
            self._pause(_PAUSE * 2 ** (_TRIES - 1 - left) * random.uniform(0.5, 1.5))
        raise AssertionError("the last try returns or raises")

    def download(self, address: str, path: Path, *, limit: int) -> None:
        """Write a clip to `path`, which appears only when it is complete."""
        part = path.with_name(f"{path.name}.part")
        try:
            self._download(self._absolute(address), part, limit)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def listen(self, path: str, *, query: Mapping[str, str] | None = None) -> WebsocketListener:
        """A websocket to the backend's own host. Raises UnavailableError, and SettingsError if the
        key cannot be read. Neither failures nor success count for the breaker: a proxy may let
        HTTP through and no websocket."""
        address = httpx.URL("ws" + self._config.address.removeprefix("http") + path, params=query)
        return listen(
            str(address), self._key_headers(), self._where, timeout=self._config.timeout_seconds
        )

    def _download(self, address: str, part: Path, limit: int) -> None:
        for _ in range(_REDIRECTS + 1):
            self._check_host(address)
            with (
                self._watched("GET"),
                self._deadline(self._config.job_seconds) as deadline,
                self._client.stream(
                    "GET",
                    address,
                    headers=self._key_headers(),
                    extensions={"trace": deadline.trace},
                ) as response,
            ):
                self._count(response.status_code)
                if not response.has_redirect_location:
                    self._write_whole(response, part, limit)
                    return
                address = self._joined(address, response.headers["location"])
        raise MediaError(f"{self._where}: the clip's address leads on and on; ask its operator")

    def _write_whole(self, response: httpx.Response, part: Path, limit: int) -> None:
        """A clip that breaks off is fetched again, and is no reason to leave the server alone."""
        try:
            self._write(response, part, limit)
        except httpx.TransportError as error:
            name = type(error).__name__
            raise MediaError(f"{self._where}: the clip broke off on its way ({name})") from error

    def _write(self, response: httpx.Response, part: Path, limit: int) -> None:
        if response.status_code != httpx.codes.OK:
            raise MediaError(f"{self._where} answered {response.status_code} for the clip")
        size = 0
        with part.open("wb") as file:
            for block in response.iter_bytes(2**20):
                size += len(block)
                if size > limit:
                    raise MediaError(
                        f"{self._where}: the clip is larger than {limit:,} bytes, the most that "
                        "is fetched; ask for a shorter or smaller one"
                    )
                file.write(block)

    def _deadline(self, total: float) -> Deadline:
        return Deadline(self._config.timeout_seconds, total)

    @contextmanager
    def _watched(self, method: Method) -> Iterator[None]:
        """Errors of the network become ours; the breaker is asked before and told after."""
        if rest := self._breaker.seconds_left():
            raise UnavailableError(
                f"{self._where} failed several times in a row and is left alone for "
                f"{rest:.0f} s; look at that server, then run again"
            )
        try:
            yield
        except _UNSENT as error:
            self._breaker.failed()
            raise UnavailableError(
                f"{self._where} cannot be reached ({type(error).__name__}); check that it runs "
                "and that its address in the backends file is right"
            ) from error
        except httpx.HTTPError as error:
            self._breaker.failed()
            words = f"{self._where} gave no whole answer ({type(error).__name__})"
            if method == "GET":
                raise UnavailableError(f"{words}; run again when it works") from error
            raise AnswerLostError(words) from error

    def _body(self, response: httpx.Response, method: Method) -> bytes:
        """Raises UnavailableError if it is too large to be kept in memory, and AnswerLostError if
        what was asked may have been done."""
        data = bytearray()
        for block in response.iter_bytes(2**20):
            data += block
            if len(data) > _LARGEST_REPLY:
                words = (
                    f"{self._where}: an answer of more than {_LARGEST_REPLY:,} bytes is not read"
                )
                if method != "GET":
                    raise AnswerLostError(words)
                raise UnavailableError(f"{words}; ask for clips by address instead of inline")
        return bytes(data)

    def _count(self, status: int) -> None:
        if status in _TRANSIENT and status != httpx.codes.TOO_MANY_REQUESTS:
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def _key_headers(self) -> dict[str, str]:
        if not self._config.key:
            return {}
        try:
            secret = read_secret(self._config.key)
        except ValueError as error:
            raise SettingsError(f"the key of {self._config.name}: {error}") from error
        name, before = self._config.key_header
        return {name: before + secret}

    def _absolute(self, address: str) -> str:
        own = address.startswith("/")  # a path of ours may hold anything after its first mark
        return self._config.address + address if own else address

    def _joined(self, address: str, location: str) -> str:
        try:
            return urljoin(address, location)
        except ValueError:
            return location  # which `_check_host` calls no address

    def _check_host(self, address: str) -> None:
        """Raises SettingsError for a host that the operator did not name, and MediaError for text
        that is no address."""
        try:
            own, parts = urlsplit(self._config.address), urlsplit(address)
            httpx.URL(address)
            host, port = parts.hostname or "", parts.port
        except (ValueError, httpx.InvalidURL) as error:
            raise MediaError(
                f"{self._where} says that its clip is at {address!r:.200}, which is no address"
            ) from error
        if (parts.scheme, parts.netloc) == (own.scheme, own.netloc):
            return
        if parts.scheme == "https" and port in (None, 443):
            for allowed in self._config.download_hosts:
                if host == allowed or (allowed[:2] == "*." and host.endswith(allowed[1:])):
                    return
        raise SettingsError(
            f"{self._where} says that its clip is at {parts.scheme}://{parts.netloc}, where "
            "nothing is fetched from: if you trust that host, add it to download_hosts of the "
            "entry (https only)"
        )


def _lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
