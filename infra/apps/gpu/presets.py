"""Which presets fit into the GPU, and how long they take: one short clip of each is made."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

from infra.adapters import disk
from infra.adapters.device import cache
from infra.adapters.device.host import DeviceHost
from infra.adapters.device.trial import TrialHost
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import state_of
from pipelines.backends.base import BackendDefinition, VideoBackend
from pipelines.backends.measuring import (
    ClipCost,
    GreyMedia,
    measure_clip,
    steps_of,
    trial_request,
)
from pipelines.errors import ReelwrightError
from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest

VIDEO_SECONDS = 10
_STEPS = 2
"""Steps that are made: the second one is timed."""
_RANDOM_BYTES = 6_000_000_000
"""Disk space for a model of random weights, with reserve: the largest takes 3.5 GB."""
_log = logging.getLogger("reelwright.gpu")


@dataclass(frozen=True)
class Outcome:
    """One preset on this machine."""

    preset: Preset
    fps: int
    planned: int = 0
    """Bytes of the memory plan; 0 if there is none."""
    usable: int = 0
    """Bytes that Reelwright could use."""
    cost: ClipCost | None = None
    """Of a whole chunk, calculated from a short one; None if none was made."""
    work: float = 0.0
    """Of a whole chunk, in the backend's units."""
    problem: str = ""

    @property
    def fits(self) -> bool:
        """Whether the plan fits what can be used."""
        return 0 < self.planned <= self.usable

    @property
    def film_seconds(self) -> float | None:
        """Seconds that the chunks of a video of VIDEO_SECONDS take; None for a still."""
        if self.cost is None or self.preset.is_still:
            return None
        return self.cost.seconds * ceil(VIDEO_SECONDS * self.fps / self.preset.frames)


@dataclass(frozen=True)
class Measured:
    """One backend on this machine."""

    definition: BackendDefinition
    random: bool
    """Whether its weights were random, because it is not installed."""
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""

    @property
    def seconds_a_unit(self) -> float:
        """Seconds for a unit of the backend's work, over all presets that were measured; 0 if
        none was."""
        made = [item for item in self.outcomes if item.cost and item.work]
        work = sum(item.work for item in made)
        return sum(item.cost.seconds for item in made if item.cost) / work if work else 0.0


def measure(
    definition: BackendDefinition, settings: Settings, say: Callable[[str], None]
) -> Measured:
    """Make a short clip of every preset of `definition`, with random weights if it is not
    installed. What cannot be made is said in the result."""
    random = not is_installed(definition, settings)
    if random and definition.random_model is None:
        return Measured(definition, random, problem=_not_installed(definition))
    try:
        with _host(definition, settings, say, random=random) as host:
            return Measured(definition, random, tuple(_outcomes(definition, host, say)))
    except (ReelwrightError, RuntimeError) as error:
        return Measured(definition, random, problem=str(error))
    finally:
        cache.release_all()


def is_installed(definition: BackendDefinition, settings: Settings) -> bool:
    """Whether all is there that its videos need at least; nothing is hashed."""
    return all(
        state_of(settings.paths.models, MODELS[name]).kind == "installed"
        for name in _needed(definition)
    )


def _needed(definition: BackendDefinition) -> tuple[str, ...]:
    return definition.models_for(definition.capabilities.required)


def _not_installed(definition: BackendDefinition) -> str:
    names = " ".join(_needed(definition))
    return f"not installed; run: reelwright models download {names}"


@contextmanager
def _host(
    definition: BackendDefinition, settings: Settings, say: Callable[[str], None], *, random: bool
) -> Iterator[DeviceHost]:
    """This machine, with the backend's models. Those of random weights are deleted at the end."""
    if not random or definition.random_model is None:
        yield DeviceHost(settings)
        return
    with disk.scratch(settings.paths.data_dir / "scratch") as folder:
        disk.check_room(folder, _RANDOM_BYTES)
        host = TrialHost(settings, folder)
        for name in _needed(definition):
            say(f"{name} is not installed: making one of its size with random weights")
            definition.random_model(name, folder / name, host.device)
        yield host


def _outcomes(
    definition: BackendDefinition, host: DeviceHost, say: Callable[[str], None]
) -> Iterator[Outcome]:
    """Plans first: they count with the memory of a machine on which nothing is loaded."""
    backend = definition.create(host, definition.capabilities.required)
    usable = host.free_bytes()
    planned = [_planned(definition, backend, preset, usable) for preset in definition.presets]
    for outcome in planned:
        if outcome.problem:
            yield outcome
            continue
        say(f"measuring {outcome.preset.name}")
        yield _measured(definition, backend, outcome)


def _planned(
    definition: BackendDefinition, backend: VideoBackend, preset: Preset, usable: int
) -> Outcome:
    fps = definition.capabilities.fps
    try:
        backend.identity(preset.options)  # finds a LoRA that is not installed
        effort = backend.effort([trial_request(definition, preset)])
    except ReelwrightError as error:
        return Outcome(preset, fps, problem=str(error))
    outcome = Outcome(preset, fps, effort.memory_bytes, usable, work=effort.work)
    if outcome.fits:
        return outcome
    short = f"needs {effort.memory_bytes / 1e9:.1f} GB, {usable / 1e9:.1f} can be used"
    return Outcome(preset, fps, effort.memory_bytes, usable, problem=short)


def _measured(definition: BackendDefinition, backend: VideoBackend, plan: Outcome) -> Outcome:
    try:
        cost = _cost(definition, backend, plan.preset)
    except (ReelwrightError, RuntimeError) as error:
        _log.debug("the preset %s failed", plan.preset.name, exc_info=True)
        return Outcome(plan.preset, plan.fps, plan.planned, plan.usable, problem=str(error))
    return Outcome(plan.preset, plan.fps, plan.planned, plan.usable, cost, plan.work)


def _cost(definition: BackendDefinition, backend: VideoBackend, preset: Preset) -> ClipCost:
    """Of a whole chunk. The first clip of a shape chooses kernels, so the second is measured."""
    full = steps_of(preset.options)

    def make(steps: int) -> tuple[ClipRequest, ClipCost]:
        request = trial_request(definition, preset, steps)
        session.prepare([request])
        return request, measure_clip(session, request, GreyMedia(request.size))[0]

    with backend.open() as session:
        make(1)
        request, cost = make(_STEPS)
    asked = int(request.options.get("steps") or 0)
    # A model may make more steps than it is asked for, such as those of several segments.
    return cost.with_steps(cost.steps * full // asked) if asked else cost
