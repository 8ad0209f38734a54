"""Compares a workflow with the nodes and models that a server says it has.

`/object_info/{class}` gives the signature of a node: its inputs with their types, and for a choice
the list of values, which for a loader is the list of model files on the server.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.backends.remote.comfyui.graph import Graph, Node, is_link
from pipelines.backends.remote.comfyui.mapping import WorkflowMapping

Signatures = Mapping[str, Mapping[str, Any]]
"""Class → what `/object_info` says of it."""
_CHOICE = "COMFY_DYNAMICCOMBO_V3"
_SERIES = "COMFY_AUTOGROW_V3"
_ANYTHING = "*"


@dataclass(frozen=True)
class Problem:
    """Why a server cannot run a workflow."""

    kind: Literal["node", "model", "input"]
    text: str


@dataclass(frozen=True)
class _Spec:
    """An input of a node: its type, the values to choose from, whether it must be given."""

    type: str
    choices: tuple[Any, ...] | None
    needed: bool


def problems(
    graph: Graph, signatures: Signatures, mapping: WorkflowMapping, *, strict: bool = False
) -> list[Problem]:
    """Everything that is missing.

    `strict` also names inputs that a node does not have, which a server ignores, and those that it
    wants below a choice, which versions of a server see differently.
    """
    found: list[Problem] = []
    mapped = {place.target.to for place in mapping.places() if place.path[0] != "constants"}
    for name, node in graph.items():
        if node.kind not in signatures:
            found.append(Problem("node", _absent(node.kind, mapping)))
            continue
        specs = dict(_specs(signatures[node.kind].get("input", {}), node, ""))
        found += _missing(name, node, specs, strict=strict)
        for key, value in node.inputs.items():
            if key not in specs:
                if strict:
                    found.append(
                        Problem("input", f"node {name} ({node.kind}) has no input {key!r}")
                    )
            elif is_link(value):
                found += _wrong_link(graph, signatures, name, key, specs[key])
            elif f"{name}.{key}" not in mapped:
                found += _wrong_value(name, node, key, specs[key], mapping)
    return list(dict.fromkeys(found))


def _absent(kind: str, mapping: WorkflowMapping) -> str:
    pack = next((pack for pack in mapping.packs if kind in pack.nodes), None)
    remedy = (
        f"install {pack.pack} ({pack.url})" if pack else "update ComfyUI, or install its node pack"
    )
    return f"the node {kind} is missing: {remedy}"


def _specs(inputs: Any, node: Node, prefix: str) -> Iterator[tuple[str, _Spec]]:
    """The inputs of `node` by name. Those below a choice or a series depend on what is given."""
    for group in ("required", "optional"):
        for key, raw in (inputs.get(group) or {}).items():
            kind, more = raw[0], raw[1] if len(raw) > 1 and isinstance(raw[1], dict) else {}
            name, needed = f"{prefix}{key}", group == "required"
            if kind == _SERIES:
                yield from _series(name, more.get("template", more), node, needed)
            elif kind == _CHOICE:
                options = {item.get("key"): item for item in more.get("options", [])}
                yield name, _Spec("COMBO", tuple(options), needed)
                picked = node.inputs.get(name)
                chosen = options.get(picked) if isinstance(picked, str) else None
                yield from _specs((chosen or {}).get("inputs", {}), node, f"{name}.")
            elif isinstance(kind, list):
                yield name, _Spec("COMBO", tuple(kind), needed)
            elif kind == "COMBO":
                choices = more.get("options")
                yield name, _Spec("COMBO", None if choices is None else tuple(choices), needed)
            else:
                yield name, _Spec(str(kind), None, needed)


def _series(name: str, template: Any, node: Node, needed: bool) -> Iterator[tuple[str, _Spec]]:
    """Inputs of one type that a node takes any number of: `images.image0`, `images.image1`, …"""
    single = next(iter((template.get("input", {}).get("required") or {}).values()), [_ANYTHING])
    prefix, least = f"{name}.{template.get('prefix', '')}", int(template.get("min", 0))
    for number in range(least):
        yield f"{prefix}{number}", _Spec(str(single[0]), None, needed)
    for key in node.inputs:
        number_text = key.removeprefix(prefix)
        if key.startswith(prefix) and number_text.isdecimal() and int(number_text) >= least:
            yield key, _Spec(str(single[0]), None, False)


def _missing(
    name: str, node: Node, specs: Mapping[str, _Spec], *, strict: bool
) -> Iterator[Problem]:
    for key, spec in specs.items():
        if spec.needed and key not in node.inputs and (strict or "." not in key):
            yield Problem(
                "input",
                f"node {name} ({node.kind}) needs the input {key!r}, which the workflow does not "
                "give: save it again from this version of ComfyUI",
            )


def _wrong_link(
    graph: Graph, signatures: Signatures, name: str, key: str, spec: _Spec
) -> Iterator[Problem]:
    other, number = graph[name].inputs[key]
    outputs = signatures.get(graph[other].kind, {}).get("output")
    if outputs is None:
        return  # the other node is missing, which is named already
    where = f"input {key!r} of node {name} ({graph[name].kind})"
    if number >= len(outputs):
        yield Problem(
            "input",
            f"{where} is linked to output {number} of node {other} ({graph[other].kind}), which "
            f"has {len(outputs)}",
        )
    elif not _fits(outputs[number], spec.type):
        yield Problem(
            "input",
            f"{where} takes {spec.type}, but is linked to {outputs[number]} of node {other} "
            f"({graph[other].kind})",
        )


def _fits(given: Any, wanted: str) -> bool:
    if isinstance(given, list):
        given = "COMBO"
    kinds = set(wanted.split(","))
    return _ANYTHING in (given, wanted) or bool(kinds & set(str(given).split(",")))


def _wrong_value(
    name: str, node: Node, key: str, spec: _Spec, mapping: WorkflowMapping
) -> Iterator[Problem]:
    value = node.inputs[key]
    if spec.choices is None or value in spec.choices:
        return
    model = next((model for model in mapping.models if model.file == value), None)
    if model:
        yield Problem(
            "model",
            f"the model {model.file} is missing: put it into models/{model.folder}/ (from "
            f"{model.url})",
        )
        return
    offered = ", ".join(map(str, spec.choices[:5])) + (" …" if len(spec.choices) > 5 else "")
    yield Problem(
        "model" if str(value).endswith((".safetensors", ".gguf", ".pth", ".ckpt")) else "input",
        f"node {name} ({node.kind}) asks for {key} {value!r}, and the server has "
        f"{offered or 'none'}",
    )
