"""What the gateway answers.

Written from the gateway's code by `python -m tests.docs`; do not edit it.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Answer(BaseModel):
    """The base of all answers. Fields that a newer gateway adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RunView(Answer):
    """A run, as its starter sees it."""

    id: UUID
    name: str
    state: Literal[
        "accepted", "running", "awaiting_approval", "completed", "failed", "rejected", "cancelled"
    ]
    detail: str = ""
    """Where it is, or why it ended."""
    percent: float = 0.0
    """0 to 100."""
    created: datetime | None = None
    prompt: str = ""
    campaign: str = ""
    waiting_for: Literal["", "storyboard", "video", "cost"] = ""
    answer_by: datetime | None = None
    """Until when a person may answer; null unless it waits for one."""
    on_silence: Literal["", "approve", "reject"] = ""
    """What it becomes if nobody answers."""
    round: int = 0
    """How often it has asked about the same subject: 2 after a revision."""
    stopping: bool = False
    """Whether somebody stopped it, and its work ends now."""
    model: str = ""
    """What makes it: a model set, or one model."""
    stands_in_for: str = ""
    """Model that was asked for, if another makes it."""
    kind: Literal["video", "image"] = "video"
    """A video, or a single picture."""
    video_path: str = ""
    """Address of the video on this gateway; of a picture, that of its PNG."""
    watch: str = ""
    """Its page, which outlives all links."""


class DraftedShot(Answer):
    """A shot as it would be filmed."""

    number: int
    """What `drafted` of an edited shot names."""
    prompt: str
    """Without the brief's style, which is added later."""
    seconds: float
    chunks: int
    """Its length: a shot lasts for whole chunks."""
    seed: int
    size: str
    camera: str
    source: Literal["llm", "llm-retry", "template", "brief", "editor", "continued"]
    """Who wrote the words."""
    note: str
    """Why the words are not the model's first answer."""
    shows: tuple[str, ...]
    """Entries of the sheet whose looks it repeats."""
    still_path: str
    """Address of its picture (PNG); empty if it has none."""


class DraftedEntry(Answer):
    """A character or a place of the draft."""

    name: str
    appearance: str
    """As written; every shot that shows it repeats it in English."""
    kind: Literal["character", "place"]


class DraftedStoryboard(Answer):
    """The storyboard that a run asks about."""

    shots: tuple[DraftedShot, ...]
    sheet: tuple[DraftedEntry, ...]
    chunk_seconds: float
    """Seconds by which a further chunk makes the video longer; 0: not known."""
    english: str
    """The brief in English, if it was translated."""
    warnings: tuple[str, ...]


class Money(Answer):
    """An amount in one currency. Amounts of different currencies are never added."""

    amount: Decimal
    currency: str = "USD"


class Forecast(Answer):
    """What a video would cost with one preset, if nothing of it exists yet."""

    seconds: float
    memory_bytes: int = 0
    price: Money | None = None
    basis: str = ""
    low_seconds: float = 0.0
    high_seconds: float = 0.0


class Candidate(Answer):
    """A preset that can make the brief now."""

    preset: str
    title: str
    backend: str
    location: Literal["device", "remote"]
    forecast: Forecast | None = None
    score: float = 0.0
    reasons: tuple[str, ...] = ()
    later: str = ""
    ask: str = ""


class Alternative(Answer):
    """A preset that is not used, and why."""

    preset: str
    title: str
    cause: Literal["unfit", "forbidden", "unavailable", "demand", "unknown", "cap", "named"]
    reason: str
    forecast: Forecast | None = None


