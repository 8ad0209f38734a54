"""The kinds of remote backends. A new kind is one line of `_KINDS`."""

from collections.abc import Mapping
from typing import Any

from pipelines.backends.remote.comfyui import entry as comfyui
from pipelines.backends.remote.google import omni, veo
from pipelines.backends.remote.kind import Kind, Offer
from pipelines.backends.remote.videos import lightx2v
from pipelines.backends.remote.videos import service as videos

__all__ = ["Kind", "Offer", "kinds"]
_KINDS: tuple[Kind[Any], ...] = (
    omni.KIND,
    veo.KIND,
    videos.KIND,
    lightx2v.KIND,
    comfyui.KIND,
)


def kinds() -> Mapping[str, Kind[Any]]:
    """All kinds by name."""
    return {kind.name: kind for kind in _KINDS}
