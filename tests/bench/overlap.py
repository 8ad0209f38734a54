"""Run by `tests.bench`: one film, with BENCH_BESIDE=1 stored beside the device, else after it.

BENCH_DEVICE=asleep stands for a GPU: it makes a chunk in DENOISE_SECONDS and an enlarged frame in
UPSCALE_SECONDS without the processor. BENCH_DEVICE=demo is the demo model on this processor.
"""

import dataclasses
import json
import os
import resource
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from pipelines.backends.base import Frame, GeneratedClip, InputMedia, StepReport
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size

CHUNKS, FRAMES = 6, 33
DENOISE_SECONDS, STEPS, UPSCALE_SECONDS = 2.0, 8, 0.04
SIZE, FPS = Size(832, 480), 16


def main() -> None:
    from functools import partial

    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    import tasks.context
    from flows.produce_content import produce_content
    from tasks.background import Background

    beside = os.environ["BENCH_BESIDE"] == "1"
    forced = partial(Background, beside=beside)
    tasks.context.Background = lambda **_: forced()  # type: ignore[assignment, misc]
    with ExitStack() as stack:
        stack.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        if os.environ["BENCH_DEVICE"] == "asleep":
            brief = stack.enter_context(asleep())
        else:
            size = {"size": "416*240", "steps": 4, "frames": FRAMES}
            brief = Brief(prompt="a red fox", seconds=CHUNKS * FRAMES / FPS, enhance=False, **size)
        brief = brief.model_copy(update={"seed": int(os.environ["BENCH_SEED"])})
        start, busy = time.perf_counter(), cpu_seconds()
        manifest = produce_content(brief)
        wall, cpu = time.perf_counter() - start, cpu_seconds() - busy
    assert isinstance(manifest, Manifest)
    assert manifest.run.chunks_made == CHUNKS
    stages = {item.stage: item.seconds for item in manifest.stages}
    result = {"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "stages": stages}
    print(json.dumps(result))


def cpu_seconds() -> float:
    """Of this process and of the children that have ended, such as ffmpeg."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


@contextmanager
def asleep() -> Iterator[Brief]:
    """A brief for a backend and an upscaler that sleep."""
    from examples.gradient_backend import GRADIENT, GradientBackend, GradientSession
    from pipelines.backends.registry import registered
    from tasks.context import RunContext

    class Session(GradientSession):
        def generate(
            self, request: ClipRequest, media: InputMedia, on_step: StepReport
        ) -> GeneratedClip:
            for step in range(STEPS):
                time.sleep(DENOISE_SECONDS / STEPS)
                on_step(step + 1, STEPS)
            return super().generate(request, media, lambda *_: None)

    class Backend(GradientBackend):
        @contextmanager
        def open(self) -> Iterator[Session]:
            yield Session(self.definition)

    class Network:
        memory = "whole"

        def upscale(self, frames: Iterable[Frame], factor: int) -> Iterator[Frame]:
            for frame in frames:
                time.sleep(UPSCALE_SECONDS)
                yield frame.repeat(factor, axis=0).repeat(factor, axis=1)

    can = GRADIENT.capabilities.model_copy(update={"sizes": (SIZE,), "fps": FPS})
    preset = GRADIENT.presets[0].model_copy(update={"size": SIZE, "frames": FRAMES})
    definition = dataclasses.replace(
        GRADIENT,
        capabilities=can,
        presets=(preset,),
        model_set="demo",
        create=lambda *_: Backend(definition),
    )
    RunContext.upscaler = lambda _: Network()  # type: ignore[assignment, method-assign, return-value]
    with registered(definition):
        seconds = CHUNKS * FRAMES / FPS
        yield Brief(
            prompt="two colours", preset="gradient", seconds=seconds, upscale=2, enhance=False
        )


if __name__ == "__main__":
    main()
