"""Compiles the video models for the presets' shapes while a warm process has nothing to do.

A compilation takes tens of seconds for each shape, and lasts as long as its process.
"""

import logging
from collections.abc import Iterator

from infra.adapters import disk
from infra.adapters.device import cache
from infra.adapters.device.choice import device_lock
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import state_of
from infra.apps.worker import trouble
from pipelines.backends.base import BackendDefinition, Warmable
from pipelines.backends.registry import definitions
from pipelines.errors import ReelwrightError
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind

_TEXT: frozenset[InputKind] = frozenset({"text"})
_CONTINUED: frozenset[InputKind] = frozenset({"continuation"})
_log = logging.getLogger("reelwright.worker")


class _Busy(Exception):  # noqa: N818 - no error: somebody else has the device
    """Another process has the device."""


def steps(settings: Settings) -> Iterator[None]:
    """Each step compiles for one preset, or finds that another process has the device.

    Videos whose chunks go on from one another count too, if other models make those. What a brief
    may add besides, such as pictures of what the video shows, is not compiled for.

    The first backend comes last, and text alone last of all, so that its model is the one that
    stays loaded. The stand-in is passed over: it is made for a CPU, and its model would take the
    place of one for the GPU. So is a preset whose models are not installed, and one that cannot be
    compiled or for which memory ran out, which is logged. Does nothing on a CPU or if the settings
    say `off`. Raises SystemExit after an error that the device may remember: only a new process can
    use it again.
    """
    host = DeviceHost(settings)
    if host.compile == "off":
        return
    for definition in reversed([item for item in definitions().values() if not item.stand_in]):
        for inputs, preset in _usual(definition):
            if not _is_installed(definition, inputs, preset, settings):
                continue
            while not _warm(definition, inputs, preset, host):
                yield
            yield


def _usual(definition: BackendDefinition) -> Iterator[tuple[frozenset[InputKind], Preset]]:
    """Kinds of input and presets: those whose chunks go on come first."""
    text = _TEXT | definition.capabilities.required
    going_on: frozenset[InputKind] = text | _CONTINUED
    if going_on <= definition.capabilities.inputs and (
        definition.models_for(going_on) != definition.models_for(text)
    ):
        yield from ((going_on, preset) for preset in definition.presets if not preset.is_still)
    yield from ((text, preset) for preset in definition.presets)


def _is_installed(
    definition: BackendDefinition,
    inputs: frozenset[InputKind],
    preset: Preset,
    settings: Settings,
) -> bool:
    names = (*definition.models_for(inputs), *preset.options.models)
    states = (state_of(settings.paths.models, MODELS[name]) for name in names if name in MODELS)
    return all(state.kind == "installed" for state in states)


def _warm(
    definition: BackendDefinition,
    inputs: frozenset[InputKind],
    preset: Preset,
    host: DeviceHost,
) -> bool:
    """Compile for a preset. Returns whether it was tried: False if the device is not free."""
    reason = ""
    try:
        with (
            disk.exclusive(device_lock(host.settings), _give_way),
            definition.create(host, inputs).open() as session,
        ):
            if isinstance(session, Warmable):
                session.warm(preset)
    except _Busy:
        return False
    except (ReelwrightError, RuntimeError, OSError) as error:
        reason = trouble.after(error)
        if reason not in ("", trouble.NO_MEMORY):
            raise SystemExit(
                f"{preset.name} was not compiled: {reason}; if that happens again, set "
                "REELWRIGHT_COMPILE=off"
            ) from error
        _log.warning("nothing is compiled for %s: %s", preset.name, error)
    if reason:
        # Memory that ran out is no fault of the device: an end here would come again in each new
        # process, and no run would find its models loaded. What was held goes, now that the error
        # and its traceback are gone.
        cache.release_all()
    return True


def _give_way() -> None:
    raise _Busy
