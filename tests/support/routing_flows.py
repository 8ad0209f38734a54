"""produce-content in a process that knows two more backends, for tests with a worker.

They are the example's. `dear` asks for 1.20 USD and takes no more requests; `free` asks for
nothing and works. Import it in such a process only: it changes the backends of its process.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from examples.gradient_backend import GRADIENT, GradientBackend, GradientSession
from flows.produce_content import produce_content as produce_content
from pipelines.backends.base import BackendDefinition, Effort, GeneratedClip, InputMedia, StepReport
from pipelines.backends.registry import configure
from pipelines.errors import QuotaError
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest


class FullSession(GradientSession):
    """Takes no requests."""

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        raise QuotaError("dear takes no more requests today")


class DearBackend(GradientBackend):
    """Its price is above the cap of the policy."""

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        return dataclasses.replace(super().effort(requests), price=Money.of("1.20"))

    @contextmanager
    def open(self) -> Iterator[GradientSession]:
        yield FullSession(self.definition)


def _named(name: str, kind: type[GradientBackend]) -> BackendDefinition:
    preset = GRADIENT.presets[0].model_copy(update={"name": name, "backend": name})
    definition = dataclasses.replace(
        GRADIENT, name=name, presets=(preset,), create=lambda *_: kind(definition)
    )
    return definition


configure([_named("dear", DearBackend), _named("free", GradientBackend)])
