"""Titles, stars, deletion with undo, and shared links of videos: for programs and for the pages."""

import logging
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from infra.apps.gateway.access import Deleter, Maker, gateway_of
from infra.apps.gateway.api import send_part
from infra.apps.gateway.deleting import may_take_back, require_delete, require_take_back
from infra.apps.gateway.keys import Client
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.library import MAX_SHARE_DAYS, MAX_TITLE, Note, SharedLink, Trashed
from infra.apps.gateway.listing import VideoView, view_of
from infra.apps.gateway.problems import REFUSALS, ProblemError
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.store_work import at_store
from pipelines.documents.manifest import Manifest
from pipelines.errors import BriefError, ReelwrightError
from pipelines.schema.keys import Digest
from pipelines.schema.text import clean_text

router = APIRouter(tags=["Videos"])
pages = APIRouter()
Cid = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{64}$", description="Content id.")]
Secret = Annotated[str, PathParameter(min_length=20, max_length=64)]
_WEEK = 7.0
_log = logging.getLogger("reelwright.library")
_LOOK_EVERY = 60.0
"""Seconds between two looks at what was deleted."""


class NoteChange(BaseModel):
    """What is said about a video; a field that is left out stays."""

    model_config = ConfigDict(extra="forbid")

    title: str | None = Field(None, description=f"Up to {MAX_TITLE} characters; '' for none.")
    starred: bool | None = None


class NoteView(BaseModel):
    """What is known of a video besides its manifest."""

    title: str
    starred: bool
    shared_until: datetime | None = Field(description="The end of its last shared link.")

    @classmethod
    def of(cls, note: Note) -> "NoteView":
        """With times in UTC."""
        return cls(
            title=note.title,
            starred=note.starred,
            shared_until=_when(note.shared_until),
        )


class ShareRequest(BaseModel):
    """How long a link is to work."""

    model_config = ConfigDict(extra="forbid")

    days: float = Field(_WEEK, gt=0, le=MAX_SHARE_DAYS)


class LinkView(BaseModel):
    """A link that shows one video without a login."""

    id: str = Field(description="By which it is ended.")
    until: datetime

    @classmethod
    def of(cls, link: SharedLink) -> "LinkView":
        """With its end in UTC."""
        return cls(id=link.id, until=datetime.fromtimestamp(link.until, UTC))


class Share(LinkView):
    """A link that was just made."""

    url: str = Field(description="Shown once: only a hash of it is stored.")


class Ended(BaseModel):
    """Links that work no more."""

    ended: int = Field(description="How many there were.")


@router.patch("/videos/{cid}/note", responses=REFUSALS)
@at_store
def change_note(request: Request, cid: Cid, change: NoteChange, _: Maker) -> NoteView:
    """Rename a video, or mark it with a star."""
    library = gateway_of(request).library
    video = _require(gateway_of(request), cid)
    if change.title is not None:
        library.rename(video, _title(change.title))
    if change.starred is not None:
        library.star(video, starred=change.starred)
    return NoteView.of(library.note(video))


@router.get("/videos/{cid}/note", responses=REFUSALS)
@at_store
def note(request: Request, cid: Cid, _: Maker) -> NoteView:
    """Title, star, deletion and links of a video."""
    return NoteView.of(gateway_of(request).library.note(_require(gateway_of(request), cid)))


@router.post("/videos/{cid}/share", status_code=201, responses=REFUSALS)
@at_store
def share(request: Request, cid: Cid, body: ShareRequest, _: Maker) -> Share:
    """A link that shows this one video to whoever has it, without a login."""
    return _share(gateway_of(request), _require(gateway_of(request), cid), body.days)


@router.get("/videos/{cid}/share", responses=REFUSALS)
@at_store
def links(request: Request, cid: Cid, _: Maker) -> list[LinkView]:
    """The links that show a video now. Their addresses are known only to whoever made them."""
    gateway = gateway_of(request)
    return [LinkView.of(link) for link in gateway.library.links(_require(gateway, cid))]


