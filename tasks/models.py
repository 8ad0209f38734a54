"""The models on the device, kept between tasks and runs in an importable module.

One Wan and one Real-ESRGAN stay, together under 5 GB for the studio set. The language model
and the text encoder stay only if they are small beside what is free, as those of the demo set
are; a large encoder takes the place of the others if there is no room beside them.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.prompting.llama import LlamaOptions, LlamaWriter
from tasks.room import Room

if TYPE_CHECKING:
    import torch

    from pipelines.generation.embeddings import EmbeddingCache, TextEncoder
    from pipelines.generation.wan import WanModel
    from pipelines.upscaling.network import RealEsrgan

_ALL_LAYERS = -1
_BESIDE = 1.3
"""Memory that a model needs while it is loaded and used, as a multiple of its files."""
_SMALL = 0.05
"""Share of the free memory up to which a model stays that is used for a moment only."""
_log = logging.getLogger("reelwright.models")
_resident: "dict[tuple[str, ...], WanModel | RealEsrgan | LlamaWriter | TextEncoder]" = {}


@contextmanager
def writer(room: Room) -> Iterator[LlamaWriter]:
    """The language model in its process; small, it is still there for the next run."""
    compute = room.settings.compute
    model_set, installed = room.models.model_set, room.models.writer
    options = LlamaOptions(
        context=model_set.context,
        threads=compute.llm_threads,
        gpu_layers=_ALL_LAYERS if room.device_name == "cuda" else 0,
        answer_timeout=compute.llm_timeout,
    )
    key = ("writer", installed.index.content, str(options))
    model = _resident.get(key)
    if not isinstance(model, LlamaWriter):
        _free("writer")
        name = f"{installed.model.name}@{installed.index.content[:12]}"
        model = LlamaWriter(installed.path, name, model_set.prompt, options)
        _resident[key] = model
    try:
        yield model.renew()
    finally:
        if not _is_small(installed.index.size_of(), room):
            _free("writer")


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

    from pipelines.generation.embeddings import EmbeddingCache, TextEncoder

    dtype = getattr(torch, room.wan_dtype)
    folder = room.settings.paths.data_dir / "cache" / "embeddings"
    cache = EmbeddingCache(folder, room.models.video.index.content, dtype)
    if missing := cache.missing(texts):
        size = room.models.video.index.size_of("text_encoder/")
        key = ("encoder", room.models.video.index.content, room.wan_dtype, room.device_name)
        encoder = _resident.get(key)
        if not isinstance(encoder, TextEncoder):
            if _room_on(room.device) < _BESIDE * size:
                free_models()
            encoder = TextEncoder(room.models.video.path, room.device, dtype)
            _resident[key] = encoder
        encoder.encode(missing, cache)
        if not _is_small(size, room):
            _free("encoder")
    return cache


def free_models() -> None:
    """Give all device memory back."""
    for kind in ("wan", "esrgan", "writer", "encoder"):
        _free(kind)


def _is_small(size: int, room: Room) -> bool:
    return size < _SMALL * _room_on(room.device)


def _free(kind: str) -> None:
    for key in [key for key in _resident if key[0] == kind]:
        _resident.pop(key).close()


def _room_on(device: "torch.device") -> int:
    """Bytes that can be had on `device` now."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
