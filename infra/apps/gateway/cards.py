"""Every backend as a card: what it takes and makes, whether it can be used now, what it costs."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel, Field

from infra.adapters.availability import on_device
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.library import installed_names
from infra.apps.gateway.listing import VideoView
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definitions
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Forecast
from pipelines.errors import ReelwrightError
from pipelines.routing.measured import Measured
from pipelines.schema.availability import Availability
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from tasks.surroundings import HostSurroundings

USUAL_SECONDS = 4.0
"""Length for which times and prices are given."""
_ASKED_AT_ONCE = 16
_WORDS: Mapping[InputKind, str] = {
    "text": "text",
    "first_frame": "a picture to begin with",
    "last_frame": "a picture to end with",
    "continuation": "goes on from the shot before",
    "reference_image": "pictures of a subject",
    "reference_video": "a video to follow",
    "audio": "a sound to follow",
}
Need = Literal["picture", "reference", "motion", "continue", "sound"]
_NEEDS: Mapping[Need, InputKind] = {
    "picture": "first_frame",
    "reference": "reference_image",
    "motion": "reference_video",
    "continue": "continuation",
}


class ModelCard(BaseModel):
    """A model that a backend needs."""

    name: str
    title: str
    licence: str
    licence_note: str
    download_bytes: int = Field(description="About; 0 if unknown.")
    memory: str = Field(description="How it fits 22 GB of GPU memory.")
    installed: bool
    install: str = Field(description="The command that installs it.")


class PresetCard(BaseModel):
    """A preset of a backend."""

    name: str
    title: str
    width: int
    height: int
    clip_seconds: float = Field(description="Length of one clip; 0 for a picture.")
    seconds: float | None = Field(None, description="To make 4 s of video, or the picture.")
    basis: str = Field("", description="Where the seconds come from.")
    memory_bytes: int = Field(0, description="Most on the device at once.")
    price: str = Field("", description="The most that 4 s cost; empty if nothing is paid.")
    rating: float | None = Field(None, description="Mean rating by people here, 1 to 5.")
    rated_videos: int = 0

    @property
    def size(self) -> str:
        """Width and height."""
        return f"{self.width}×{self.height}"


class BackendCard(BaseModel):
    """A backend."""

    name: str
    title: str
    place: Literal["this machine", "another machine"]
    inputs: list[str] = Field(description="Kinds of input that it takes.")
    takes: list[str] = Field(description="The same in words.")
    required: list[str]
    fps: int
    longest_seconds: float = Field(description="Of one clip; longer videos are several.")
    sizes: list[str]
    sound: bool
    available: bool
    reason: str = Field("", description="Why it cannot be used now, and what to do.")
    models: list[ModelCard]
    presets: list[PresetCard]
    sample: VideoView | None = Field(None, description="Its newest video in this studio.")

    @property
    def paid(self) -> bool:
        """Whether a preset of it costs money."""
        return any(preset.price for preset in self.presets)


class Cards:
    """Makes the cards of this studio."""

    def __init__(self, settings: Settings, measured: Mapping[str, Measured]) -> None:
        self._settings, self._measured = settings, measured
        self._surroundings = HostSurroundings(settings)
        self._installed = frozenset(installed_names(settings.paths.models))

    def all(self, videos: Iterable[VideoView]) -> list[BackendCard]:
        """One card a backend, in the order of the registry. `videos` are the newest ones.

        A remote service is asked whether it answers; that takes up to its time limit.
        """
        samples: dict[str, VideoView] = {}
        for video in videos:
            samples.setdefault(video.model, video)
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:  # one that is down takes some seconds
            found = list(pool.map(self._availability, definitions().values()))
        return [
            self._card(item, availability, samples)
            for item, availability in zip(definitions().values(), found, strict=True)
        ]

    def _card(
        self, backend: BackendDefinition, found: Availability, samples: Mapping[str, VideoView]
    ) -> BackendCard:
        can = backend.capabilities
        models = [self._model(name) for name in backend.models_for(can.required)]
        titles = [backend.title, *(model.title for model in models)]
        return BackendCard(
            name=backend.name,
            title=backend.title,
            place="this machine" if can.location == "device" else "another machine",
            inputs=[kind for kind in _WORDS if kind in can.inputs],
            takes=[words for kind, words in _WORDS.items() if kind in can.inputs],
            required=[words for kind, words in _WORDS.items() if kind in can.required],
            fps=can.fps,
            longest_seconds=round(can.longest / can.fps, 2),
            sizes=[f"{size.width}×{size.height}" for size in can.sizes],
            sound=can.audio,
            available=found.available,
            reason=found.reason,
            models=models,
            presets=[self._preset(item, found) for item in backend.presets],
            sample=next((samples[title] for title in titles if title in samples), None),
        )

    def _availability(self, backend: BackendDefinition) -> Availability:
        can = backend.capabilities
        if can.location == "device":
            return on_device(self._settings, backend.models_for(can.required))
        brief = _usual_brief(backend.presets[0])
        if brief is None:
            return Availability(available=True, reason="not asked: it needs more than a text")
        return self._surroundings.availability(brief)

    def _model(self, name: str) -> ModelCard:
        model = MODELS[name]
        return ModelCard(
            name=name,
            title=model.title,
            licence=model.licence,
            licence_note=model.licence_note,
            download_bytes=model.size,
            memory=model.memory,
            installed=name in self._installed,
            install=f"reelwright models download {name}",
        )

    def _preset(self, preset: Preset, found: Availability) -> PresetCard:
        can = definitions()[preset.backend].capabilities
        known = found.available or can.location == "remote"
        forecast = self._forecast(preset) if known else None
        measured = self._measured.get(preset.name)
        card = PresetCard(
            name=preset.name,
            title=preset.title,
            width=preset.size.width,
            height=preset.size.height,
            clip_seconds=0 if preset.is_still else round(preset.frames / can.fps, 2),
            rating=measured.rating if measured else None,
            rated_videos=measured.videos if measured else 0,
        )
        if forecast is None:
            return card
        price = forecast.price
        return card.model_copy(
            update={
                "seconds": round(forecast.seconds, 1),
                "basis": forecast.basis,
                "memory_bytes": forecast.memory_bytes,
                "price": str(price) if price and price.amount else "",
            }
        )

    def _forecast(self, preset: Preset) -> Forecast | None:
        """None if nobody can say it, as for a preset that needs more than a text."""
        brief = _usual_brief(preset)
        try:
            return self._surroundings.forecast(brief) if brief else None
        except ReelwrightError:
            return None


def _usual_brief(preset: Preset) -> Brief | None:
    """A brief of USUAL_SECONDS with nothing but a text; None if the preset needs more."""
    kind = "image" if preset.is_still else "video"
    values = {"prompt": "a ball", "preset": preset.name, "kind": kind, "seconds": USUAL_SECONDS}
    try:
        return parse_brief(values)
    except ReelwrightError:
        return None


def chosen(
    cards: Iterable[BackendCard], needs: Iterable[Need], *, usable: bool, free: bool
) -> Iterator[BackendCard]:
    """Those that take all `needs`; with `usable` only what can be used now, with `free` only what
    costs nothing."""
    wanted = set(needs)
    for card in cards:
        takes = {need for need, kind in _NEEDS.items() if kind in card.inputs}
        takes |= {"sound"} if card.sound else set()
        if wanted <= takes and (card.available or not usable) and not (free and card.paid):
            yield card
