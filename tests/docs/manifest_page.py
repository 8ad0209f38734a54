"""The page of the manifest and its JSON schema, from `pipelines.documents.manifest.Manifest`."""

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from pipelines.documents.manifest import Manifest
from tests.docs.tables import NOTICE, table

_HEAD = f"""# The manifest

{NOTICE}
A manifest is written last, beside the video that it describes: where there is one, the video is
complete. `reelwright make … --json` prints it, `--out` writes it beside the video, and
`GET /videos/{{name}}` of the gateway serves it. For programs: [JSON schema](manifest.schema.json).

"""


def schema() -> dict[str, Any]:
    """JSON schema of a manifest as it is written."""
    return Manifest.model_json_schema(mode="serialization")


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def text() -> str:
    """The whole page."""
    found = schema()
    parts = [("Manifest", found), *sorted(found.get("$defs", {}).items())]
    classes = {found.__name__: found for found in subclasses(BaseModel)}
    return _HEAD + "\n".join(_part(name, values, classes.get(name)) for name, values in parts)


def subclasses(base: type[Any]) -> Iterator[type[Any]]:
    """All classes of ours below `base`."""
    for found in base.__subclasses__():
        if found.__module__.startswith("pipelines."):
            yield found
        yield from subclasses(found)


def notes_of(described: type[Any]) -> dict[str, str]:
    """The texts below the fields of a class, which pydantic does not keep."""
    body = ast.parse(textwrap.dedent(inspect.getsource(described))).body[0]
    assert isinstance(body, ast.ClassDef)
    notes = {}
    for field, below in pairwise(body.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            notes[ast.unparse(field.target)] = text
    return notes


def _part(name: str, values: dict[str, Any], described: type[Any] | None) -> str:
    words = " ".join(values.get("description", "").split())
    intro = f"## {name}\n\n" + (f"{words}\n\n" if words else "")
    if "enum" in values:
        return intro + f"One of {', '.join(f'`{item}`' for item in values['enum'])}.\n"
    return intro + table(["field", "type", "meaning"], _rows(values, described))


def _rows(values: dict[str, Any], described: type[Any] | None) -> Iterator[list[str]]:
    notes = notes_of(described) if described else {}
    for name, field in values.get("properties", {}).items():
        yield [f"`{name}`", kind_of(field), field.get("description", notes.get(name, ""))]


def kind_of(field: dict[str, Any]) -> str:
    """The type of a field in words, with links to the other tables."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(dict.fromkeys(kind_of(item) for item in field[key]))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{item}`" for item in field["enum"])
    if field.get("type") == "array":
        return f"list of {kind_of(field['items'])}" if "items" in field else "list"
    if field.get("type") == "object":
        inner = field.get("additionalProperties")
        return f"names → {kind_of(inner)}" if isinstance(inner, dict) else "object"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    kind = str(field.get("type", "any value"))
    return words.get(kind, kind)
