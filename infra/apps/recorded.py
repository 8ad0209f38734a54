"""The gateway's database as commands change it: directly, and with an entry in the audit log."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.adapters.settings import Settings

if TYPE_CHECKING:
    from infra.apps.gateway.database import Database


@contextmanager
def opened_by_operator() -> Iterator["Database"]:
    """The gateway's database of this machine's data directory."""
    from infra.apps.gateway.database import opened

    with opened(Settings.load().paths.data_dir) as database:
        yield database


def record(database: "Database", action: str, subject: str, detail: str = "") -> None:
    """Add to the audit log what a command changed, under the name of the machine's user."""
    from infra.apps.gateway import audit
    from infra.apps.gateway.keys import Client

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        name = "somebody"
    who = Client(f"{name} (command line)", frozenset(), "command line")
    audit.add(database, who, action, subject, detail)
