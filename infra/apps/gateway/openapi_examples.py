"""Examples of requests and answers in the OpenAPI document, as a real gateway answered them.

`examples.json` is recorded by tests/gateway/test_client.py.
"""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI

_FILE = Path(__file__).with_name("examples.json")
_JSON = "application/json"


def recorded() -> list[dict[str, Any]]:
    """The recorded exchanges: call of the client, method, path, request, status, response."""
    found: list[dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def add_examples(app: FastAPI) -> None:
    """Put the examples into the document that `app` serves; the first of an address stands."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        document = plain()
        if is_new:
            for exchange in recorded():
                _add(document, exchange)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _add(document: dict[str, Any], exchange: dict[str, Any]) -> None:
    operation = document["paths"][exchange["path"]][exchange["method"].lower()]
    request = operation.get("requestBody", {}).get("content", {}).get(_JSON)
    if request is not None and exchange["request"] is not None:
        request.setdefault("example", exchange["request"])
    answer = operation["responses"].get(str(exchange["status"]), {}).get("content", {}).get(_JSON)
    if answer is not None and exchange["response"] is not None:
        answer.setdefault("example", exchange["response"])
