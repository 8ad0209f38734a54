"""The models on the device, kept between tasks and runs in an importable module.

One Wan and one Real-ESRGAN stay, together under 5 GB for the studio set. What is short-lived
and large, the text encoder, takes their place if there is no room beside them.
"""

import logging
import os
from typing import TYPE_CHECKING

from tasks.room import Room

if TYPE_CHECKING:
    import torch

    from pipelines.generation.embeddings import EmbeddingCache
    from pipelines.generation.wan import WanModel
    from pipelines.upscaling.network import RealEsrgan

_BESIDE = 1.3
"""Memory that a model needs while it is loaded and used, as a multiple of its files."""
_log = logging.getLogger("reelwright.models")
_resident: "dict[tuple[str, ...], WanModel | RealEsrgan]" = {}


def wan_model(room: Room) -> "WanModel":
    """Wan on the room's device, loaded at the first call."""
    import torch

    from pipelines.generation.vace import VaceModel
    from pipelines.generation.wan import WanModel

    key = ("wan", room.weights.video_revision, room.wan_dtype, room.device_name)
    model = _resident.get(key)
    if not isinstance(model, WanModel):
        _free("wan")
        loader = VaceModel if room.models.extender else WanModel
        _log.info("loading %s", room.video.model.name)
        model = loader(room.video.path, room.device, getattr(torch, room.wan_dtype))
        _resident[key] = model
    return model


def upscaler(room: Room) -> "RealEsrgan":
    """Real-ESRGAN on the room's device, loaded at the first call."""
    import torch

    from pipelines.upscaling.network import RealEsrgan, UpscaleOptions

    settings = room.settings.upscaler
    options = UpscaleOptions(
        dtype=getattr(torch, room.upscaler_dtype),
        channels_last=settings.channels_last,
        batch=settings.batch or (4 if room.device_name == "cuda" else 1),
        tile=settings.tile,
    )
    key = ("esrgan", room.weights.upscaler_revision, str(options), room.device_name)
    model = _resident.get(key)
    if not isinstance(model, RealEsrgan):
        _free("esrgan")
        _log.info("loading %s", room.models.upscaler.model.name)
        model = RealEsrgan(room.models.upscaler.path, room.device, options)
        _resident[key] = model
    return model


def embeddings(room: Room, texts: list[str]) -> "EmbeddingCache":
    """A cache that holds all of `texts`; the encoder is loaded only if one is missing."""
    import torch

    from pipelines.generation.embeddings import EmbeddingCache, encode_missing

    dtype = getattr(torch, room.wan_dtype)
    folder = room.settings.paths.data_dir / "cache" / "embeddings"
    cache = EmbeddingCache(folder, room.models.video.index.content, dtype)
    if any(cache.get(text) is None for text in texts):
        if _room_on(room.device) < _BESIDE * room.models.video.index.size_of("text_encoder/"):
            free_models()
        encode_missing(texts, room.models.video.path, cache, room.device, dtype)
    return cache


def free_models() -> None:
    """Give all device memory back."""
    _free("wan")
    _free("esrgan")


def _free(kind: str) -> None:
    for key in [key for key in _resident if key[0] == kind]:
        _resident.pop(key).close()


def _room_on(device: "torch.device") -> int:
    """Bytes that can be had on `device` now."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
