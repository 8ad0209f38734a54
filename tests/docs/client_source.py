"""The modules of the Python client that are written from the code: what the gateway answers, what
a brief may say, and what helps against an error."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.apps.gateway.answers import Answer
from infra.apps.gateway.codes import ERROR_CODES
from pipelines.documents.brief import Brief
from tests.docs.rest_page import document

ANSWERS = (
    "RunView",
    "DraftedShot",
    "DraftedEntry",
    "DraftedStoryboard",
    "Money",
    "Forecast",
    "Candidate",
    "Alternative",
    "RouteAnswer",
    "VideoView",
    "NoteView",
    "TrashedView",
    "LinkView",
    "Share",
    "Ended",
    "KeptPart",
    "Deleted",
    "Upload",
    "MotionUpload",
    "Me",
    "Tested",
    "AuditEntry",
)
"""Schemas of the OpenAPI document that the client returns, those that others name first."""
_EXACT = {("Money", "amount")}
"""Fields that travel as text so that they stay exact."""
_OPEN = {"preset", "size"}
"""Fields of a brief whose values are another studio's own: any text for the client."""
_HEAD = '''"""{title}

Written from the gateway's code by `python -m tests.docs`; do not edit it.
"""

{imports}
'''
_FORMATS = {"uuid": "UUID", "date-time": "datetime", "date": "date"}
_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_WIDTH = 96


def answers() -> str:
    """The module with a model for each answer."""
    schemas = document()["components"]["schemas"]
    parts = [_model(name, schemas[name]) for name in ANSWERS]
    imports = [
        "from datetime import date, datetime",
        "from decimal import Decimal",
        "from typing import Literal",
        "from uuid import UUID",
        "",
        "from pydantic import BaseModel, ConfigDict",
        "",
        "",
        "class Answer(BaseModel):",
        '    """The base of all answers. Fields that a newer gateway adds are ignored."""',
        "",
        '    model_config = ConfigDict(frozen=True, extra="ignore")',
        "",
    ]
    head = _HEAD.format(title="What the gateway answers.", imports="\n".join(imports))
    return _formatted(head + "\n".join(parts))


def briefs() -> str:
    """The module with the fields of a brief."""
    schema = Brief.model_json_schema()
    defs = schema["$defs"] | Answer.model_json_schema()["$defs"]
    parts = [_typed_dict(name, found, found.get("required", [])) for name, found in defs.items()]
    fields = schema | {"properties": {**schema["properties"]}}
    del fields["properties"]["prompt"]
    fields["description"] = "The fields of a brief besides its prompt; each has a default."
    parts.append(_typed_dict("BriefFields", fields, []))
    imports = [
        "from collections.abc import Sequence",
        "from typing import Literal, Required, TypedDict",
        "",
    ]
    head = _HEAD.format(title="What a brief may say.", imports="\n".join(imports))
    return _formatted(head + "\n".join(parts))


def remedies() -> str:
    """What helps, by the code of an error."""
    found = {name: code.remedy for name, code in sorted(ERROR_CODES.items())}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def _formatted(source: str) -> str:
    """As `ruff format` writes it, which the rules of the repository ask for."""
    ruff = Path(sys.executable).with_name("ruff")
    command = [ruff, "format", "--stdin-filename", "x.py", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return done.stdout


def _model(name: str, schema: dict[str, Any]) -> str:
    lines = ["", f"class {name}(Answer):", *_docstring(schema.get("description", ""), name), ""]
    # A gateway of an older version may leave out what has a default.
    required = [item for item in schema["properties"] if item in schema.get("required", [])]
    optional = [item for item in schema["properties"] if item not in required]
    for field in [*required, *optional]:
        found = schema["properties"][field]
        default = "" if field in required else f" = {_default(found)}"
        kind = _type(found, sequence="tuple[{}, ...]")
        kind = "Decimal" if (name, field) in _EXACT else kind
        lines.append(f"    {field}: {kind}{default}")
        lines += _docstring(found.get("description", ""))
    return "\n".join(lines) + "\n"


def _typed_dict(name: str, schema: dict[str, Any], required: list[str]) -> str:
    words = schema.get("description", "")
    lines = ["", f"class {name}(TypedDict, total=False):", *_docstring(words, name), ""]
    for field, found in schema["properties"].items():
        kind = "str" if field in _OPEN else _type(found, sequence="Sequence[{}]")
        lines.append(f"    {field}: {f'Required[{kind}]' if field in required else kind}")
        lines += _docstring(found.get("description", ""))
    return "\n".join(lines) + "\n"


def _docstring(text: str, name: str = "") -> Iterator[str]:
    words = " ".join((text or (f"As the gateway's `{name}`." if name else "")).split())
    if words:
        escaped = words.replace("\\", "\\\\").replace('"""', "'''")
        quoted = f'"""{escaped}"""'
        yield from textwrap.wrap(
            quoted,
            _WIDTH,
            initial_indent="    ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _type(schema: dict[str, Any], sequence: str) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(_type(item, sequence) for item in schema["anyOf"])
    if "enum" in schema:
        return f"Literal[{', '.join(map(_literal, schema['enum']))}]"
    if "const" in schema:
        return f"Literal[{_literal(schema['const'])}]"
    kind = schema.get("type")
    if kind == "array":
        return sequence.format(_type(schema.get("items", {}), sequence))
    if kind == "null":
        return "None"
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), "str")
    return _PLAIN.get(str(kind), "object")


def _literal(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _default(schema: dict[str, Any]) -> str:
    if "default" not in schema:
        return "None" if _allows_null(schema) else "()" if schema.get("type") == "array" else '""'
    value = schema["default"]
    return "()" if value == [] else _literal(value)


def _allows_null(schema: dict[str, Any]) -> bool:
    return any(item.get("type") == "null" for item in schema.get("anyOf", []))
