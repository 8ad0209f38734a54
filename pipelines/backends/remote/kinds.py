"""The kinds of remote backends. A new kind is one line of `_KINDS`."""

from collections.abc import Mapping
from typing import Any

from pipelines.backends.remote.comfyui import entry as comfyui
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.google import omni, veo
from pipelines.backends.remote.kind import Kind, Offer

__all__ = ["Kind", "Offer", "kinds"]
_KINDS: tuple[Kind[Any], ...] = (
    comfyui.KIND,
    omni.KIND,
    veo.KIND,
)


def kinds() -> Mapping[str, Kind[RemoteConfig]]:
    """All kinds by name."""
    return {kind.name: kind for kind in _KINDS}
