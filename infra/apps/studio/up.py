"""`reelwright up`: the studio, or some parts of it, on this machine until Ctrl-C or SIGTERM."""

import os
import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from infra.adapters.disk import exclusive, make_data_directory, make_directory
from infra.adapters.ledger.rates import caps_of, rates_of
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.console import say
from infra.apps.studio import upgrade
from infra.apps.studio.studio import PARTS, Studio
from infra.apps.studio.supervisor import Stop
from pipelines.errors import SettingsError
from tasks.remote_backends import configure_backends

__all__ = ["PARTS", "up"]


def up(settings: Settings, parts: Collection[str], *, cold: bool = False) -> None:
    """Start the parts, print where they are, and keep them running.

    Raises SettingsError if they run already, a port belongs to somebody else, a part that is left
    out is not named, or a file of backends, policy or caps cannot be used.
    """
    data = make_data_directory(settings.paths.data_dir, say)
    folder = make_directory(data / "studio", private=True)

    def running() -> None:
        raise SettingsError(f"the studio of {data} runs already; see: reelwright status")

    def busy() -> None:
        raise SettingsError(
            f"a `reelwright make` is at work in {data}; start the studio when it is done"
        )

    with ExitStack() as stack:
        stack.enter_context(exclusive(folder / "lock", running))
        if "store" in parts:
            stack.enter_context(exclusive(data / "lock", busy))
        upgrade.check(data)
        settings = _settings_of_before(settings)
        for line in upgrade.changes(data):
            say(f"this start changes: {line}")
        upgrade.note(data)
        stopped = stack.enter_context(_stop_signal())
        Studio(settings, folder, parts, cold=cold).run(stopped)


def _settings_of_before(settings: Settings) -> Settings:
    """The settings, with those of the last start that this one does not name (see
    `environment.chosen`). Raises SettingsError if a file that they name cannot be used: nothing
    has been started then."""
    for name, value in environment.chosen(environment.read(settings)).items():
        if name not in os.environ:
            say(f"as at the last start: {name}={value}")
        os.environ[name] = value  # every part inherits it
    settings = Settings.load()
    configure_backends()
    if settings.routing.policy:
        from tasks.surroundings import policy_of

        policy_of(settings)
    caps_of(settings.costs)
    rates_of(settings)
    return settings


@contextmanager
def _stop_signal() -> Iterator[Stop]:
    """A Stop that SIGINT and SIGTERM set within the block."""
    stopped = Stop()
    before = {
        number: signal.signal(number, stopped.ask) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
