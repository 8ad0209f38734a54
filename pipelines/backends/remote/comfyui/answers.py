"""Reads what a ComfyUI server answers.

Its routes are in `server.py` and `execution.py` of Comfy-Org/ComfyUI; read there at commit a125cd84
(version 0.3.64), and for the newer `/api/jobs` at 002c3fb9.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ValidationError

from pipelines.backends.remote.access import Reply
from pipelines.backends.remote.service import JobStatus
from pipelines.backends.remote.words import words_of
from pipelines.errors import (
    GenerationError,
    QuotaError,
    ReelwrightError,
    SettingsError,
    UnavailableError,
)

_VIDEOS = frozenset({".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif"})
_LONGEST = 600
"""Characters of a server's message that are shown."""
_NO_MEMORY = ("outofmemory", "out of memory", "allocation on device", "cuda error: out of")
"""How torch and ComfyUI say that the device's memory ran out, in lower case."""


class _Status(BaseModel):
    status_str: str = ""
    completed: bool = False
    messages: list[tuple[str, dict[str, Any]]] = []


class _Entry(BaseModel):
    """A finished job in `/history`."""

    outputs: dict[str, dict[str, Any]] = {}
    status: _Status | None = None

    def message(self, *kinds: str) -> dict[str, Any] | None:
        """The newest message of one of these kinds."""
        messages = self.status.messages if self.status else []
        return next((data for kind, data in reversed(messages) if kind in kinds), None)


def unexpected(reply: Reply, what: str) -> ReelwrightError:
    """The error for an answer that is not what `what` needs."""
    if reply.status in (401, 403):
        return SettingsError(
            f"the ComfyUI server does not let us {what} ({reply.status}): write "
            "where its key is with `key` in the backends file, or check what its proxy allows"
        )
    if reply.status == 429:
        return QuotaError(f"the ComfyUI server takes no more requests now (429, {what})")
    return UnavailableError(
        f"the ComfyUI server answered {reply.status} when we wanted to {what}; check its log and "
        "its address in the backends file"
    )


def history_status(reply: Reply, job: str, output: str) -> JobStatus | None:
    """The end of a job from `/history/{job}`; None if it is not there."""
    found = reply.json()
    if not isinstance(found, dict) or job not in found:
        return None
    try:
        entry = _Entry.model_validate(found[job])
    except ValidationError as error:
        raise UnavailableError(
            "the ComfyUI server's /history has a form that is not known here; its version may be "
            "too new or too old"
        ) from error
    usage = _usage(entry)
    if failure := _failure(entry):
        if _is_out_of_memory(failure):
            failure = f"the memory of the ComfyUI server's device ran out in {failure}"
            return JobStatus("failed", message=failure, usage=usage, lasting=True)
        return JobStatus("failed", message=failure, usage=usage)
    files = list(_files(entry.outputs.get(output, {})))
    if not files:
        return JobStatus(
            "failed",
            message=f"node {output} of the workflow made no file; outputs came from "
            f"{words_of(', '.join(entry.outputs)) or 'no node'}",
            usage=usage,
        )
    best = next((file for file in files if _is_video(file)), files[0])
    return JobStatus("done", 1.0, result=best, usage=usage)


def _failure(entry: _Entry) -> str:
    error = entry.message("execution_error")
    if error:
        node = f"{error.get('node_type', 'a node')} (node {error.get('node_id', '?')})"
        text = str(error.get("exception_message", "")).strip() or str(error.get("exception_type"))
        return words_of(f"{node}: {text}", _LONGEST)
    if entry.message("execution_interrupted"):
        return "somebody stopped the job on the ComfyUI server"
    status = entry.status
    if status and (status.status_str == "error" or not status.completed):
        return "the ComfyUI server calls the job failed and gives no reason; see its log"
    return ""


def _is_out_of_memory(message: str) -> bool:
    """Whether a job failed since the memory of the server's device ran out."""
    return any(sign in message.lower() for sign in _NO_MEMORY)


def _usage(entry: _Entry) -> Mapping[str, float]:
    """Seconds between start and end, from the server's own clock (milliseconds)."""
    begin = entry.message("execution_start")
    end = entry.message("execution_success", "execution_error", "execution_interrupted")
    times = [item.get("timestamp") for item in (begin, end) if item]
    match times:
        case [int() | float() as first, int() | float() as last]:
            return {"seconds": max(0.0, (last - first) / 1000)}
    return {}


def _files(outputs: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Every file of a node's outputs: nodes list them as `images`, `gifs`, `video` and so on."""
    for items in outputs.values():
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("filename"), str):
                yield {
                    "filename": item["filename"],
                    "subfolder": str(item.get("subfolder") or ""),
                    "type": str(item.get("type") or "output"),
                }


def _is_video(file: Mapping[str, str]) -> bool:
    return PurePosixPath(file["filename"]).suffix.lower() in _VIDEOS


def queue_status(reply: Reply, job: str) -> JobStatus | None:
    """A job that has not ended from `/queue`; None if it is not there.

    An entry is `[number, id, graph, …]`; the list of waiting ones is in no order, the lowest number
    is next.
    """
    found = reply.json()
    if not isinstance(found, dict):
        raise UnavailableError("the ComfyUI server's /queue has a form that is not known here")
    if any(_id(item) == job for item in found.get("queue_running") or []):
        return JobStatus("running")
    waiting = [item for item in found.get("queue_pending") or [] if _id(item)]
    mine = next((item for item in waiting if _id(item) == job), None)
    if mine is None:
        return None
    before = sum(item[0] < mine[0] for item in waiting) + bool(found.get("queue_running"))
    return JobStatus("queued", message=f"{before} before it in the queue of the ComfyUI server")


def _id(item: Any) -> str:
    return str(item[1]) if isinstance(item, Sequence) and len(item) > 1 else ""


def rejected(reply: Reply) -> GenerationError:
    """The error for a workflow that the server does not accept (400).

    A node or a model file that is missing makes the backend unavailable: another one may be taken.
    Everything else is a fault of the workflow.
    """
    found = reply.json()
    error = found.get("error") if isinstance(found, dict) else None
    texts = list(_node_errors(found.get("node_errors") if isinstance(found, dict) else None))
    if isinstance(error, dict):
        whole = f"{error.get('message', '')} {error.get('details', '')}".strip()
        kind = str(error.get("type", ""))
        if kind == "missing_node_type" or "does not exist" in whole:
            return UnavailableError(words_of(f"the ComfyUI server lacks a node: {whole}", _LONGEST))
        texts = texts or [whole]
    text = words_of("; ".join(texts) or str(error), _LONGEST)
    if "value_not_in_list" in text:
        return UnavailableError(
            f"the ComfyUI server lacks a model or a choice of the workflow: {text}"
        )
    return GenerationError(
        f"the ComfyUI server does not accept the workflow: {text}; correct the workflow or its "
        "mapping"
    )


def _node_errors(found: Any) -> Iterator[str]:
    for node, value in found.items() if isinstance(found, dict) else ():
        if isinstance(value, dict):
            for error in value.get("errors") or []:
                yield (
                    f"{value.get('class_type', 'node')} (node {node}): {error.get('message')} "
                    f"({error.get('type')}: {error.get('details')})"
                )
