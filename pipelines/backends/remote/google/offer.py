"""What Google's models offer, as data: inputs, lengths, sizes, presets, prices."""

from urllib.parse import urlsplit

from pipelines.backends.base import UsedModel
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.google.config import OmniConfig, VeoConfig
from pipelines.backends.remote.google.prices import OMNI, VEO, Prices, check_prices
from pipelines.backends.remote.google.sizes import (
    FPS,
    LANDSCAPE,
    SIDE_STEP,
    Resolution,
    check_resolutions,
    sizes_of,
)
from pipelines.backends.remote.kind import Offer
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import InputKind

MOST_REFERENCES = 6
"""Of Omni 1.2. Source: vercel.com/changelog and muapi.ai, November 2026."""
VEO_MOST_REFERENCES = 3
"""Of Veo 3.1. Source: Google's reference of `referenceImages`: 3 pictures of assets."""
LONGEST_VEO = 8
"""Seconds. 1080p, references and last frames are made in this length only. Source: Google's page on
Veo 3.1 in the Gemini API, as docs.apiyi.com and wavespeed.ai quote it; the page of Google Cloud was
not read, so a shorter one may be possible there."""
_OMNI_RECIPE, _VEO_RECIPE = "google-omni/1", "google-veo/1"
"""Raise the number when the same request is sent in other words."""
_VEO_RESOLUTIONS: tuple[Resolution, ...] = ("720p", "1080p")
_LICENCE = "Google APIs and Gemini API terms of service"


class OmniOptions(BackendOptions):
    """Options of Gemini Omni, set in the backends file."""

    one_take: bool = True
    """Ask for one shot without cuts."""


class VeoOptions(BackendOptions):
    """Options of Veo, set in the backends file."""

    people: str = "allow_adult"
    """Google's `personGeneration`."""


def omni_prices(config: OmniConfig) -> Prices:
    """The prices of an entry. Raises ValueError if none are known for its model."""
    return _prices(config.prices, OMNI.get(config.model), config.model)


def veo_prices(config: VeoConfig) -> Prices:
    """The prices of an entry. Raises ValueError if none are known for its model."""
    return _prices(config.prices, VEO.get(config.model), config.model)


def omni_offer(config: OmniConfig) -> Offer:
    """Raises ValueError for an entry that cannot work."""
    _check(config, config.resolutions, tuple(LANDSCAPE), omni_prices(config))
    return Offer(
        title="Gemini Omni (Google)",
        capabilities=Capabilities(
            inputs=frozenset({"text", "first_frame", "last_frame", "reference_image"}),
            fps=FPS,
            frame_step=FPS,  # whole seconds
            frame_offset=0,
            min_frames=3 * FPS,
            max_frames=15 * FPS,
            sizes=sizes_of(config.resolutions),
            side_step=SIDE_STEP,
            max_references=MOST_REFERENCES,
            audio=True,
            reproducible=False,  # it takes no seed
            retakes=False,
            location="remote",
        ),
        options=OmniOptions,
        presets=tuple(
            _preset(config, item, config.seconds, OmniOptions(one_take=config.one_take))
            for item in config.resolutions
        ),
        model=_model(config.model, _OMNI_RECIPE),
        seconds_for_one=10.0,
        basis="others report 60 to 99 s for a clip at 720p; not yet measured here",
    )


def veo_offer(config: VeoConfig) -> Offer:
    """Raises ValueError for an entry that cannot work."""
    _check(config, config.resolutions, _VEO_RESOLUTIONS, veo_prices(config))
    _check_veo(config)
    return Offer(
        title="Veo 3.1 (Google Cloud)",
        capabilities=Capabilities(
            inputs=_veo_inputs(config.model),
            fps=FPS,
            frame_step=2 * FPS,  # 4, 6 or 8 seconds
            frame_offset=0,
            min_frames=4 * FPS,
            max_frames=LONGEST_VEO * FPS,
            sizes=sizes_of(config.resolutions),
            side_step=SIDE_STEP,
            max_references=VEO_MOST_REFERENCES,
            audio=True,
            reproducible=False,  # Google says of the seed only that results are alike
            retakes=False,
            location="remote",
        ),
        options=VeoOptions,
        presets=tuple(
            _preset(config, item, _veo_seconds(config, item), VeoOptions(people=config.people))
            for item in config.resolutions
        ),
        model=_model(config.model, _VEO_RECIPE),
    )


def _veo_inputs(model: str) -> frozenset[InputKind]:
    """The lite model is not documented to take references."""
    inputs: frozenset[InputKind] = frozenset({"text", "first_frame", "last_frame"})
    return inputs if "-lite-" in model else inputs | {"reference_image"}


def _veo_seconds(config: VeoConfig, resolution: Resolution) -> int:
    return LONGEST_VEO if resolution == "1080p" else config.seconds


def _preset(
    config: RemoteConfig, resolution: Resolution, seconds: int, options: BackendOptions
) -> Preset:
    size = LANDSCAPE[resolution]
    title = config.title or config.name
    return Preset(
        name=f"{config.preset_prefix}_{resolution}",
        title=f"{title} with sound, {size} at {FPS} fps, {seconds} s a chunk, paid",
        backend=config.name,
        size=size,
        frames=seconds * FPS,
        options=options,
    )


def _model(name: str, recipe: str) -> UsedModel:
    return UsedModel(name, _LICENCE, {"model": name, "recipe": recipe})


def _prices(own: Prices | None, known: Prices | None, model: str) -> Prices:
    prices = own or known
    if prices is None:
        raise ValueError(
            f"prices: none are known for model {model!r}; add as_of, source and per_second"
        )
    return prices


def _check(
    config: RemoteConfig,
    resolutions: tuple[Resolution, ...],
    possible: tuple[Resolution, ...],
    prices: Prices,
) -> None:
    check_resolutions(resolutions, possible, config.kind)
    check_prices(prices, resolutions, config.kind)
    if not config.key:
        raise ValueError("key: none is set; name it with env:NAME or file:/path")


def _check_veo(config: VeoConfig) -> None:
    if config.auth == "token" and not config.project:
        raise ValueError("project: an access token needs one; name it, or set auth to api-key")
    if config.storage:
        if config.auth == "api-key":
            raise ValueError("storage: an API key reads no bucket; set auth to token")
        there, own = urlsplit(config.storage_address), urlsplit(config.address)
        host = there.hostname
        if there.netloc != own.netloc and host not in config.download_hosts:
            raise ValueError(f"storage: clips are read from {host}; add it to download_hosts")
