"""All backends by name, and all presets. A new backend on the device is one line of `_BUILT_IN`;
those on other machines come from the operator's file (`configure`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from pipelines.backends.animatediff import definitions as animatediff
from pipelines.backends.base import BackendDefinition
from pipelines.backends.ltx2 import definitions as ltx2
from pipelines.backends.wan import animate_definition as wan_animate
from pipelines.backends.wan import definitions as wan
from pipelines.errors import SettingsError
from pipelines.schema.presets import AUTO, Preset
from pipelines.schema.sizes import Size

_BUILT_IN: tuple[BackendDefinition, ...] = (
    *wan.DEFINITIONS,
    *wan_animate.DEFINITIONS,
    *animatediff.DEFINITIONS,
    *ltx2.DEFINITIONS,
)
_definitions: dict[str, BackendDefinition] = {item.name: item for item in _BUILT_IN}
_configured: set[str] = set()
_waiting: list[Callable[[], None]] = []


def definitions() -> Mapping[str, BackendDefinition]:
    """All backends by name."""
    while _waiting:
        _waiting.pop()()
    return _definitions


def before_first_use(action: Callable[[], None]) -> None:
    """Call `action`, which may `configure`, when a backend or preset is asked for the next time.

    So the import of a flow reads no file.
    """
    _waiting[:] = [action]


def configure(found: Iterable[BackendDefinition]) -> None:
    """`found` are the backends of the operator's file, in place of those of an earlier call.

    Raises SettingsError if one has the name of a built-in backend or preset.
    """
    new = {item.name: item for item in found}
    kept = {name: item for name, item in _definitions.items() if name not in _configured}
    taken = {preset.name for item in kept.values() for preset in item.presets} | {AUTO}
    for item in new.values():
        names = [preset.name for preset in item.presets]
        clash = item.name if item.name in kept else next((n for n in names if n in taken), "")
        if clash:
            raise SettingsError(
                f"the backends file names a backend or preset {clash!r}, which there is already; "
                "choose another name for the entry"
            )
        taken.update(names)
    for name in _configured:
        _definitions.pop(name, None)
    _configured.clear()
    _configured.update(new)
    _definitions.update(new)


def definition_of(preset: Preset) -> BackendDefinition:
    """The backend of a preset."""
    return definitions()[preset.backend]


def presets() -> dict[str, Preset]:
    """All presets by name, in the order of the registry."""
    return {preset.name: preset for item in definitions().values() for preset in item.presets}


def stand_in() -> BackendDefinition:
    """The backend that makes videos in place of one that is not installed."""
    return next(item for item in definitions().values() if item.stand_in)


def offered_sizes() -> tuple[Size, ...]:
    """Every size that some backend offers, the smallest first."""
    sizes = {size for item in definitions().values() for size in item.capabilities.sizes}
    return tuple(sorted(sizes, key=lambda size: (size.width * size.height, -size.width)))


@contextmanager
def registered(definition: BackendDefinition) -> Iterator[BackendDefinition]:
    """`definition` is one of the backends while the context lasts, for tests and trials."""
    before = _definitions.get(definition.name)
    _definitions[definition.name] = definition
    try:
        yield definition
    finally:
        if before:
            _definitions[definition.name] = before  # in its old place: the order is public
        else:
            _definitions.pop(definition.name)