@router.delete("/videos/{cid}/share", responses=REFUSALS)
def end_shares(
    request: Request,
    cid: Cid,
    _: Maker,
    link: Annotated[str, Query(max_length=64, description="Its id; empty: all of them.")] = "",
) -> Ended:
    """End all links of a video, or one of them."""
    return Ended(ended=gateway_of(request).library.end_shares(Digest(cid), link))


class TrashedView(BaseModel):
    """A video that was deleted and can be taken back."""

    id: str = Field(description="Its content id.")
    until: datetime = Field(
        description="Until when it can be taken back at least. After that its files are removed "
        "as soon as no run needs them."
    )

    @classmethod
    def of(cls, found: Trashed) -> "TrashedView":
        """With its end in UTC."""
        return cls(id=found.id, until=datetime.fromtimestamp(found.removed_at, UTC))


@router.post("/videos/{cid}/trash", responses=REFUSALS)
@at_store
def trash(request: Request, cid: Cid, client: Deleter) -> TrashedView:
    """Delete a video so that it can be taken back for an hour, as its page does. It leaves all
    lists at once, and its shared links end. Without the scope `manage` a client deletes what it
    alone asked for. Sent again, it answers the same and changes nothing."""
    gateway, video = gateway_of(request), Digest(cid)
    before = gateway.library.trashed(video)
    is_gone = before is not None and gateway.videos.manifest(video) is None
    if before and is_gone and may_take_back(gateway.database, client, video):
        request.state.unrecorded = True
        return TrashedView.of(before)
    return TrashedView.of(_trash(gateway, client, video))


@router.post("/videos/{cid}/restore", responses=REFUSALS)
@at_store
def restore(request: Request, cid: Cid, client: Deleter) -> VideoView:
    """Take back a deletion by `POST /videos/{cid}/trash` or by the video's page. Without the scope
    `manage` a client takes back its own deletions."""
    gateway, video = gateway_of(request), Digest(cid)
    _take_back(gateway, client, video)
    return view_of(_published(gateway, video))


@pages.post("/watch/{cid}/note")
async def note_from_page(
    request: Request,
    cid: Cid,
    _: Maker,
    action: Annotated[Literal["rename", "star", "unstar", "unshare"], Form()],
    title: Annotated[str, Form(max_length=1_000)] = "",
) -> Response:
    """The buttons on a video's page."""
    gateway, video = gateway_of(request), Digest(cid)
    library = gateway.library
    try:
        if action == "rename":
            library.rename(video, _title(title))
        elif action == "unshare":
            library.end_shares(video)
        else:
            library.star(video, starred=action == "star")
    except (BriefError, ProblemError) as error:
        status = error.status if isinstance(error, ProblemError) else 422
        return render(request, "message.html", status, title="Not changed", text=str(error))
    return RedirectResponse(f"/watch/{cid}", 303)


@pages.post("/watch/{cid}/delete")
@at_store
def delete_from_page(request: Request, cid: Cid, client: Deleter) -> Response:
    """Delete a video, so that it can be taken back for a while."""
    _trash(gateway_of(request), client, Digest(cid))
    return RedirectResponse(f"/watch/{cid}", 303)


@pages.post("/watch/{cid}/undo")
@at_store
def undo_from_page(request: Request, cid: Cid, client: Deleter) -> Response:
    """Take back a deletion."""
    try:
        _take_back(gateway_of(request), client, Digest(cid))
    except ProblemError as problem:
        title = "It cannot be taken back"
        return render(request, "message.html", problem.status, title=title, text=problem.message)
    return RedirectResponse(f"/watch/{cid}", 303)


@pages.post("/watch/{cid}/share")
@at_store
def share_from_page(
    request: Request, cid: Cid, _: Maker, days: Annotated[float, Form(gt=0, le=90)] = _WEEK
) -> Response:
    """The link, shown once."""
    found = _share(gateway_of(request), _require(gateway_of(request), cid), days)
    return render(request, "shared_link.html", share=found, cid=cid)


