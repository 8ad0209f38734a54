"""The one model that is on the device, kept between tasks in an importable module.

Wan and Real-ESRGAN are never resident together: asking for one frees the other.
"""

from typing import TYPE_CHECKING

from tasks.room import Room

if TYPE_CHECKING:
    from pipelines.generation.embeddings import EmbeddingCache
    from pipelines.generation.wan import WanModel
    from pipelines.upscaling.network import RealEsrgan

_resident: "dict[tuple[str, ...], WanModel | RealEsrgan]" = {}


def wan_model(room: Room) -> "WanModel":
    """Wan on the room's device, loaded at the first call."""
    import torch

    from pipelines.generation.vace import VaceModel
    from pipelines.generation.wan import WanModel

    key = ("wan", room.weights.video_revision, room.wan_dtype, room.device_name)
    model = _resident.get(key)
    if not isinstance(model, WanModel):
        free_models()
        loader = VaceModel if room.models.extender else WanModel
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
        free_models()
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
        free_models()
        encode_missing(texts, room.models.video.path, cache, room.device, dtype)
    return cache


def free_models() -> None:
    """Give all device memory back."""
    for model in list(_resident.values()):
        model.close()
    _resident.clear()
