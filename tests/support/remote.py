"""A service, a journal and a ledger in memory, which can be killed at every call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import numpy as np

from pipelines.backends.base import InputMedia, UsedModel
from pipelines.backends.remote.access import Charge, Connection, JobRecord, RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.kinds import Kind, Offer
from pipelines.backends.remote.service import Bill, JobState, JobStatus
from pipelines.errors import AnswerLostError, MediaError, UnavailableError
from pipelines.media.codec import clip_writer
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.made_elsewhere import read_clip
from pipelines.schema.availability import Availability
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size

SIZE = Size(64, 64)
FPS = 8
PRICE = Money.of("0.35")


class KilledError(BaseException):
    """The process was killed here."""


class Kills:
    """Kills at one call, before or after it has had its effect."""

    def __init__(self, at: int | None = None, *, after: bool = False) -> None:
        self.at, self.after, self.calls = at, after, 0
        self.names: list[str] = []

    def __call__(self, name: str, effect: Callable[[], Any]) -> Any:
        number, self.calls = self.calls, self.calls + 1
        self.names.append(name)
        if number == self.at and not self.after:
            raise KilledError
        result = effect()
        if number == self.at:
            raise KilledError
        return result


@dataclass
class World:
    """What outlives a killed process: the service with its jobs and bill, journal, ledger."""

    states: list[JobState] = field(default_factory=lambda: ["queued", "running", "done"])
    """What each job is, one for each question; the last one stays."""
    frames: int = 0
    """Frames of the clips that it makes; 0: as many as were asked for."""
    paid: bool = True
    finds: bool = False
    invalid: bool = False
    """Whether a job that failed is the fault of its request."""
    given_up_while_submitting: bool = False
    """Whether another process calls a claim lost before the answer to its submit comes."""
    loses_answers: int = 0
    """How many answers to submits are lost from now on."""
    errors: list[Exception] = field(default_factory=list)
    """What submits raise, in order, before one is taken."""
    free_memory: int = 10**12
    """Bytes of the run's host."""
    deaf: int = 0
    """How many times from now on the service does not answer whether it has a job."""
    broken_downloads: int = 0
    """How many fetches from now on break off."""
    jobs: dict[str, str] = field(default_factory=dict)
    """Operation to key of every job that was started: the bill."""
    looks: dict[str, int] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    records: dict[Digest, JobRecord] = field(default_factory=dict)
    reserved: dict[str, Money] = field(default_factory=dict)
    settled: dict[str, Money] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def give_up(self, key: str) -> None:
        """What another process does with a claim that seems to be abandoned."""
        for digest, record in self.records.items():
            if record.key == key:
                changes = {"state": "ended", "outcome": "lost", "run": "another"}
                self.records[digest] = record.model_copy(update=changes)

    @property
    def bill(self) -> Decimal:
        """What the service will charge for."""
        return PRICE.amount * len(self.jobs)

    @property
    def spent(self) -> Decimal:
        """What the ledger says is spent or may be spent."""
        free = {*self.released, *self.settled}
        open_ = sum(m.amount for name, m in self.reserved.items() if name not in free)
        return sum((m.amount for m in self.settled.values()), Decimal(open_))

    def open_again(self, charge: str) -> None:
        """A charge that was released counts after all."""
        self.released = [item for item in self.released if item != charge]


class Journal:
    def __init__(self, world: World, kills: Kills) -> None:
        self._world, self._kills = world, kills

    def read(self, digest: Digest) -> JobRecord | None:
        found: JobRecord | None = self._kills("read", lambda: self._world.records.get(digest))
        return found

    def write(self, record: JobRecord, before: JobRecord | None) -> bool:
        def effect() -> bool:
            if self._world.records.get(record.digest) != before:
                return False
            self._world.records[record.digest] = record
            return True

        return bool(self._kills(f"write {record.state} {record.outcome}".strip(), effect))


class MemoryLedger:
    def __init__(self, world: World, kills: Kills) -> None:
        self._world, self._kills = world, kills

    def reserve(self, charges: Sequence[Charge]) -> None:
        def effect() -> None:
            for charge in charges:
                self._world.reserved.setdefault(charge.id, charge.price)
                self._world.open_again(charge.id)

        self._kills("reserve", effect)

    def settle(self, charge: Charge, price: Money, basis: Literal["estimated", "billed"]) -> None:
        assert charge.id in self._world.reserved, "settled without a reservation"
        self._kills("settle", lambda: self._world.settled.setdefault(charge.id, price))

    def release(self, charge: Charge, reason: str) -> None:
        self._kills("release", lambda: self._world.released.append(charge.id))

    def keep(self, charge: Charge, reason: str) -> None:
        def effect() -> None:
            self._world.kept.append(charge.id)
            self._world.open_again(charge.id)

        self._kills("keep", effect)


