"""The list of published videos, page by page."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from pipelines.documents.manifest import Manifest, main_key
from pipelines.schema.keys import Digest
from pipelines.schema.plan import Kind


def file_path(cid: str, kind: Kind) -> str:
    """Address of a published file on the gateway: an MP4, or the PNG of a picture."""
    return f"/videos/{cid}.{'png' if kind == 'image' else 'mp4'}"


class VideoView(BaseModel):
    """A published video or picture."""

    id: str = Field(description="Content id: the same brief with the same models has the same.")
    kind: Kind = "video"
    name: str
    video_path: str = Field(description="Address of the MP4; of a picture, that of its PNG.")
    image_path: str = Field("", description="Of a picture: address of its PNG, without loss.")
    webp_path: str = Field("", description="Of a picture: address of its WebP, which is smaller.")
    poster_path: str
    watch: str
    prompt: str
    campaigns: tuple[str, ...] = ()
    created: str
    seconds: float = Field(description="0 for a picture.")
    width: int
    height: int
    size: int = Field(description="Bytes of the file at `video_path`.")
    model: str
    stands_in_for: str = ""

    @classmethod
    def of(cls, cid: str, kind: Kind, **values: Any) -> Self:
        """The view of a video or picture, with the addresses that follow from its id."""
        path, is_picture = file_path(cid, kind), kind == "image"
        return cls(
            id=cid,
            kind=kind,
            name=path.removeprefix("/videos/"),
            video_path=path,
            image_path=path if is_picture else "",
            webp_path=f"/videos/{cid}.webp" if is_picture else "",
            poster_path=f"/videos/{cid}.jpg",
            watch=f"/watch/{cid}",
            **values,
        )


@dataclass(frozen=True)
class Place:
    """A position in the list between two videos; the list begins with the newest."""

    created: str
    """UTC, ISO 8601, of the video before it."""
    id: str
    """Of the same; it decides between videos of one second."""

    def as_cursor(self) -> str:
        """An opaque text for the query of an address."""
        return base64.urlsafe_b64encode(f"{self.created} {self.id}".encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """The place that `as_cursor` encoded. Raises ValueError for any other text."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
            created, _, cid = text.partition(" ")
            place = cls(as_utc(created), Digest(cid))
        except (ValueError, binascii.Error) as error:
            raise ValueError(
                f"the cursor {cursor[:40]!r} is none of ours; take it from the Link header, "
                "or begin without one"
            ) from error
        return place


@dataclass(frozen=True)
class VideoFilter:
    """Which videos are wanted; empty: all."""

    campaign: str = ""
    text: str = ""
    """A part of the prompt or of the title, in any case of A to Z."""
    since: datetime | None = None
    """Published then or later."""
    until: datetime | None = None
    """Published before then."""
    starred: bool = False
    """Only those that somebody marked."""

    def conditions(self, created: str) -> tuple[str, list[str]]:
        """Conditions on a row of `videos` and their values, but for the campaign. `created` is the
        column with its date."""
        parts, values = [""], []
        for sign, when in ((">=", self.since), ("<", self.until)):
            if when:
                parts.append(f"{created} {sign} ?")
                values.append(as_utc(when.isoformat()))
        if self.text:
            # A title is what people call a video; its words are what it was made of.
            parts.append(
                "(prompt like ? escape '\\' or videos.id in "
                "(select video from library where title like ? escape '\\'))"
            )
            plain = re.sub(r"([\\%_])", r"\\\1", self.text)
            values += [f"%{plain}%"] * 2
        if self.starred:
            parts.append("videos.id in (select video from library where starred = 1)")
        return " and ".join(parts), values


EVERY_VIDEO = VideoFilter()


@dataclass(frozen=True)
class Page:
    """A page of the list."""

    videos: tuple[VideoView, ...]
    next: Place | None
    """Where the page after it begins; None if this one is the last."""


def view_of(manifest: Manifest) -> VideoView:
    """What a list shows of it. Raises ValueError if the manifest lacks what a list needs."""
    model = next((m.name for m in manifest.models if m.role == "video"), None)
    main = main_key(manifest.content_id, manifest.kind)
    size = next((item.size for item in manifest.objects if item.key == main), None)
    if model is None or size is None:
        raise ValueError("its manifest names no video, or no model that made it")
    return VideoView.of(
        manifest.content_id,
        manifest.kind,
        prompt=manifest.brief.prompt,
        campaigns=manifest.campaigns,
        created=as_utc(manifest.created),
        seconds=manifest.clip.duration,
        width=manifest.clip.width,
        height=manifest.clip.height,
        size=size,
        model=model,
        stands_in_for=manifest.brief.stands_in_for,
    )


def as_utc(text: str) -> str:
    """An ISO 8601 date in UTC, in seconds, so that later ones sort after it as text.

    Raises ValueError if it is none, or says no time zone.
    """
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"its date {text[:40]!r} has no time zone")
    try:
        return when.astimezone(UTC).isoformat(timespec="seconds")
    except OverflowError as error:
        raise ValueError(f"its date {text[:40]!r} cannot be told in UTC") from error


COLUMNS = (
    "id, created, prompt, campaigns, seconds, width, height, size, model, requested_model, kind"
)
"""Of the table `videos`, in the order of `as_row`."""


def as_row(view: VideoView) -> tuple[Any, ...]:
    """The values of a video for COLUMNS."""
    campaigns = json.dumps(view.campaigns)
    size = view.seconds, view.width, view.height, view.size
    made = view.model, view.stands_in_for, view.kind
    return view.id, view.created, view.prompt, campaigns, *size, *made


def of_row(row: tuple[Any, ...]) -> VideoView:
    """The video of a row with COLUMNS."""
    cid, created, prompt, campaigns, seconds, width, height, size, *made = row
    model, requested, kind = made
    return VideoView.of(
        cid,
        kind,
        created=created,
        prompt=prompt,
        campaigns=tuple(json.loads(campaigns)),
        seconds=seconds,
        width=width,
        height=height,
        size=size,
        model=model,
        stands_in_for=requested,
    )
