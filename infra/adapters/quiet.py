"""Nothing of ours reports to anybody, and no client starts a Prefect server by itself.

Libraries read these variables at their import, so they are set before; children inherit them.
"""

import os

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",  # Prefect's client and command line, Hugging Face, others
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Turns off what our dependencies would send home."""
NO_SERVER = {
    # Prefect's name for it since 3.0 and the one before: with either true in a profile of the
    # user's, a client without an address would start a server that outlives the command.
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
}
"""Makes a Prefect client without an address an error instead of a server."""


def set_quiet() -> None:
    """Set NO_TELEMETRY and NO_SERVER in this process's environment, replacing other values."""
    os.environ.update(NO_TELEMETRY | NO_SERVER)
