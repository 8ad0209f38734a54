"""Addresses at the gateway, and what stands in them."""

import uuid
from datetime import datetime
from typing import Literal

from reelwright.client.errors import RunEndedError
from reelwright.client.models import Run, Video

Part = Literal["video", "picture", "webp", "poster", "contact", "manifest"]
_FILES: dict[Part, str] = {
    "video": ".mp4",
    "picture": ".png",
    "webp": ".webp",
    "poster": ".jpg",
    "contact": "-contact.jpg",
    "manifest": ".json",
}


def run_id(run: Run | uuid.UUID | str) -> str:
    """The id of a run."""
    return str(run.id if isinstance(run, Run) else run)


def video_of(video: Video | Run | str) -> str:
    """The address `/videos/ID` of a video. Raises RunEndedError if the run has none."""
    return file_of(video, "video").rpartition(".")[0]


def file_of(video: Video | Run | str, part: Part) -> str:
    """Address of a part of a video. Raises RunEndedError if the run has none."""
    if isinstance(video, str):
        return f"/videos/{video}{_FILES[part]}"
    if isinstance(video, Run) and not video.video_path:
        raise RunEndedError(
            f"the run {video.id} has no video: it is {video.state}"
            + (f", {video.detail}" if video.detail else "")
        )
    return _beside(video.video_path, part)


def _beside(path: str, part: Part) -> str:
    """The file of that part beside the one at `path`; "video" is the picture of a brief for one."""
    return path if part == "video" else path.rpartition(".")[0] + _FILES[part]


def times(since: datetime | None, until: datetime | None) -> dict[str, str | None]:
    """Both as a query. Raises ValueError for a time without a zone."""
    for name, when in (("since", since), ("until", until)):
        if when is not None and when.tzinfo is None:
            raise ValueError(f"{name}={when} has no time zone; take datetime.now(UTC), for example")
    return {
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
    }
