"""The interface of one foreign service: how requests are built, and how answers are read.

A service knows the wire format only. `driver.py` decides when to submit, wait and pay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipelines.backends.base import InputMedia
from pipelines.schema.availability import Availability
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest

JobState = Literal["queued", "running", "done", "failed", "refused", "gone"]
"""`failed`   it ended without a clip, by a fault of the service
`refused`  it ended without a clip because of its content; also “completed” without a video
`gone`     the service does not know it (any more)"""


@dataclass(frozen=True)
class JobStatus:
    """What a service says of a job."""

    state: JobState
    progress: float = 0.0
    """0 to 1."""
    message: str = ""
    """The service's own words, without secrets, for the editor."""
    result: Mapping[str, str] = field(default_factory=dict)
    """Where the clip is; only the service that wrote it reads it."""
    lasting: bool = False
    """Of a job that failed: whether another attempt would surely fail alike, as when the memory of
    the service's device is too small. The backend is unavailable for this request then."""
    invalid: bool = False
    """Of a job that failed: whether the service calls the request wrong. It is not repeated, and no
    other backend is tried."""
    usage: Mapping[str, float] = field(default_factory=dict)
    """What the service counted, such as `output_tokens` or `seconds`."""


@dataclass(frozen=True)
class Bill:
    """What a finished job costs."""

    price: Money
    basis: Literal["estimated", "billed"]
    """`billed` if it is calculated from the usage in the answer."""


class RemoteService(Protocol):
    """One service, with the connection that it was given.

    All methods but `price` and `bill` use the network. They raise UnavailableError if the service
    cannot be reached or says that it cannot work now, QuotaError if it takes no more of our
    requests, and SettingsError if it does not accept our key.
    """

    paid: bool
    """Whether its jobs cost money. A lost job is submitted again only if it does not."""
    finds: bool
    """Whether `find` can tell if a job was submitted."""

    def availability(self) -> Availability:
        """Whether it can be used now, by one small safe request. Raises nothing."""

    def submit(self, request: ClipRequest, media: InputMedia, key: str) -> str:
        """Start a job and return its id there. Sends one request that starts it, never two.

        `key` is a UUID, and the same for the same attempt at the same chunk. A service that lets
        its clients choose ids uses it. Raises AnswerLostError if the job may have been started but
        no answer came, RefusedError for refused content, and GenerationError for a request that
        the service calls invalid.
        """

    def find(self, key: str) -> str | None:
        """Id of the job that was submitted with `key`; None if there is none."""

    def look(self, operation: str) -> JobStatus:
        """What the service says of the job `operation`."""

    def fetch(self, operation: str, status: JobStatus, path: Path) -> None:
        """Write the clip of a job that is done to `path`.

        Raises MediaError if it is incomplete or too large.
        """

    def cancel(self, operation: str) -> None:
        """Ask the service to stop the job. Raises nothing if it cannot be stopped."""

    def price(self, request: ClipRequest) -> Money:
        """The most that one job costs, from the configured price list."""

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        """What a job that is done or failed costs."""

    def check(self, requests: Sequence[ClipRequest]) -> None:
        """Raises BriefError for a request that the service cannot make, before anything is paid."""
