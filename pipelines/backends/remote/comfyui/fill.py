"""Puts a request into a workflow."""

from collections.abc import Mapping
from decimal import Decimal

from pipelines.backends.remote.comfyui.graph import Graph, copied, without
from pipelines.backends.remote.comfyui.mapping import References, Target, ValueName, WorkflowMapping
from pipelines.backends.remote.comfyui.reading import Workflow
from pipelines.schema.request import ClipRequest, ReferenceImage, ReferenceVideo

Files = Mapping[str, str]
"""`node.input` → name of the uploaded file on the server."""


def filled(workflow: Workflow, request: ClipRequest, files: Files) -> Graph:
    """The workflow for `request`. What it has no input for is taken out, with all links to it."""
    graph = copied(workflow.graph)
    mapping = workflow.mapping
    for given, value in _values(request).items():
        if value is not None:
            for target in mapping.values.get(given, ()):
                graph[target.node].inputs[target.input] = target.value(value)
    for to, file in files.items():
        node, name = to.split(".", 1)
        graph[node].inputs[name] = file
    without(graph, _unused(mapping, request))
    if mapping.references:
        _join(graph, mapping.references, _pictures(request))
    return graph


def _values(request: ClipRequest) -> dict[ValueName, str | int | float | Decimal | None]:
    steps, guidance = (request.options.get(name) for name in ("steps", "guidance"))
    return {
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": request.seed,
        "width": request.size.width,
        "height": request.size.height,
        "frames": request.frames,
        "fps": request.fps,
        "seconds": Decimal(request.frames) / request.fps,
        "steps": steps,
        "guidance": guidance,
    }


def _pictures(request: ClipRequest) -> int:
    return sum(isinstance(item, ReferenceImage) for item in request.inputs)


def _unused(mapping: WorkflowMapping, request: ClipRequest) -> set[str]:
    """Nodes that load what the request does not have."""
    kinds = request.kinds
    used: set[str] = set()
    absent: set[str] = set()

    def sort(nodes: frozenset[str], present: bool) -> None:
        (used if present else absent).update(nodes)

    if goes_on := mapping.continuation:
        sort(goes_on.own, "continuation" in kinds)
        sort(_nodes_of(goes_on.picture), "continuation" in kinds)
    if first := mapping.first_frame:
        begun = goes_on is not None and "continuation" in kinds
        shared = begun and goes_on is not None and bool(set(first.to) & set(goes_on.picture))
        sort(first.own, "first_frame" in kinds or shared)
    if mapping.last_frame:
        sort(mapping.last_frame.own, "last_frame" in kinds)
    if mapping.audio:
        sort(mapping.audio.own, "audio" in kinds)
    roles = {item.role for item in request.inputs if isinstance(item, ReferenceVideo)}
    for role, media in mapping.videos.items():
        sort(media.own, role in roles)
    if mapping.references:
        count = _pictures(request)
        sort(frozenset(mapping.references.nodes), count > 0)
        sort(_nodes_of(mapping.references.to[:count]), True)
        sort(_nodes_of(mapping.references.to[count:]), False)
    return absent - used


def _nodes_of(targets: tuple[Target, ...]) -> frozenset[str]:
    return frozenset(target.node for target in targets)


def _join(graph: Graph, references: References, count: int) -> None:
    """Give the node that joins pictures as many as there are. It wants two at least: a single one
    is linked past it, and without any it is taken out."""
    if not references.batch:
        return
    batch, prefix = references.batch.split(".", 1)
    loaders = [target.node for target in references.to[:count]]
    inputs = graph[batch].inputs
    for name in [name for name in inputs if name.startswith(prefix)]:
        del inputs[name]
    for number, loader in enumerate(loaders):
        inputs[f"{prefix}{number}"] = [loader, 0]
    if len(loaders) == 1:
        for node in graph.values():
            for name, value in node.inputs.items():
                if value == [batch, 0]:
                    node.inputs[name] = [loaders[0], 0]
    if len(loaders) < 2:
        without(graph, {batch})
