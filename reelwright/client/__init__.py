"""A client of a studio's gateway. It needs httpx and pydantic, and nothing of the studio itself.

from reelwright.client import Client

with Client("http://127.0.0.1:8004", key="rw_…") as studio:
    run = studio.wait(studio.start("a red fox trots through snow", seconds=4))
    studio.download(run, "fox.mp4")
"""

from reelwright.client.answers import AuditEntry, Deleted, KeptPart, Me, MotionUpload, Upload
from reelwright.client.briefs import BriefFields, HandShot, ShotOverride
from reelwright.client.client import Client
from reelwright.client.errors import (
    ApiError,
    ClientError,
    NotReachableError,
    RunEndedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from reelwright.client.models import Run, RunState, Video, WebhookTest

__all__ = [
    "ApiError",
    "AuditEntry",
    "BriefFields",
    "Client",
    "ClientError",
    "Deleted",
    "HandShot",
    "KeptPart",
    "Me",
    "MotionUpload",
    "NotReachableError",
    "Run",
    "RunEndedError",
    "RunState",
    "ShotOverride",
    "UnexpectedAnswerError",
    "Upload",
    "Video",
    "WaitTimeoutError",
    "WebhookTest",
]
