"""Plans without models: a backend whose weights are only names."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from pipelines.backends.base import (
    BackendDefinition,
    BackendSession,
    Effort,
    UsedModel,
)
from pipelines.documents.brief import Brief
from pipelines.planning.plan import make_plan, timeline
from pipelines.schema.plan import Plan, UpscaleSpec, digest_of
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest
from pipelines.schema.storyboard import Shot, Storyboard


@dataclass(frozen=True)
class NamedBackend:
    """A VideoBackend that can be planned with, and makes nothing."""

    definition: BackendDefinition
    components: Mapping[str, str] = field(
        default_factory=lambda: {"transformer": digest_of("wan"), "dtype": "float32"}
    )

    def identity(self, _: BackendOptions) -> Mapping[str, str]:
        return self.components

    def models(self, _: BackendOptions) -> tuple[UsedModel, ...]:
        return (UsedModel(self.definition.title, "Apache-2.0", self.components),)

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        return Effort(sum(r.size.megapixels * r.frames for r in requests), 10**9)

    def open(self) -> AbstractContextManager[BackendSession]:
        raise AssertionError("a plan opens no backend")


def upscale_of(brief: Brief) -> UpscaleSpec | None:
    if brief.upscale == 1:
        return None
    revision = digest_of("net")
    return UpscaleSpec(factor=brief.upscale, model="net", revision=revision, dtype="float32")


def storyboard_of(brief: Brief) -> Storyboard:
    shots = tuple(
        Shot(number=n, camera="Wide shot", prompt=f"shot {n} {brief.prompt}", source="brief")
        for n in range(1, len(timeline(brief)) + 1)
    )
    return Storyboard(shots=shots, enhancer="none", written=0)


def plan_brief(brief: Brief, storyboard: Storyboard | None = None) -> Plan:
    board = storyboard or storyboard_of(brief)
    return make_plan(brief, board, NamedBackend(brief.backend), upscale_of(brief))


def plan_of(**values: object) -> Plan:
    return plan_brief(Brief.model_validate({"prompt": "a red fox", **values}))
