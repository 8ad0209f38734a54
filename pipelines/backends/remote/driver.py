"""Lets a foreign service make clips: reserve, submit, wait, settle, download, verify.

This is the only place that decides when a job is submitted and paid. A job is written to the
journal before it is submitted, and its id before it is polled. So a run that is killed goes on with
the same job. A paid job whose answer was lost is never submitted again.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from pipelines.backends.base import (
    BackendDefinition,
    BackendHost,
    Effort,
    GeneratedClip,
    InputMedia,
    StepReport,
    UsedModel,
    VideoBackend,
)
from pipelines.backends.checks import check_request
from pipelines.backends.remote.access import JobRecord, RemoteAccess, RemoteHost, Reply
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.jobs import Jobs
from pipelines.backends.remote.kinds import Kind, Offer
from pipelines.backends.remote.service import JobStatus, RemoteService
from pipelines.backends.remote.waiting import wait_for
from pipelines.errors import (
    GenerationError,
    MediaError,
    PendingJobError,
    SettingsError,
    UnavailableError,
)
from pipelines.schema.availability import Availability
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money
from pipelines.schema.plan import ChunkSpec
from pipelines.schema.presets import BackendOptions
from pipelines.schema.request import ClipRequest, InputKind

_log = logging.getLogger("reelwright.remote")
_DOWNLOADS = 6
"""Attempts to fetch a clip that is done, with pauses of 1, 2, 4, 8 and 16 seconds."""


def definition_of(config: RemoteConfig, kind: Kind[RemoteConfig]) -> BackendDefinition:
    """The definition of a configured backend. Raises ValueError if its entry cannot work."""
    offer = kind.offer(config)

    def create(host: BackendHost, _: frozenset[InputKind]) -> VideoBackend:
        if not isinstance(host, RemoteHost):
            raise SettingsError(
                f"{config.name} is on another machine, which this host cannot reach"
            )
        return RemoteBackend(definition, config, kind, offer, host)

    definition = BackendDefinition(
        name=config.name,
        title=config.title or offer.title,
        capabilities=_with_retakes_that_are_free(config, kind, offer),
        options=offer.options,
        presets=offer.presets,
        create=create,
        rates={"remote": offer.seconds_for_one},
        basis=offer.basis,
        kind=config.kind,
    )
    return definition


def _with_retakes_that_are_free(
    config: RemoteConfig, kind: Kind[RemoteConfig], offer: Offer
) -> Capabilities:
    """A faulty take is made again only by a service that is not paid for it."""
    paid = kind.service(config, _NoConnection()).paid
    changes = {"retakes": offer.capabilities.retakes and not paid}
    return offer.capabilities.model_copy(update=changes)


class RemoteBackend:
    """A VideoBackend on another machine."""

    def __init__(
        self,
        definition: BackendDefinition,
        config: RemoteConfig,
        kind: Kind[RemoteConfig],
        offer: Offer,
        host: RemoteHost,
    ) -> None:
        self._definition, self._config, self._kind = definition, config, kind
        self._offer, self._host = offer, host
        self._offline = kind.service(config, _NoConnection())

    @property
    def definition(self) -> BackendDefinition:
        return self._definition

    def identity(self, options: BackendOptions) -> Mapping[str, str]:
        """Name and version of the model, and the recipe; the options are in the request."""
        del options
        return self._offer.model.components

    def models(self, options: BackendOptions) -> tuple[UsedModel, ...]:
        """The model that the service says it has."""
        del options
        return (self._offer.model,)

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        """Seconds of video, the most that they cost, and the memory of this host for the frames of
        the longest clip, which are all there before the clip counts."""
        seconds = sum(request.frames / request.fps for request in requests)
        return Effort(seconds, memory_bytes=_frame_bytes(requests), price=self._price(requests))

    def _price(self, requests: Sequence[ClipRequest]) -> Money | None:
        """None without requests, because their currency is then not known."""
        prices = [self._offline.price(request) for request in requests]
        return sum(prices[1:], prices[0]) if prices else None

    def availability(self) -> Availability:
        """Whether the service can be used now. Raises nothing."""
        connection = self._host.connection(self._config)
        return self._kind.service(self._config, connection).availability()

    @contextmanager
    def open(self) -> "Iterator[RemoteSession]":
        """A session. When it ends, what it reserved and did not submit is released."""
        access = self._host.remote(self._config)
        session = RemoteSession(
            self._definition,
            self._config,
            self._kind.service(self._config, access.connection),
            access,
            self._offer.model.components,
        )
        try:
            yield session
        except BaseException as error:
            # A run that is only interrupted goes on, with what it has reserved.
            if isinstance(error, Exception) or access.is_cancelled():
                session.release_unused()
            raise
        session.release_unused()


class RemoteSession:
    """A BackendSession that pays, waits and downloads."""

    def __init__(
        self,
        definition: BackendDefinition,
        config: RemoteConfig,
        service: RemoteService,
        access: RemoteAccess,
        identity: Mapping[str, str],
    ) -> None:
        self._definition, self._config = definition, config
        self._service, self._access, self._identity = service, access, identity
        self._jobs = Jobs(definition.name, definition.title, service, access, config)

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Check all requests, and reserve the price of all or of none: a video whose second half
        is above a cap is not begun.

        Raises BriefError for a request that cannot be made, UnavailableError if this host has too
        little memory for the frames of a clip, and BudgetError above a cap.
        """
        for request in requests:
            check_request(self._definition, request)
        self._service.check(requests)
        self._check_memory(requests)
        self._jobs.reserve([(self._digest(item), self._service.price(item)) for item in requests])

    def _check_memory(self, requests: Sequence[ClipRequest]) -> None:
        """A clip that is paid for must not end the process that reads it."""
        need, free = _frame_bytes(requests), self._access.free_memory()
        if need > free:
            raise UnavailableError(
                f"the frames of the longest clip of {self._definition.title} take "
                f"{need / 1e9:.1f} GB of this host's memory, and {free / 1e9:.1f} GB are free; "
                "nothing was paid. Ask for shorter chunks or a smaller size, or end other programs"
            )

    def release_unused(self) -> None:
        """Release the price of chunks that were not submitted. Raises nothing."""
        self._jobs.release_unused()

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        """Make one clip, or go on with the job that an earlier run submitted for it.

        Raises RefusedError if the service refuses the content; QuotaError and UnavailableError if
        it cannot work now; PendingJobError if a paid job is under way or done and its clip cannot
        be had now; LostJobError if a paid job may have been started and cannot be found;
        BudgetError above a cap; GenerationError for an invalid request, and for a clip of another
        size, rate or length than was asked for.
        """
        check_request(self._definition, request)
        digest = self._digest(request)
        price = self._service.price(request)
        record, status = wait_for(
            self._jobs,
            lambda: self._jobs.submitted(
                digest, price, lambda key: self._service.submit(request, media, key)
            ),
            price,
            lambda status: self._service.bill(request, status),
            on_step,
        )
        return self._fetched(record, status, request)

    def _fetched(self, record: JobRecord, status: JobStatus, request: ClipRequest) -> GeneratedClip:
        """The clip of a job that is done; fetching it costs nothing, so it is tried patiently."""
        end = time.monotonic() + self._config.job_seconds
        path, title = self._access.folder / f"{record.digest}.download", self._definition.title
        for left in reversed(range(_DOWNLOADS)):
            try:
                self._service.fetch(record.operation, status, path)
                sound = self._definition.capabilities.audio
                return self._access.read_clip(path, request, title, sound=sound)
            except (MediaError, UnavailableError) as error:
                if not left or time.monotonic() > end:  # each attempt may take that long itself
                    raise self._not_fetched(record, error) from error
                _log.warning("a clip is fetched again: %s", error)
                self._access.pause(2.0 ** (_DOWNLOADS - 1 - left))
            except GenerationError as error:
                self._jobs.end(record, "failed", str(error))
                raise
        raise AssertionError("the loop returns or raises")

    def _not_fetched(self, record: JobRecord, error: Exception) -> GenerationError:
        title = self._definition.title
        if self._service.paid:
            return PendingJobError(
                f"{title} has made the clip, but it cannot be fetched: {error}. It is paid for and "
                "not lost: run again to fetch it"
            )
        self._jobs.end(record, "gone", str(error))  # the next run has it made again
        return UnavailableError(f"{title} has made the clip, but it cannot be fetched: {error}")

    def _digest(self, request: ClipRequest) -> Digest:
        spec = ChunkSpec(backend=self._definition.name, identity=self._identity, request=request)
        return spec.digest


def _frame_bytes(requests: Sequence[ClipRequest]) -> int:
    """Bytes of the longest clip as `read_clip` holds it: frames x height x width x 3, as uint8."""
    sizes = ((item.size, item.frames) for item in requests)
    return max((size.width * size.height * 3 * frames for size, frames in sizes), default=0)


class _NoConnection:
    """For a service that only calculates prices."""

    def send(self, *_: object, **__: object) -> Reply:
        raise AssertionError("prices are calculated without a request")

    def download(self, *_: object, **__: object) -> None:
        raise AssertionError("prices are calculated without a request")
