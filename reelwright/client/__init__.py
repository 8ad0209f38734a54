"""A client of a studio's gateway. It needs httpx and pydantic, and nothing of the studio itself.

from reelwright.client import Client

with Client("http://127.0.0.1:8004", key="rw_…") as studio:
    run = studio.wait(studio.start("a red fox trots through snow", seconds=4))
    studio.download(run, "fox.mp4")
"""

from reelwright.client.answers import (
    Alternative,
    AuditEntry,
    Candidate,
    Deleted,
    DraftedEntry,
    DraftedShot,
    Forecast,
    KeptPart,
    Me,
    Money,
    MotionUpload,
    Upload,
)
from reelwright.client.briefs import (
    BriefFields,
    EditedEntry,
    EditedShot,
    HandShot,
    SheetWords,
    ShotOverride,
)
from reelwright.client.client import Client
from reelwright.client.errors import (
    ApiError,
    ClientError,
    NotReachableError,
    RunEndedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from reelwright.client.models import (
    Check,
    Link,
    NewLink,
    Note,
    Run,
    RunState,
    StoryboardDraft,
    Trashed,
    Video,
    WebhookTest,
)

__all__ = [
    "Alternative",
    "ApiError",
    "AuditEntry",
    "BriefFields",
    "Candidate",
    "Check",
    "Client",
    "ClientError",
    "Deleted",
    "DraftedEntry",
    "DraftedShot",
    "EditedEntry",
    "EditedShot",
    "Forecast",
    "HandShot",
    "KeptPart",
    "Link",
    "Me",
    "Money",
    "MotionUpload",
    "NewLink",
    "NotReachableError",
    "Note",
    "Run",
    "RunEndedError",
    "RunState",
    "SheetWords",
    "ShotOverride",
    "StoryboardDraft",
    "Trashed",
    "UnexpectedAnswerError",
    "Upload",
    "Video",
    "WaitTimeoutError",
    "WebhookTest",
]
