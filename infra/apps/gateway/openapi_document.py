"""What FastAPI does not put into the OpenAPI document: how a request is allowed, and examples.

`examples.json` has requests and answers of a real gateway, which a test of the client records.
"""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

_FILE = Path(__file__).with_name("examples.json")
_JSON = "application/json"
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, `rw_…`. A browser that is logged in needs none.",
}
_OPEN = {"/health", "/ready", "/hooks/{source}"}
"""Addresses that need no key."""


def recorded() -> list[dict[str, Any]]:
    """The recorded exchanges: call of the client, method, path, request, status, response."""
    found: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def complete_document(app: FastAPI) -> None:
    """Have `app` serve a document with the key and the examples; the first of an address stands."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        document = plain()
        if is_new:
            _add_key(document)
            for exchange in recorded():
                _add(document, exchange)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add_key(document: dict[str, Any]) -> None:
    document.setdefault("components", {})["securitySchemes"] = {"key": _KEY}
    document["security"] = [{"key": []}]
    for path in _OPEN & set(document["paths"]):
        for operation in document["paths"][path].values():
            operation["security"] = []


def _add(document: dict[str, Any], exchange: dict[str, Any]) -> None:
    operation = document["paths"][exchange["path"]][exchange["method"].lower()]
    request = operation.get("requestBody", {}).get("content", {}).get(_JSON)
    if request is not None and exchange["request"] is not None:
        request.setdefault("example", exchange["request"])
    answer = operation["responses"].get(str(exchange["status"]), {}).get("content", {}).get(_JSON)
    if answer is not None and exchange["response"] is not None:
        answer.setdefault("example", exchange["response"])
