"""The page of the gateway's addresses and its OpenAPI document, from the FastAPI application."""

import json
import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

from infra.adapters.settings import Settings
from infra.apps.gateway.app import create_app
from tests.docs.tables import NOTICE, table

_HEAD = f"""# REST reference

{NOTICE}
All addresses of the gateway that programs call. A running gateway serves the same as
`/openapi.json`; the file is [openapi.json](openapi.json). How to call them:
[REST and webhooks](../integrations.md). What a refusal says: [error codes](error-codes.md).

"""


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, without the version of the program: a release alone changes no page."""
    with warnings.catch_warnings():
        # A route that answers GET and HEAD has one function, so both have its id.
        warnings.filterwarnings("ignore", "Duplicate Operation ID")
        found = create_app(Settings.load()).openapi()
    found["info"]["version"] = "as /openapi.json of a gateway says"
    found["paths"] = {path: _in_order(methods) for path, methods in found["paths"].items()}
    return found


def _in_order(methods: dict[str, Any]) -> dict[str, Any]:
    """The methods of an address by name, each with an id of its own. FastAPI has those of one
    function in the order of a set, which differs from process to process."""
    for method, operation in methods.items():
        if "operationId" in operation:
            stem = re.sub(r"_(get|head)$", "", operation["operationId"])
            same = stem == operation["operationId"]
            operation["operationId"] = stem if same else f"{stem}_{method}"
    return {method: methods[method] for method in sorted(methods)}


def document_text() -> str:
    """The document as a file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def text() -> str:
    """The whole page."""
    found = document()
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            tag = next(iter(operation.get("tags", [])), "Other")
            groups.setdefault(tag, []).append((method.upper(), path, operation))
    return _HEAD + "\n".join(_group(tag, found, items) for tag, items in groups.items())


def _group(tag: str, found: dict[str, Any], items: list[tuple[str, str, dict[str, Any]]]) -> str:
    parts = [f"## {tag}\n"]
    for method, path, operation in items:
        words = operation.get("description") or operation.get("summary", "")
        parts.append(f"### `{method} {path}`\n\n{' '.join(words.split())}\n")
        parameters = list(_parameters(operation))
        if parameters:
            parts.append(table(["parameter", "in", "meaning"], parameters))
        fields = list(_fields(found, operation))
        if fields:
            parts.append(table(["field of the body", "required", "meaning"], fields))
        answers = operation.get("responses", {})
        parts.append(f"Answers: {', '.join(f'`{status}`' for status in answers)}.\n")
    return "\n".join(parts)


def _parameters(operation: dict[str, Any]) -> Iterator[list[str]]:
    for item in operation.get("parameters", []):
        yield [f"`{item['name']}`", item["in"], item.get("description", "")]


def _fields(found: dict[str, Any], operation: dict[str, Any]) -> Iterator[list[str]]:
    """The fields of the body, if it is JSON or a form with a named schema."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content.get("schema", {})
        if "$ref" in schema:
            schema = found["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        required = schema.get("required", [])
        for name, field in schema.get("properties", {}).items():
            is_needed = "yes" if name in required else ""
            yield [f"`{name}`", is_needed, field.get("description", "")]
        return
