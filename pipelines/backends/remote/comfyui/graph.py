"""A workflow in ComfyUI's API format: nodes by id, each with a class and its inputs.

`{"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "…", "clip": ["38", 0]}}}`. An input is
a value, or a link to an output of another node: `[id, number of the output]`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Inputs = dict[str, Any]
MAX_BYTES = 2_000_000
"""Of a workflow file. The largest template of ComfyUI has 0.4 MB."""


class Node(dict[str, Any]):
    """One node, as it is sent."""

    @property
    def kind(self) -> str:
        """Its class."""
        return str(self["class_type"])

    @property
    def inputs(self) -> Inputs:
        """Its inputs by name."""
        inputs: Inputs = self["inputs"]
        return inputs


Graph = dict[str, Node]


def is_link(value: Any) -> bool:
    """Whether an input is linked to another node."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
    )


def copied(graph: Mapping[str, Node]) -> Graph:
    """A copy that can be changed. Values are plain, so that only two levels need copies."""
    return {
        name: Node(class_type=node.kind, inputs=dict(node.inputs)) for name, node in graph.items()
    }


def without(graph: Graph, removed: set[str]) -> None:
    """Take nodes out of `graph`, with all links to them."""
    for name in removed:
        graph.pop(name, None)
    for node in graph.values():
        dangling = [
            key for key, value in node.inputs.items() if is_link(value) and value[0] in removed
        ]
        for key in dangling:
            del node.inputs[key]


def read_graph(path: Path) -> Graph:
    """The workflow in `path`.

    Raises ValueError, with file, line, value, rule and remedy, if it is no workflow in API format.
    """
    text = _text(path)
    try:
        found = json.loads(text)
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise ValueError(
            f"{path}, line {line}: this is no JSON ({error}); save the workflow in ComfyUI with "
            "“Export (API)” again"
        ) from error
    if isinstance(found, dict) and isinstance(found.get("nodes"), list):
        raise ValueError(
            f"{path}, line {_line(text, 'nodes')}: this is a workflow for ComfyUI's editor, which "
            "a server does not run; open it in ComfyUI and save it with “Export (API)”"
        )
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}, line 1: a workflow is an object of nodes; this is none")
    graph = {str(name): _node(path, text, str(name), value) for name, value in found.items()}
    _check_links(path, text, graph)
    return graph


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path} has more than {MAX_BYTES:,} bytes; this is no workflow")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}); write the path of a workflow that "
            "Reelwright's user may read"
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8; save the workflow again") from error


def _line(text: str, name: str) -> int:
    """The line in which the key `name` is written first; 1 if it is nowhere."""
    place = text.find(json.dumps(name))
    return text.count("\n", 0, max(place, 0)) + 1


def _node(path: Path, text: str, name: str, value: Any) -> Node:
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("class_type"), str)
        or not isinstance(value.get("inputs"), dict)
    ):
        raise ValueError(
            f"{path}, line {_line(text, name)}: node {name!r} has no class_type or no inputs; a "
            "workflow in API format gives both for every node: save it with “Export (API)” again"
        )
    return Node(class_type=value["class_type"], inputs=dict(value["inputs"]))


def _check_links(path: Path, text: str, graph: Graph) -> None:
    for name, node in graph.items():
        for key, value in node.inputs.items():
            if is_link(value) and value[0] not in graph:
                raise ValueError(
                    f"{path}, line {_line(text, name)}: input {key!r} of node {name!r} "
                    f"({node.kind}) is linked to node {value[0]!r}, which is not in the workflow; "
                    "save the workflow with “Export (API)” again"
                )