class ScriptedService:
    """A service whose jobs are as the world says."""

    def __init__(self, world: World, kills: Kills, tool: Ffmpeg) -> None:
        self._world, self._kills, self._tool = world, kills, tool
        self.paid, self.finds = world.paid, world.finds
        self._requests: dict[str, ClipRequest] = {}

    def availability(self) -> Availability:
        return Availability(available=True)

    def check(self, requests: Sequence[ClipRequest]) -> None: ...

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        assert str(UUID(key)) == key

        def effect() -> str:
            if self._world.errors:
                raise self._world.errors.pop(0)
            operation = f"operations/{len(self._world.jobs) + 1}"
            self._world.jobs[operation] = key
            if self._world.given_up_while_submitting:
                self._world.give_up(key)
            if self._world.loses_answers:
                self._world.loses_answers -= 1
                raise AnswerLostError("the connection broke")
            return operation

        return str(self._kills("submit", effect))

    def find(self, key: str) -> str | None:
        def effect() -> str | None:
            if self._world.deaf:
                self._world.deaf -= 1
                raise UnavailableError("it is left alone for 30 s")
            return next((o for o, known in self._world.jobs.items() if known == key), None)

        found: str | None = self._kills("find", effect)
        return found

    def look(self, operation: str) -> JobStatus:
        def effect() -> JobStatus:
            if operation not in self._world.jobs:
                return JobStatus("gone")
            count = self._world.looks.get(operation, 0)
            self._world.looks[operation] = count + 1
            state = self._world.states[min(count, len(self._world.states) - 1)]
            return JobStatus(
                state, progress=0.5, message="as the test says", invalid=self._world.invalid
            )

        status: JobStatus = self._kills("look", effect)
        return status

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        assert status.state == "done"

        def effect() -> None:
            if self._world.broken_downloads:
                self._world.broken_downloads -= 1
                raise MediaError("the clip broke off")
            write_clip(self._tool, path, self._world.frames or 16)

        self._kills("fetch", effect)

    def cancel(self, operation: str) -> None:
        self._world.cancelled.append(operation)

    def price(self, request: ClipRequest) -> Money:
        return PRICE

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        return Bill(PRICE if status.state == "done" else Money.of(0), "billed")


def write_clip(tool: Ffmpeg, path: Path, frames: int, size: Size = SIZE, fps: int = FPS) -> None:
    """A clip whose frames differ from one another."""
    part = path.with_suffix(".mp4")
    with clip_writer(tool, part, size, frames, fps=fps, crf=12, speed="ultrafast") as write:
        for number in range(frames):
            write(np.full((size.height, size.width, 3), 10 * number % 250, np.uint8))
    part.replace(path)


def kind_of(world: World, kills: Kills, tool: Ffmpeg) -> Kind[RemoteConfig]:
    """A kind of backend whose service is scripted."""
    can = Capabilities(
        inputs=frozenset({"text"}),
        fps=FPS,
        frame_step=FPS,
        frame_offset=0,
        min_frames=FPS,
        max_frames=4 * FPS,
        sizes=(SIZE,),
        location="remote",
    )

    def offer(config: RemoteConfig) -> Offer:
        name = config.preset_prefix
        preset = Preset(
            name=name,
            title="Scripted",
            backend=config.name,
            size=SIZE,
            frames=16,
            options=BackendOptions(),
        )
        model = UsedModel("scripted", "none", {"model": "scripted-1", "recipe": "1"})
        return Offer("Scripted", can, BackendOptions, (preset,), model)

    def service(_: RemoteConfig, __: Connection) -> ScriptedService:
        return ScriptedService(world, kills, tool)

    return Kind("scripted", RemoteConfig, offer, service)


class RunHost:
    """The part of a BackendHost that a remote backend uses."""

    def __init__(
        self,
        world: World,
        kills: Kills,
        tool: Ffmpeg,
        folder: Path,
        run: str = "run-1",
        *,
        cancelled: bool = False,
    ) -> None:
        self.pauses: list[float] = []
        self.access = RemoteAccess(
            connection=None,  # type: ignore[arg-type]  # the scripted service uses none
            journal=Journal(world, kills),
            ledger=MemoryLedger(world, kills),
            read_clip=partial(read_clip, tool),
            folder=folder,
            run=run,
            is_cancelled=lambda: cancelled,
            pause=self.pauses.append,
            free_memory=lambda: world.free_memory,
        )

    def connection(self, config: RemoteConfig) -> Connection:
        return self.access.connection

    def remote(self, config: RemoteConfig) -> RemoteAccess:
        return self.access