@pages.get("/share/{secret}")
@at_store
def shared_page(request: Request, secret: Secret) -> Response:
    """One video for whoever has its link: nothing of the studio besides."""
    gateway = gateway_of(request)
    try:
        cid, until = _shared(gateway, secret)
        manifest = gateway.videos.manifest(cid)
    except ProblemError as problem:
        return render(request, "shared_end.html", problem.status)
    if manifest is None:
        return render(request, "shared_end.html", 404)
    title = gateway.library.note(cid).title or manifest.brief.prompt
    video = view_of(manifest)
    return render(
        request, "shared.html", video=video, title=title, secret=secret, until=_when(until)
    )


@pages.api_route("/share/{secret}/{kind}", methods=["GET", "HEAD"])
async def shared_file(
    request: Request,
    secret: Secret,
    kind: Literal["video.mp4", "picture.png", "poster.jpg"],
    range: Annotated[str, Header(max_length=100)] = "",
    if_none_match: Annotated[str, Header(max_length=200)] = "",
) -> Response:
    """The file of a shared video. Raises ProblemError 404 for a link that has ended."""
    gateway = gateway_of(request)
    cid, _ = _shared(gateway, secret)
    name = f"{cid}{kind[kind.index('.') :]}"
    part = await gateway.work.run(lambda: gateway.videos.part(name, range, unpublished=False))
    title = gateway.library.note(cid).title
    return await send_part(request, part, if_none_match, name, title=title)


async def remove_deleted(gateway: Gateway) -> float:
    """Remove the videos whose time is over and that no run needs. Returns the seconds until the
    next look.

    One that cannot be removed is tried again then, and holds up no other.
    """
    for cid in await run_in_threadpool(gateway.library.due):
        try:
            found = await run_in_threadpool(gateway.library.trashed, cid)
            if found and await _is_needed(gateway, found):
                continue
            await gateway.work.run(gateway.videos.remove_trashed, cid, gateway.library)
        except (ProblemError, ReelwrightError) as error:
            _log.warning("the deleted video %s stays for now: %s", cid, error)
    return _LOOK_EVERY


async def _is_needed(gateway: Gateway, found: Trashed) -> bool:
    """Whether a run may publish it again. Raises ServerError."""
    try:
        manifest = found.as_manifest
    except ValidationError:  # another version deleted it
        return False
    return await gateway.needs.is_needed(manifest)


def _trash(gateway: Gateway, client: Client, cid: Digest) -> Trashed:
    """Raises ProblemError 403, 404, 502."""
    require_delete(gateway.database, client, _published(gateway, cid))
    gateway.videos.trash(cid, gateway.library)
    gateway.runs.forget()
    found = gateway.library.trashed(cid)
    assert found is not None
    return found


def _take_back(gateway: Gateway, client: Client, cid: Digest) -> None:
    """Raises ProblemError 403, 404."""
    require_take_back(gateway.database, client, cid)
    gateway.videos.take_back(cid, gateway.library)
    gateway.runs.forget()


def _share(gateway: Gateway, cid: Digest, days: float) -> Share:
    secret, link = gateway.library.share(cid, days)
    url = f"{gateway.settings.gateway.base_url}/share/{secret}"
    return Share(**LinkView.of(link).model_dump(), url=url)


def _shared(gateway: Gateway, secret: str) -> tuple[Digest, float]:
    found = gateway.library.shared(secret)
    if found is None:
        raise ProblemError(404, "not_found", "this link has ended; ask for a new one")
    return found


def _require(gateway: Gateway, cid: str) -> Digest:
    return _published(gateway, cid).content_id


def _published(gateway: Gateway, cid: str) -> Manifest:
    manifest = gateway.videos.manifest(Digest(cid))
    if manifest is None:
        raise ProblemError(404, "not_found", f"there is no published video {cid[:12]}…")
    return manifest


def _title(value: str) -> str:
    """Raises BriefError if it cannot be one."""
    try:
        return clean_text(value.strip(), "title", MAX_TITLE)
    except ValueError as error:
        raise BriefError(str(error)) from error


def _when(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
