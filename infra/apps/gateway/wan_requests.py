"""Requests of the Wan service, and the briefs that they become."""

import math
import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from infra.apps.gateway.lengths import chunk_frames
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.state import Gateway
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definitions, offered_sizes, stand_in
from pipelines.backends.wan.service_tasks import (
    DEFAULT_TASKS,
    STANDS_IN,
    WAN_TASKS,
    Kind,
    WanTask,
)
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.schema.languages import AS_WRITTEN
from pipelines.schema.limits import MIN_SECONDS
from pipelines.schema.presets import Preset
from pipelines.schema.shots import MAX_PROMPT, MAX_SEED
from pipelines.schema.sizes import Size

_OFFERED = ", ".join(map(str, offered_sizes()))
_SIZE = re.compile(r"\d{2,4}\*\d{2,4}\Z")


class Generate(BaseModel):
    """A request as the Wan service takes it. What it does not know is ignored, with a warning."""

    model_config = ConfigDict(
        extra="allow",  # kept only to name it in a warning
        json_schema_extra={
            "examples": [
                {
                    "task": "t2v-1.3B",
                    "prompt": "a red ball moves to the right over a dark blue background",
                    "size": "832*480",
                    "frame_num": 33,
                    "sample_steps": 25,
                    "sample_guide_scale": 6.0,
                    "base_seed": 42,
                }
            ]
        },
    )

    prompt: str = Field(min_length=1, max_length=MAX_PROMPT)
    task: str = Field("", max_length=40, description=f"One of {', '.join(WAN_TASKS)}.")
    size: str = Field("832*480", max_length=9, description=f"One of {_OFFERED}.")
    frame_num: int = Field(33, ge=1, le=9600, description="Frames of the video.")
    sample_steps: int = Field(25, ge=1, le=100)
    sample_guide_scale: float = Field(6.0, ge=0, le=20)
    base_seed: int = Field(-1, ge=-1, le=MAX_SEED, description="-1 derives it from the prompt.")

    def known(self) -> dict[str, Any]:
        """The fields that it knows, as JSON values. Only they decide which request is the same."""
        return self.model_dump(mode="json", include=set(type(self).model_fields))


class GenerateImage(Generate):
    """The same, from a picture."""

    image_path: str = Field(
        "", max_length=300, description="`uploads/….png`, as `POST /uploads` answers it."
    )


class GenerateAnimation(GenerateImage):
    """The same, moved by videos of pose and face."""

    motion_path: str = Field(
        "", max_length=300, description="`uploads/….zip`, as `POST /uploads` answers it."
    )
    src_root_path: str = Field(
        "", max_length=300, description="Another name of `motion_path`, as the Wan guide has it."
    )
    replace_flag: bool = Field(
        False, description="Put the figure into the archive's own background and mask."
    )


def task_of(kind: Kind, name: str) -> WanTask:
    """The task `name`, or the usual one of `kind`. Raises ProblemError 422 if it is none."""
    task = WAN_TASKS.get(name or DEFAULT_TASKS[kind])
    if task is None or kind not in task.kinds:
        names = ", ".join(item.name for item in WAN_TASKS.values() if kind in item.kinds)
        raise ProblemError(
            422, "unknown_task", f"task {name!r} is none of {kind}; choose of {names}"
        )
    return task


def answering(gateway: Gateway, task: WanTask) -> BackendDefinition | None:
    """The backend that does a task here: its own, the stand-in, or none."""
    installed = gateway.installed()
    if task.backend in installed:
        return definitions()[task.backend]
    other = stand_in()
    may = gateway.settings.gateway.stand_in and not STANDS_IN.isdisjoint(task.kinds)
    return other if may and other.name in installed else None


def backend_for(gateway: Gateway, task: WanTask, kind: Kind) -> BackendDefinition:
    """The backend that does a task of that kind. Raises ProblemError 409 if there is none."""
    found = answering(gateway, task)
    if found is not None and (found.name == task.backend or kind in STANDS_IN):
        return found
    remedy = (
        f"run: reelwright models download {task.name}"
        if task.backend
        else "Reelwright cannot run it yet; GET /models lists the tasks that it can"
    )
    raise ProblemError(
        409, "model_not_installed", f"{task.name} needs {task.model}, which is not here: {remedy}"
    )


