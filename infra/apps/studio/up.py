"""`reelwright up`: the studio, or some parts of it, on this machine until Ctrl-C or SIGTERM."""

import signal
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from infra.adapters.disk import exclusive, make_data_directory, make_directory
from infra.adapters.settings import Settings
from infra.apps.console import say
from infra.apps.studio import upgrade
from infra.apps.studio.studio import PARTS, Studio
from infra.apps.studio.supervisor import Stop
from pipelines.errors import SettingsError

__all__ = ["PARTS", "up"]


def up(settings: Settings, parts: Collection[str], *, cold: bool = False) -> None:
    """Start the parts, print where they are, and keep them running.

    Raises SettingsError if they run already, a port belongs to somebody else, or a part that
    is left out is not named.
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
        for line in upgrade.changes(data):
            say(f"this start changes: {line}")
        upgrade.note(data)
        stopped = stack.enter_context(_stop_signal())
        Studio(settings, folder, parts, cold=cold).run(stopped)


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