class RouteAnswer(Answer):
    """What a request would be made with, and why."""

    preset: str
    model: str
    model_set: str
    """`demo` or `studio`; empty for a remote backend."""
    seconds: float
    """Length of the video, 0 for a picture."""
    reasons: tuple[str, ...]
    text: tuple[str, ...]
    """The whole decision as lines, as `reelwright route` prints it and the run's page shows
    it."""
    run_seconds: float | None
    """How long making it would take, without the start of its run and publishing, which no run
    measures."""
    memory_bytes: int | None
    """Most on the device at once."""
    price: str
    """What a remote backend would ask for at most; empty: nothing."""
    candidates: tuple[Candidate, ...]
    """In the order in which they are tried."""
    alternatives: tuple[Alternative, ...]
    """All other presets, and why not."""
    stands_in_for: str = ""
    """The model of `video_fast`, or of `video_high` with `prefer_quality`, if it is not
    installed and the demo is used."""


class VideoView(Answer):
    """A published video or picture."""

    id: str
    """Content id: the same brief with the same models has the same."""
    name: str
    video_path: str
    """Address of the MP4; of a picture, that of its PNG."""
    poster_path: str
    watch: str
    prompt: str
    created: str
    seconds: float
    """0 for a picture."""
    width: int
    height: int
    size: int
    """Bytes of the file at `video_path`."""
    model: str
    kind: Literal["video", "image"] = "video"
    image_path: str = ""
    """Of a picture: address of its PNG, without loss."""
    webp_path: str = ""
    """Of a picture: address of its WebP, which is smaller."""
    campaigns: tuple[str, ...] = ()
    stands_in_for: str = ""


class NoteView(Answer):
    """What is known of a video besides its manifest."""

    title: str
    starred: bool
    shared_until: datetime | None
    """The end of its last shared link."""


class TrashedView(Answer):
    """A video that was deleted and can be taken back."""

    id: str
    """Its content id."""
    until: datetime
    """Until when it can be taken back at least. After that its files are removed as soon as no
    run needs them."""


class LinkView(Answer):
    """A link that shows one video without a login."""

    id: str
    """By which it is ended."""
    until: datetime


class Share(Answer):
    """A link that was just made."""

    id: str
    """By which it is ended."""
    until: datetime
    url: str
    """Shown once: only a hash of it is stored."""


class Ended(Answer):
    """Links that work no more."""

    ended: int
    """How many there were."""


class KeptPart(Answer):
    """Objects of one kind that the deleted video was made of, and that stay."""

    kind: str
    objects: int
    bytes: int
    shared: int
    """How many of them other videos use; they stay with those. 0 too if the gateway has just
    started and has not read all videos yet."""
    until: date | None
    """The others may be gone from then on (UTC); null: never."""


class Deleted(Answer):
    """The objects that a deletion kept."""

    kept: tuple[KeptPart, ...]


class Upload(Answer):
    """A picture that was kept."""

    image_path: str
    """`uploads/….png`: what a brief's `image` takes."""


class MotionUpload(Answer):
    """The videos that guide an animation, kept as one archive."""

    motion: str
    """`uploads/….zip`: what a brief's `motion` takes."""
    image_path: str
    """`uploads/….png`: the character, if the archive holds a `src_ref.png`; else empty, and the
    brief must name a picture."""
    seconds: float
    """How long the videos last."""
    frames: int
    fps: float
    size: str
    """Of pose, background and mask, such as `1280*720`."""
    modes: tuple[str, ...]
    """`animate`, and `replace` if there are a background and a mask."""
    ignored: tuple[str, ...]
    """Files of the archive that mean nothing here and were dropped; the first 20."""


class Me(Answer):
    """Who sent the request."""

    name: str
    scopes: tuple[str, ...]


class Tested(Answer):
    """What became of a test event."""

    endpoint: str
    url: str
    accepted: bool
    status: int
    """HTTP status of the receiver's answer; 0: none came."""
    answer: str
    """The beginning of its body."""
    error: str
    """What was wrong; empty if the receiver took it."""
    seconds: float


class AuditEntry(Answer):
    """One thing that somebody did."""

    number: int
    """Counts up; a gap means that old entries were removed."""
    at: datetime
    who: str
    """A user or key, `operator`, `webhook:…`, or the command line."""
    who_id: str
    """Another one if somebody else has the name later."""
    action: str
    subject: str
    """The run, video, user or key."""
    detail: str
    address: str
    """That the request came from."""
