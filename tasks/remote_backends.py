"""Makes the backends of the operator's file known to this process."""

import logging

from infra.adapters.disk import read_text
from infra.adapters.settings import RemoteSettings
from pipelines.errors import SettingsError

_log = logging.getLogger("reelwright.remote")


def configure_backends() -> None:
    """Read the file that REELWRIGHT_BACKENDS names.

    Without one nothing is imported, so that commands stay quick. Raises SettingsError with line,
    value, rule and remedy if it cannot be used; then the backends are those of before.
    """
    path = RemoteSettings().backends
    if path is None:
        return
    from pipelines.backends import registry
    from pipelines.backends.remote.file import read_backends

    text = read_text(path, f"REELWRIGHT_BACKENDS={path}")
    registry.configure(read_backends(text, str(path)))


def configure_backends_of_flows() -> None:
    """The same for a process that Prefect starts. A file that cannot be used is logged: a brief
    with one of its presets is refused then, and every other one is made."""
    try:
        configure_backends()
    except SettingsError as error:
        _log.warning("there are no remote backends: %s", error)