def brief_of(body: Generate, task: WanTask, kind: Kind, backend: BackendDefinition) -> Brief:
    """The brief of a request; a stand-in makes it at its own size, steps and guidance.

    The video has exactly `frame_num` frames at the backend's frame rate; a shorter one than
    the 0.25 seconds of a brief is as long as that. Raises BriefError, or ProblemError 422 for a
    size that the backend does not offer.
    """
    size = _size_of(body, task, backend)
    preset = _preset_of(backend, size, body)
    fps = backend.capabilities.fps
    frames = max(body.frame_num, math.ceil(MIN_SECONDS * fps))
    values: dict[str, Any] = {
        "prompt": body.prompt,
        "preset": preset.name,
        "seed": body.base_seed,
        "enhance": False,
        "language": AS_WRITTEN,  # as the service that this one is like
        "kind": "image" if body.frame_num == 1 else "video",
        "seconds": frames / fps,
    }
    if backend.name != task.backend:
        values |= {"stands_in_for": task.model, "joins": "continue"}
    else:
        values |= _as_asked(body, task, preset)
        if kind != "text-to-video":  # one picture and one movement, not a cut back to the picture
            values["joins"] = "continue"
    if body.frame_num == 1:
        values.pop("joins", None)
    else:
        chunk = chunk_frames(frames, preset, backend, continues="joins" in values)
        values |= {} if chunk is None else {"frames": chunk}
    return parse_brief(values | _uploads_of(body))


def _size_of(body: Generate, task: WanTask, backend: BackendDefinition) -> Size:
    """The size, if it is given one of the task's own backend; a stand-in takes any that exists."""
    is_own = backend.name == task.backend and "size" in body.model_fields_set
    offered = backend.capabilities.sizes if is_own else offered_sizes()
    if _SIZE.match(body.size) and (size := Size.parse(body.size)) in offered:
        return size
    raise ProblemError(
        422,
        "invalid",
        f"size {body.size!r} is not offered{f' by {backend.title}' if is_own else ''}; "
        f"choose one of {', '.join(map(str, offered))}",
    )


def _preset_of(backend: BackendDefinition, size: Size, body: Generate) -> Preset:
    """The preset whose size is nearest: `sample_steps` and the like are then set over it."""
    presets = [item for item in backend.presets if not item.is_still]
    if isinstance(body, GenerateAnimation):
        roles = 4 if body.replace_flag else 2
        presets = [item for item in presets if len(item.options.video_roles) == roles] or presets
    return min(presets, key=lambda item: abs(item.size.megapixels - size.megapixels))


def _as_asked(body: Generate, task: WanTask, preset: Preset) -> dict[str, Any]:
    """What a request sets. The usual task also takes the schema's own numbers, as it always did;
    other models have numbers of their own, which only a value in the request replaces."""
    values: dict[str, Any] = {}
    always = task.name == DEFAULT_TASKS["text-to-video"]
    names = {"size": "size", "sample_steps": "steps", "sample_guide_scale": "guidance"}
    for name, ours in names.items():
        if always or name in body.model_fields_set:
            values[ours] = getattr(body, name)
    if "guidance" in values and "guidance" not in type(preset.options).model_fields:
        values.pop("guidance")
    return values


def _uploads_of(body: Generate) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if isinstance(body, GenerateAnimation):
        motion = body.motion_path or body.src_root_path
        if not motion:
            raise ProblemError(422, "invalid", "motion_path is empty; POST /uploads answers one")
        values["motion"] = motion
        values["references"] = [body.image_path]
    elif isinstance(body, GenerateImage):
        values["image"] = body.image_path
    if isinstance(body, GenerateImage) and not body.image_path:
        raise ProblemError(422, "invalid", "image_path is empty; POST /uploads answers one")
    return values
