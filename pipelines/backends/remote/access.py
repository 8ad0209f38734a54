"""What a run gives to a remote backend: a connection, a journal of jobs, a ledger.

The adapters of the infrastructure fulfil these interfaces; tests have others.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pipelines.backends.base import GeneratedClip
from pipelines.backends.remote.config import RemoteConfig
from pipelines.errors import UnavailableError
from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest


@dataclass(frozen=True)
class Reply:
    """The answer to one HTTP request."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises UnavailableError if it is none."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise UnavailableError(
                f"the server answered {self.status} with a text that is no JSON; check that its "
                "address in the backends file is right"
            ) from error


class Connection(Protocol):
    """HTTP to one address that the operator configured, with its key. Follows no redirect."""

    def send(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        *,
        json: Any = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request to `path` below the address; any status is returned.

        `data` goes as a form, with `files` (field → file name, bytes, media type) as multipart. A
        GET is repeated a few times, with growing pauses, if the server is unreachable or answers
        429, 500, 502, 503 or 504; every other method is sent once. Raises UnavailableError if the
        request surely did not arrive, or if the backend failed so often that it is left alone for
        a while, and AnswerLostError if it may have arrived but no answer came.
        """

    def download(self, address: str, path: Path, *, limit: int) -> None:
        """Write what `address` holds to `path`, at most `limit` bytes.

        `address` is a path below ours, or a whole address on a host that the operator allowed. The
        key is sent to our own host and to those hosts only. Raises MediaError if it is incomplete
        or too large, SettingsError if its host is not allowed, and UnavailableError.
        """


class Listener(Protocol):
    """An open websocket that is only listened to."""

    def texts(self) -> Sequence[str]:
        """The text messages that came since the last call, the oldest first. Never waits.

        Raises UnavailableError if the connection is broken; a new one must be opened then.
        """

    def close(self) -> None:
        """End it. Raises nothing."""


@runtime_checkable
class Listening(Protocol):
    """A connection that can also open a websocket. What is said there is a bonus: a service must
    work without it, since a proxy may not let it through."""

    def listen(self, path: str, *, query: Mapping[str, str] | None = None) -> Listener:
        """A websocket to `path` below the address, with its key. Raises UnavailableError."""


class JobRecord(Frozen):
    """One attempt to let a service make a chunk. Stored as `jobs/<digest>.json`."""

    digest: Digest
    """Of the chunk spec that is made."""
    backend: str
    attempt: int
    """From 1 on; a further one follows a job that is gone, failed or was released."""
    key: str
    """UUID of this attempt."""
    state: Literal["submitting", "submitted", "ended"]
    """`submitting`: it is not known whether the service has it. `submitted`: the service has it as
    `operation`."""
    operation: str = ""
    outcome: Literal["", "done", "failed", "refused", "gone", "lost", "released"] = ""
    """How it ended. `released`: it surely never started."""
    message: str = ""
    run: str
    """Who writes it: the flow run, or a process without one."""
    changed: str
    """UTC, ISO 8601; time of the last change."""


class JobJournal(Protocol):
    """The records of paid or long jobs, shared by all hosts."""

    def read(self, digest: Digest) -> JobRecord | None:
        """The newest record of a chunk."""

    def write(self, record: JobRecord, before: JobRecord | None) -> bool:
        """Replace `before` by `record`. False, and no change, if another process was faster."""


@dataclass(frozen=True)
class Charge:
    """A sum that will be spent."""

    id: str
    """`<digest>-<attempt>`; the same for the same attempt."""
    backend: str
    price: Money


class Ledger(Protocol):
    """What a run spends. Bound to its run, video and campaign. All calls may be repeated."""

    def reserve(self, charges: Sequence[Charge]) -> None:
        """Reserve all `charges`, or none. What is reserved already is not reserved again.

        Raises BudgetError, which names the cap, if one of them would be above it.
        """

    def settle(self, charge: Charge, price: Money, basis: Literal["estimated", "billed"]) -> None:
        """The job has ended and costs `price`, in place of what was reserved."""

    def release(self, charge: Charge, reason: str) -> None:
        """The job costs nothing."""

    def keep(self, charge: Charge, reason: str) -> None:
        """It is not known what the job costs: the reservation stays as if it were spent."""


class ReadClip(Protocol):
    """Decodes and checks a clip that was fetched."""

    def __call__(
        self, path: Path, request: ClipRequest, title: str, *, sound: bool
    ) -> GeneratedClip:
        """The frames of the clip and, if that is wanted, its sound.

        Raises MediaError if the file cannot be read to its end, and GenerationError if it is not
        what was asked for.
        """


@dataclass(frozen=True)
class RemoteAccess:
    """Everything that a session of a remote backend uses beside its service."""

    connection: Connection
    journal: JobJournal
    ledger: Ledger
    read_clip: ReadClip
    folder: Path
    """Scratch for downloads."""
    run: str
    """Id of the run, for the journal."""
    is_cancelled: Callable[[], bool]
    """Whether a person cancelled the run. A run that is only interrupted goes on with its jobs."""
    pause: Callable[[float], None]
    """Waits for some seconds."""
    free_memory: Callable[[], int]
    """Bytes of this host's memory that a program can have now."""


@runtime_checkable
class RemoteHost(Protocol):
    """The part of a BackendHost that a remote backend uses."""

    def connection(self, config: RemoteConfig) -> Connection:
        """A connection for questions that change and cost nothing."""

    def remote(self, config: RemoteConfig) -> RemoteAccess:
        """What a run gives to a backend. Raises SettingsError outside of a run."""
