"""Exchanges with a gateway, recorded for the documents: the same each time they are recorded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx

_ANY_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ANY_DIGEST = re.compile(r"[0-9a-f]{64}")
_ANY_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)")
_ANY_LINK = re.compile(r"(?<=/share/)[\w-]{32}")
_ANY_LINK_ID = re.compile(r"^[0-9a-f]{16}$|(?<=link=)[0-9a-f]{16}")
_ANY_PORT = re.compile(r"127\.0\.0\.1:\d+")
_UUID = "0193d0a2-1f7e-7c4b-9a53-6f0c2f6d8e11"
_DIGEST = "5f1d7a84db00d2fce00b31a7fc73224f9c4f5e5d1f0a3c4d5e6f708192a3b4c5"
_FEW = 2
"""Items of a list that are kept."""
Exchange = dict[str, Any]


class Recorder(httpx.HTTPTransport):
    """Sends requests and keeps what was said, under the name of the client's method."""

    def __init__(self) -> None:
        super().__init__()
        self.call = ""
        self.exchanges: list[Exchange] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self.call and request.url.path != "/openapi.json":
            answer.read()
            sent = (
                request.read() if request.headers.get("content-type") == "application/json" else b""
            )
            self.exchanges.append(
                {
                    "call": self.call,
                    "method": request.method,
                    "path": request.url.path,
                    "query": request.url.query.decode(),
                    "request": json.loads(sent) if sent else None,
                    "status": answer.status_code,
                    "response": _json(answer),
                }
            )
        return answer


def first_of_each(exchanges: list[Exchange], paths: list[str]) -> list[Exchange]:
    """The first exchange of each call that was answered with something, with the address as the
    OpenAPI document has it."""
    found: dict[str, Exchange] = {}
    for exchange in exchanges:
        path = next(path for path in paths if _is_of(exchange["path"], path))
        if found.get(exchange["call"], {}).get("response", []) == []:
            found[exchange["call"]] = _plain(exchange) | {"path": path}
    return list(found.values())


def missing_in(found: Any, known: Any, where: str = "") -> Iterator[str]:
    """What `known` has and `found` lacks, or has with another type; its values do not matter, and
    what is new in `found` is no fault of `known`."""
    if isinstance(known, dict) and isinstance(found, dict):
        for name, item in known.items():
            if name in found:
                yield from missing_in(found[name], item, f"{where}/{name}")
            else:
                yield f"{where}/{name}"
    elif isinstance(known, list) and isinstance(found, list):
        for one, other in zip(found, known, strict=False):
            yield from missing_in(one, other, f"{where}[]")
    elif _kind(found) != _kind(known):
        yield f"{where} is {_kind(found)}, not {_kind(known)}"


def _kind(value: Any) -> str:
    return "number" if isinstance(value, int | float) else type(value).__name__


def _is_of(path: str, template: str) -> bool:
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path) is not None


def _json(answer: httpx.Response) -> Any:
    if answer.headers.get("content-type") != "application/json":
        return None
    found = answer.json()
    if "manifest_version" in found:  # pages of it: what is plain is enough
        return {name: item for name, item in found.items() if not isinstance(item, dict | list)}
    return _short(found)


def _short(value: Any) -> Any:
    """With the first items only of each list of objects."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [_short(item) for item in value[:_FEW]]
    return value


def _plain(value: Any) -> Any:
    """Without what differs from day to day."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _ANY_DIGEST.sub(_DIGEST, _ANY_UUID.sub(_UUID, value))
    text = _ANY_TIME.sub("2026-11-27T10:00:00Z", text)
    text = _ANY_LINK_ID.sub("9f2c6a1d40b7e835", _ANY_LINK.sub("kP3v…", text))
    return _ANY_PORT.sub("127.0.0.1:8004", text)


def names_in(exchanges: list[Exchange]) -> Iterator[str]:
    """Names of the recorded calls."""
    return (exchange["call"] for exchange in exchanges)
