"""The page of the Python client: its methods, each with an exchange that was recorded."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from infra.apps.gateway.openapi_document import recorded
from reelwright.client import Client
from tests.docs.tables import NOTICE

_HEAD = f"""# The Python client: reference

{NOTICE}
The methods of `reelwright.client.Client`. How to use them: [the Python client](../client.md). Each
example is what a real gateway was asked and answered; ids and times are replaced, and of a list two
items are shown.

"""


def text() -> str:
    """The whole page."""
    exchanges = {item["call"]: item for item in recorded()}
    parts = [f"## `Client`\n\n{_words(Client.__doc__)}\n\n{_words(Client.__init__.__doc__)}\n"]
    for name, method in vars(Client).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            parts.append("\n".join(_method(name, method, exchanges.get(name))))
    return _HEAD + "\n".join(parts)


def _method(name: str, method: Any, exchange: dict[str, Any] | None) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield f"`{name}{_signature(method)}`\n"
    yield f"{_words(method.__doc__)}\n"
    if exchange is None:
        return
    query = f"?{exchange['query']}" if exchange["query"] else ""
    yield f"`{exchange['method']} {exchange['path']}{query}`\n"
    if exchange["request"] is not None:
        yield f"```json\n{_json(exchange['request'])}\n```\n"
    yield f"Answered with {exchange['status']}:\n"
    if exchange["response"] is not None:
        yield f"```json\n{_json(exchange['response'])}\n```\n"


def _signature(method: Any) -> str:
    """As the source has it: each version of Python prints types in another way."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(method))).body
    assert isinstance(node, ast.FunctionDef)
    node.args.args = node.args.args[1:]  # without self
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){returned}"


def _words(docstring: str | None) -> str:
    return inspect.cleandoc(docstring or "")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
