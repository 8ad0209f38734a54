"""What the router asks of this machine and of remote services. Nothing is loaded, not even torch.

Models and the device are those of the host on which the router runs; if that has no GPU, those that
a GPU host of the studio has reported.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Protocol, runtime_checkable

from infra.adapters.availability import READY, RemoteLooks, on_device
from infra.adapters.device.choice import upscaler_dtype
from infra.adapters.device.preview import PreviewHost
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import set_models
from pipelines.backends.base import VideoBackend
from pipelines.backends.checkpoint import BYTES
from pipelines.backends.registry import definitions, presets
from pipelines.documents.brief import Brief
from pipelines.documents.host import HostReport
from pipelines.documents.route import Forecast
from pipelines.errors import ReelwrightError, StoreError, WeightsError
from pipelines.planning.estimate import estimate
from pipelines.planning.memory import PROCESS_BYTES, Footprint
from pipelines.routing.measured import Measured, measured_in
from pipelines.routing.policy import Policy
from pipelines.routing.policy_file import read_policy
from pipelines.schema.availability import Availability
from pipelines.schema.keys import ObjectKey
from pipelines.schema.memory import DEVICE_CONTEXT
from pipelines.upscaling.ladder import Way
from tasks.context import UPSCALER_SCALE, models_of, needs_device
from tasks.rates import kept_rates

_LOOKS = RemoteLooks()
"""One for the process, so that ten briefs in a row ask a service once."""


@runtime_checkable
class Reachable(Protocol):
    """A backend that can say whether it answers."""

    def availability(self) -> Availability:
        """Whether it can be used now. Raises nothing."""


class HostSurroundings:
    """The `Surroundings` of this host. `reported` is the GPU host that makes the videos of a
    studio; it counts if this host shows no GPU."""

    def __init__(
        self,
        settings: Settings,
        looks: RemoteLooks = _LOOKS,
        reported: HostReport | None = None,
    ) -> None:
        self._settings, self._looks, self._reported = settings, looks, reported

    @cached_property
    def _host(self) -> PreviewHost:
        return PreviewHost(self._settings)

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""
        return self._host.device

    @cached_property
    def _elsewhere(self) -> HostReport | None:
        return self._reported if self.device == "cpu" else None

    def availability(self, brief: Brief) -> Availability:
        """Of the backend, and of the upscaler if the brief asks for one."""
        if needs_device(brief):
            names = models_of(brief, own_writer=self._settings.llm.file is not None)
            found = (
                _on_host(self._elsewhere, names)
                if self._elsewhere
                else on_device(self._settings, names)
            )
            if not found.available:
                return found
        if brief.backend.capabilities.location == "device":
            return READY
        return self._looks.of(brief.backend.name, lambda: self._ask(brief))

    def _ask(self, brief: Brief) -> Availability:
        try:
            backend = self._backend(brief)
            if isinstance(backend, Reachable):
                return backend.availability()
        except ReelwrightError as error:
            return Availability(available=False, reason=str(error))
        return READY

    def forecast(self, brief: Brief) -> Forecast:
        """Seconds, memory and money of `brief` here. Raises WeightsError if its models are not
        installed, BriefError if it cannot be planned."""
        remote = brief.backend.capabilities.location == "remote"
        if self._elsewhere and not remote:
            return _forecast_of(self._elsewhere, brief)
        backend = self._backend(brief)
        rates = kept_rates(self._settings, brief.backend, self._kind(brief))
        footprint = self._footprint(brief)
        expected = estimate(brief, backend, rates, footprint)
        memory = expected.peak_memory_bytes
        if remote and brief.upscale == 1:
            # Nothing of the video is on the device here: only the frames of a clip count.
            chunks = next(item for item in expected.stages if item.stage == "chunks")
            memory = chunks.memory_bytes - footprint.base
        return Forecast(
            seconds=expected.seconds,
            memory_bytes=memory,
            price=expected.price,
            basis=expected.basis,
        )

    def _backend(self, brief: Brief) -> VideoBackend:
        return brief.backend.create(self._host, brief.inputs)

    def _kind(self, brief: Brief) -> str:
        """Which rates hold: those of the device, or of the service."""
        return self._host.device if needs_device(brief) else "remote"

    def _footprint(self, brief: Brief) -> Footprint:
        """As `tasks.check` counts it; the language model counts with the size of its file."""
        if not needs_device(brief):
            return Footprint(enhancer=0, upscaler=0)
        companions, cuda = set_models(brief.backend.model_set), self._host.device == "cuda"
        settings = self._settings.upscaler
        return Footprint(
            enhancer=self._writer_size(companions.enhancer),
            upscaler=self._size_of(companions.upscaler) if brief.upscale > 1 else 0,
            way=Way(settings.batch or (4 if cuda else 1), settings.tile),
            scale=UPSCALER_SCALE,
            value_bytes=BYTES[upscaler_dtype(self._settings, self._host.device)],
            base=DEVICE_CONTEXT if cuda else PROCESS_BYTES,
            room=self._host.room_bytes(),
        )

    def _writer_size(self, name: str) -> int:
        own = self._settings.llm.file
        if own is None:
            return self._size_of(name)
        return own.stat().st_size if own.is_file() else 0

    def _size_of(self, model: str) -> int:
        try:
            return sum(self._host.model(model).sizes.values())
        except WeightsError:
            return 0  # a template writes the shots


def _on_host(host: HostReport, models: Iterable[str]) -> Availability:
    absent = [name for name in dict.fromkeys(models) if name not in host.models]
    if not absent:
        return READY
    names = " ".join(absent)
    reason = f"the GPU host {host.name} lacks {names}; there: reelwright models download {names}"
    return Availability(available=False, reason=reason)


def _forecast_of(host: HostReport, brief: Brief) -> Forecast:
    """What `brief` costs there, as far as a report can say. Raises WeightsError if it does not."""
    usual = host.forecasts.get(brief.preset)
    if usual is None:
        raise WeightsError(f"the GPU host {host.name} does not say what {brief.preset} costs")
    longer = 1.0 if brief.kind == "image" else brief.seconds / host.usual_seconds
    basis = f"as {host.name} says of {host.usual_seconds:g} s without upscaling: {usual.basis}"
    return usual.model_copy(update={"seconds": usual.seconds * longer, "basis": basis})


def policy_of(settings: Settings) -> Policy:
    """The policy of the settings; the built-in one is in the studio's currency. Raises
    SettingsError with line, value, rule and remedy."""
    policy = read_policy(settings.routing.policy, {*presets(), *definitions()})
    if settings.routing.policy:
        return policy
    return policy.model_copy(update={"currency": settings.costs.currency})


def measured_of(store: ObjectStore) -> Mapping[str, Measured]:
    """The ratings of the newest comparison in the bucket; none if the store does not answer, as
    the policy's assumptions hold without them."""
    try:
        data = store.get_bytes(ObjectKey.benchmark("latest", "measured.json"))
    except StoreError:
        return {}
    return measured_in(data) if data else {}
