"""Reads a workflow with its mapping, and checks that they fit, before anything is sent."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.backends.remote.comfyui import mapping as mapped
from pipelines.backends.remote.comfyui.graph import Graph, is_link, read_graph
from pipelines.backends.remote.comfyui.mapping import Place, WorkflowMapping
from pipelines.errors import SettingsError
from pipelines.schema.keys import Digest
from pipelines.yaml_files import compose, line_of, read_yaml

_UNSEEN = {"title", "licence", "models", "packs", "presets", "sizes", "required", "sampler"}
"""Fields that do not change the pixels of a request."""

_REMEDIES: dict[mapped.ValueName, str] = {
    "width": ", or allow one size only",
    "height": ", or allow one size only",
    "frames": ", or allow one length only",
}


@dataclass(frozen=True)
class Workflow:
    """A workflow and its mapping, checked against each other."""

    graph: Graph
    """With the mapping's constants. It must not be changed."""
    mapping: WorkflowMapping

    @property
    def digest(self) -> Digest:
        """SHA-256 of everything in both files that decides pixels."""
        seen = self.mapping.model_dump(mode="json", exclude=_UNSEEN)
        text = json.dumps([self.graph, seen], sort_keys=True, separators=(",", ":"))
        return Digest(hashlib.sha256(text.encode()).hexdigest())


def read_workflow(workflow_path: Path, mapping_path: Path) -> Workflow:
    """Both files. Raises ValueError, with file, line, value, rule and remedy."""
    graph = read_graph(workflow_path)
    source = _Source(mapping_path)
    mapping = source.mapping()
    _check_values(source, mapping)
    for place in mapping.places():
        _check_target(source, workflow_path, graph, place)
    for path, node in mapping.nodes():
        if node not in graph:
            raise source.error(
                path, f"the workflow has no node {node!r}; its nodes are {_listed(graph)}"
            )
    _check_twice(source, mapping)
    for to, value in mapping.constants.items():
        node, name = to.split(".", 1)
        graph[node].inputs[name] = value
    return Workflow(graph, mapping)


class _Source:
    """The mapping file with the lines of its values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._text = path.read_text(encoding="utf-8")
            self._root = compose(self._text, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} cannot be read ({getattr(error, 'strerror', 'it is no text in UTF-8')}); "
                "a workflow needs a mapping: write one as docs/comfyui.md says, and name it with "
                "mapping"
            ) from error
        except SettingsError as error:
            raise ValueError(str(error)) from error

    def mapping(self) -> WorkflowMapping:
        """Its content. Raises ValueError for wrong fields."""
        try:
            return read_yaml(self._text, str(self.path), WorkflowMapping)
        except SettingsError as error:
            raise ValueError(str(error)) from error

    def error(self, path: mapped.Where, text: str) -> ValueError:
        """An error at `path` in the file."""
        return ValueError(f"{self.path}, line {line_of(self._root, path)}: {text}")


def _check_values(source: _Source, mapping: WorkflowMapping) -> None:
    """Every clip is checked for the size and length that were asked for: the workflow must be able
    to take them."""
    needed: list[mapped.ValueName] = ["prompt", "seed"]
    needed += ["width", "height"] if len(mapping.sizes) > 1 else []
    needed += ["frames"] if mapping.frames.min < mapping.frames.max else []
    for name in needed:
        if not mapping.values.get(name):
            raise source.error(
                ("values",),
                f"{name!r} goes to no node, so that a request cannot say it; add {name}: NODE.INPUT"
                + _REMEDIES.get(name, ""),
            )
    for name in mapped.TEXTS:
        for number, target in enumerate(mapping.values.get(name, ())):
            if not target.is_plain:
                raise source.error(
                    ("values", name, number),
                    f"{name!r} is a text and has no scale, offset or format; remove them",
                )
    if missing := mapping.required - mapping.inputs:
        raise source.error(
            ("required",),
            f"{', '.join(sorted(missing))} is required, but goes to no node; map it or remove it",
        )
    _check_presets(source, mapping)


def _check_presets(source: _Source, mapping: WorkflowMapping) -> None:
    rule = mapping.frames
    for number, preset in enumerate(mapping.presets):
        fits = rule.min <= preset.frames <= rule.max
        if not fits or (preset.frames - rule.offset) % rule.step:
            raise source.error(
                ("presets", number, "frames"),
                f"{preset.frames} frames break the rule of this workflow, {rule.step}k+"
                f"{rule.offset} from {rule.min} to {rule.max}; choose another length",
            )
        if preset.size not in mapping.sizes:
            raise source.error(
                ("presets", number, "size"),
                f"{preset.size} is none of the sizes {', '.join(map(str, mapping.sizes))}; add it "
                "there or choose one of them",
            )
        options: list[tuple[mapped.ValueName, object]] = [
            ("steps", preset.steps),
            ("guidance", preset.guidance),
        ]
        for name, value in options:
            if value is not None and not mapping.values.get(name):
                raise source.error(
                    ("presets", number, name),
                    f"{name} is {value}, but values.{name} goes to no node; map it or remove it",
                )


def _check_target(source: _Source, workflow: Path, graph: Graph, place: Place) -> None:
    target = place.target
    if target.node not in graph:
        raise source.error(
            place.path,
            f"{target.to!r}: {workflow.name} has no node {target.node!r}; its nodes are "
            f"{_listed(graph)}",
        )
    node = graph[target.node]
    is_constant = place.path[0] == "constants"
    if target.input not in node.inputs and not is_constant:
        raise source.error(
            place.path,
            f"{target.to!r}: node {target.node!r} ({node.kind}) has no input {target.input!r}, "
            f"only {', '.join(map(repr, node.inputs))}; write one of these",
        )
    value = node.inputs.get(target.input)
    if isinstance(value, list) and is_link(value):
        raise source.error(
            place.path,
            f"{target.to!r}: input {target.input!r} of node {target.node!r} ({node.kind}) is "
            f"linked to node {value[0]!r}; map an input of that node in its place",
        )


def _check_twice(source: _Source, mapping: WorkflowMapping) -> None:
    """A value that silently replaces another one is a mistake. A first frame and the last frame of
    the chunk before may share a node: no request has both."""
    seen: dict[str, mapped.Where] = {}
    for place in mapping.places():
        before = seen.setdefault(place.target.to, place.path)
        shared = {before[0], place.path[0]} == {"first_frame", "continuation"}
        if before != place.path and not shared:
            raise source.error(
                place.path,
                f"{place.target.to!r} is set twice, also by {'.'.join(map(str, before[:-1]))}; "
                "keep one of them",
            )


def _listed(graph: Graph) -> str:
    names = [f"{name} ({node.kind})" for name, node in graph.items()]
    return ", ".join(names[:30]) + (" …" if len(names) > 30 else "")
