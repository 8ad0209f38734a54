"""The kind `comfyui`: what an entry of the operator's file offers."""

from pathlib import Path

from pydantic import Field

from pipelines.backends.base import UsedModel
from pipelines.backends.remote.access import Connection
from pipelines.backends.remote.comfyui.config import ComfyConfig
from pipelines.backends.remote.comfyui.mapping import WorkflowMapping
from pipelines.backends.remote.comfyui.reading import Workflow, read_workflow
from pipelines.backends.remote.comfyui.service import ComfyService
from pipelines.backends.remote.kind import Kind, Offer
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import VideoRole

NAME = "comfyui"
RECIPE = "comfyui/1"
"""Raised when our own code gives a workflow other inputs for the same request."""
_offered: dict[tuple[Path, Path], Workflow] = {}
"""What `offer` has read. A file that somebody edits while the studio runs is read at the next
start: until then clips must not be made by it under the identity of the old one."""


class ComfyOptions(BackendOptions):
    """What an editor may set, if the workflow has a place for it."""

    steps: int | None = Field(None, ge=1, le=200)
    """None: as the workflow says."""
    guidance: float | None = Field(None, ge=0, le=30)


def _options_with(roles: tuple[VideoRole, ...]) -> type[ComfyOptions]:
    """The options of a workflow that uses these videos of an archive."""

    class MappedOptions(ComfyOptions):
        """Options of one workflow."""

        @property
        def video_roles(self) -> tuple[VideoRole, ...]:
            return roles

    return MappedOptions


def offer(config: ComfyConfig) -> Offer:
    """What the entry offers. Raises ValueError, with file, line, value, rule and remedy, if the
    workflow and its mapping cannot work."""
    workflow = _offered[_paths(config)] = read_workflow(*_paths(config))
    mapping = workflow.mapping
    options = _options_with(tuple(mapping.videos))
    return Offer(
        title=config.title or mapping.title,
        capabilities=_capabilities(mapping, paid=config.price_per_hour > 0),
        options=options,
        presets=tuple(
            Preset(
                name="_".join(filter(None, (config.preset_prefix, preset.name))),
                title=preset.title,
                backend=config.name,
                size=preset.size,
                frames=preset.frames,
                options=options(steps=preset.steps, guidance=preset.guidance),
            )
            for preset in mapping.presets
        ),
        model=UsedModel(
            name=mapping.model,
            licence=mapping.licence,
            components={"workflow": workflow.digest, "recipe": RECIPE},
        ),
    )


def _capabilities(mapping: WorkflowMapping, *, paid: bool) -> Capabilities:
    rule = mapping.frames
    return Capabilities(
        inputs=mapping.inputs,
        required=mapping.required,
        fps=mapping.fps,
        frame_step=rule.step,
        frame_offset=rule.offset,
        min_frames=rule.min,
        max_frames=rule.max,
        sizes=mapping.sizes,
        side_step=mapping.side_step,
        overlap=mapping.continuation.frames if mapping.continuation else 0,
        max_references=len(mapping.references.to) if mapping.references else 1,
        audio=mapping.sound,
        reproducible=mapping.reproducible,
        retakes=not paid,
        location="remote",
    )


def _paths(config: ComfyConfig) -> tuple[Path, Path]:
    return config.workflow_path, config.mapping_path


def service(config: ComfyConfig, connection: Connection) -> ComfyService:
    """The server of an entry, with the workflow that was offered."""
    paths = _paths(config)
    return ComfyService(config, _offered.get(paths) or read_workflow(*paths), connection)


KIND = Kind(name=NAME, config=ComfyConfig, offer=offer, service=service)
