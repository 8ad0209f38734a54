"""What an entry of a server offers: its capabilities, and one preset."""

from pipelines.backends.base import UsedModel
from pipelines.backends.remote.kind import Offer
from pipelines.backends.remote.videos.config import ServerConfig
from pipelines.schema.presets import BackendOptions, Preset

_RECIPE = "1"
"""Raised when our requests change the pixels."""


def offer_of(config: ServerConfig, options: BackendOptions) -> Offer:
    """The offer of `config`, with `options` for its preset."""
    title = config.title or f"{config.model} on {config.name}"
    name = f"{config.preset_prefix}_{config.preset}" if config.preset else config.preset_prefix
    seconds = config.frames / config.fps
    preset = Preset(
        name=name,
        title=f"{title}, {config.sizes[0]} at {config.fps} fps, {seconds:.2g} s a chunk",
        backend=config.name,
        size=config.sizes[0],
        frames=config.frames,
        options=options,
    )
    components = {"model": config.model, "revision": config.revision, "recipe": _RECIPE}
    return Offer(
        title=title,
        capabilities=config.capabilities(),
        options=type(options),
        presets=(preset,),
        model=UsedModel(config.model, config.licence, components),
        seconds_for_one=config.seconds_for_one,
    )
