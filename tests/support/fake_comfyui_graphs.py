"""Workflows as a FAKE ComfyUI server reads them: it checks them, and makes clips without models.

A workflow is checked as `validate_prompt` and `validate_inputs` in `execution.py` of
Comfy-Org/ComfyUI do (commit a125cd84b054a57729b5eecab930ca9408719832), against the signatures in
`comfyui_nodes.json`, which name their sources one by one. A clip has the size, length and rate that
the workflow says, begins with the uploaded first frame if there is one, moves, and has the uploaded
sound if the workflow puts it into the video.
"""

import io
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

NODES: dict[str, Any] = json.loads(Path(__file__).with_name("comfyui_nodes.json").read_text())
Graph = dict[str, Any]


def installed(models: Mapping[str, Sequence[str]], lacks: Collection[str]) -> dict[str, Any]:
    """The signatures as `/object_info` gives them, with the model files that are there."""
    found: dict[str, Any] = json.loads(json.dumps(NODES))
    for node in found.values():
        for group in node["input"].values():
            for spec in group.values():
                if isinstance(spec[0], list) and str(spec[0][:1]).startswith("['<"):
                    spec[0] = list(models.get(spec[0][0].strip("<>"), []))
    return {name: node for name, node in found.items() if name not in lacks}


def invalid(
    graph: Graph, nodes: Mapping[str, Any], inputs: Collection[str]
) -> dict[str, Any] | None:
    """The answer to a workflow that cannot run; None if it can."""
    for name, node in graph.items():
        if node["class_type"] not in nodes:
            message = f"Cannot execute because node {node['class_type']} does not exist."
            return error("invalid_prompt", message, f"Node ID '#{name}'")
    errors = {
        name: {"errors": wrong, "dependent_outputs": [], "class_type": node["class_type"]}
        for name, node in graph.items()
        if (wrong := list(_faults(graph, node, nodes, inputs)))
    }
    if not errors:
        return None
    whole = error("prompt_outputs_failed_validation", "Prompt outputs failed validation")
    return {**whole, "node_errors": errors}


def _faults(
    graph: Graph, node: Mapping[str, Any], nodes: Mapping[str, Any], inputs: Collection[str]
) -> Iterator[dict[str, Any]]:
    spec = nodes[node["class_type"]]["input"]
    for name, (kind, *_) in spec["required"].items():
        needed = {name}
        if kind == "COMFY_AUTOGROW_V3":
            needed = {f"{name}.image0", f"{name}.image1"}
        if not needed <= set(node["inputs"]):
            yield _wrong("required_input_missing", "Required input is missing", name)
    for name, (kind, *_) in {**spec["required"], **spec.get("optional", {})}.items():
        value = node["inputs"].get(name)
        if isinstance(value, list):
            given = nodes[graph[value[0]]["class_type"]]["output"][value[1]]
            if given != kind:
                yield _wrong("return_type_mismatch", "Return type mismatch", name)
        elif isinstance(kind, list) and value is not None and value not in {*kind, *inputs}:
            details = f"{name}: '{value}' not in {kind}"
            yield _wrong("value_not_in_list", "Value not in list", details)


def error(kind: str, message: str, details: str = "") -> dict[str, Any]:
    """The answer to a prompt that is not accepted."""
    return {"error": _wrong(kind, message, details), "node_errors": {}}


def _wrong(kind: str, message: str, details: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


def clip_of(graph: Graph, files: Mapping[str, bytes], off: int) -> bytes:
    """The clip of a workflow, with the sound that goes into its video."""
    inputs = [node["inputs"] for node in graph.values()]
    shape = next(item for item in inputs if {"width", "height", "length"} <= set(item))
    rate = next(item[name] for item in inputs for name in ("fps", "frame_rate") if name in item)
    first = files.get(_source(graph, shape.get("start_image")) or "")
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=int(rate), options={"crf": "10"})
        video.width, video.height, video.pix_fmt = shape["width"], shape["height"], "yuv420p"
        heard = [item["audio"] for item in inputs if "images" in item and "audio" in item]
        spoken = _source(graph, heard[0]) if heard else None
        audio = container.add_stream("aac", rate=48_000) if spoken else None
        for number in range(shape["length"] - off):
            frame = av.VideoFrame.from_ndarray(_picture(shape, first, number), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio and spoken:
            with av.open(io.BytesIO(files[spoken])) as source:
                resampler = av.AudioResampler("fltp", "stereo", 48_000)
                for piece in source.decode(audio=0):
                    for part in resampler.resample(piece):
                        container.mux(audio.encode(part))
            container.mux(audio.encode())
    return target.getvalue()


def _source(graph: dict[str, Any], link: Any) -> str | None:
    """Name of the uploaded file behind a link to a node that loads it."""
    if not isinstance(link, list):
        return None
    inputs = graph[link[0]]["inputs"]
    return next((str(inputs[name]) for name in ("image", "audio", "file") if name in inputs), None)


def _picture(shape: dict[str, Any], first: bytes | None, number: int) -> np.ndarray[Any, Any]:
    """The first frame, or a bar on grey, that moves to the right by two pixels a frame: a chunk
    that begins with the last frame of another one goes on from it without a seam."""
    if first:
        base = np.asarray(Image.open(io.BytesIO(first)).convert("RGB"))
    else:
        base = np.full((shape["height"], shape["width"], 3), 90, np.uint8)
        base[:, 8:16] = (230, 180, 60)
    return np.roll(base, 2 * number, axis=1)
