"""Uploading the film, and publishing it: the manifest comes last and means complete."""

import logging
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.runtime import flow_run
from pydantic import BaseModel

from infra.adapters.manifests import delete_manifest, read_manifest, write_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.media.codec import clip_of, write_contact_sheet, write_still
from pipelines.progress import Progress
from pipelines.publishing import make_manifest, summary_of
from pipelines.schema.brief import Brief
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.manifest import (
    ChunkRecord,
    Film,
    JoinRecord,
    Manifest,
    ModelRecord,
    SegmentRecord,
    StoredObject,
)
from pipelines.schema.plan import Estimate, Plan
from pipelines.schema.storyboard import Storyboard
from tasks.dispatch import in_studio
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import LocalClip, Room

_log = logging.getLogger("reelwright.publish")


@task(name="find-published", **STAGE)
def find_published(plan: Plan, storyboard: Storyboard, room: Room) -> Film | None:
    """The film if exactly this plan was published before and every byte of it is still there.

    One that is damaged is named in the log and made again: its chunks are found, so that is quick.
    """
    manifest = _read_manifest(room.store, plan.content_id)
    if manifest is None:
        return None
    film = Film(
        plan=plan,
        storyboard=storyboard,
        clip=manifest.clip,
        video=_object(manifest, ObjectKey.video(plan.content_id)),
        poster=_object(manifest, ObjectKey.poster(plan.content_id)),
        contact=_object(manifest, ObjectKey.contact(plan.content_id)),
        estimate=manifest.estimate,
        chunks=tuple(item.model_copy(update={"made": False}) for item in manifest.chunks),
        joins=manifest.joins,
        segments=tuple(item.model_copy(update={"made": False}) for item in manifest.segments),
        models=manifest.models,
        stages=room.ledger.costs,
    )
    for item in _published(film):
        if fault := _fault_of(room.store, item):
            _log.warning("this video was published before, but %s: it is made again", fault)
            return None
    return film


def _fault_of(store: ObjectStore, item: StoredObject) -> str:
    """What is wrong with a published file; empty if every byte is as the manifest says."""
    if store.head(item.key) != item:
        return f"{item.key} is missing or another one"
    try:
        store.verify(item)
    except CorruptObjectError as error:
        return str(error)
    return ""


@task(name="upload", **STAGE)
def upload_film(
    plan: Plan,
    storyboard: Storyboard,
    expected: Estimate,
    film: Path,
    chunks: Sequence[LocalClip],
    joins: tuple[JoinRecord, ...],
    segments: Sequence[LocalClip],
    room: Room,
) -> Film:
    """Put video and poster beside the place of the manifest, each confirmed by its sha256."""
    with room.ledger.measure("upload"):
        report(Progress("upload", 0, 3, "uploading the video"))
        clip = clip_of(film, frames=plan.frames, size=plan.final_size)
        video = room.store.put_file(ObjectKey.video(plan.content_id), film, "video/mp4")
        report(Progress("upload", 1, 3, "uploading the poster"))
        still = room.folder / "poster.jpg"
        write_still(room.tool, film, plan.chunks[0].keep // 2, still)
        poster = room.store.put_file(ObjectKey.poster(plan.content_id), still, "image/jpeg")
        report(Progress("upload", 2, 3, "uploading the contact sheet"))
        write_contact_sheet(room.tool, film, _middles(plan), still)
        contact = room.store.put_file(ObjectKey.contact(plan.content_id), still, "image/jpeg")
        report(Progress("upload", 3, 3, "uploaded"))
    return Film(
        plan=plan,
        storyboard=storyboard,
        clip=clip,
        video=video,
        poster=poster,
        contact=contact,
        estimate=expected,
        chunks=tuple(c.record for c in chunks if isinstance(c.record, ChunkRecord)),
        joins=joins,
        segments=tuple(s.record for s in segments if isinstance(s.record, SegmentRecord)),
        models=_models(room, storyboard, plan),
        stages=room.ledger.costs,
    )


class Published(BaseModel):
    """Which video a run published."""

    content_id: Digest


@task(name="publish", **STAGE)
def publish(brief: Brief, film: Film) -> Manifest:
    """Write the manifest after checking that what it names is there.

    Raises StoreError if video or poster are not what the GPU host uploaded, or were deleted
    while the manifest was written; then there is no manifest.
    """
    return publish_film(ObjectStore(Settings.load().store), brief, film)


def publish_film(store: ObjectStore, brief: Brief, film: Film) -> Manifest:
    """The same in `store`."""
    _check_uploaded(store, film)
    before = _read_manifest(store, film.plan.content_id)
    run = summary_of(film)
    campaigns = _campaigns(before, brief)
    # A poster that was encoded again may have other bytes than the manifest of before names.
    same = before is not None and set(_published(film)) <= set(before.objects)
    if before and same and not (run.chunks_made or run.segments_made):
        if campaigns != before.campaigns:
            before = before.model_copy(update={"campaigns": campaigns})
            _write(store, before, film)
        _note(store, film)
        return before.model_copy(update={"run": run.model_copy(update={"already_published": True})})
    manifest = make_manifest(brief, film, store.bucket).model_copy(update={"campaigns": campaigns})
    _write(store, manifest, film)
    _note(store, film)
    return manifest


def _campaigns(before: Manifest | None, brief: Brief) -> tuple[str, ...]:
    known = before.campaigns if before else ()
    return known if brief.campaign in ("", *known) else (*known, brief.campaign)


def _check_uploaded(store: ObjectStore, film: Film) -> None:
    if missing := _not_uploaded(store, film):
        raise StoreError(f"{missing} is not in the bucket as uploaded; run again")


def _not_uploaded(store: ObjectStore, film: Film) -> ObjectKey | None:
    """The first part of the film that is not in the bucket."""
    return next((item.key for item in _published(film) if store.head(item.key) != item), None)


def _write(store: ObjectStore, manifest: Manifest, film: Film) -> None:
    """Write the manifest, and take it back if somebody deleted the video meanwhile."""
    write_manifest(store, manifest)
    if missing := _not_uploaded(store, film):
        delete_manifest(store, manifest.content_id)
        raise StoreError(f"{missing} was deleted while it was published; run again")


def _note(store: ObjectStore, film: Film) -> None:
    """For those who know the run and look for its video."""
    if in_studio():
        data = Published(content_id=film.plan.content_id).model_dump_json().encode()
        store.put_bytes(ObjectKey.published(flow_run.id), data, "application/json")


def _middles(plan: Plan) -> list[int]:
    """Of every chunk the middle frame of its part of the film."""
    spans = [plan.span_of(chunk) for chunk in plan.chunks]
    return [span.start + span.frames // 2 for span in spans]


def _published(film: Film) -> tuple[StoredObject, ...]:
    return film.video, film.poster, film.contact


def _read_manifest(store: ObjectStore, cid: Digest) -> Manifest | None:
    """The manifest of that video, restored if need be; None if absent, lost or of another shape."""
    read = read_manifest(store, cid)
    if read.detail:
        end = "restored from its copy" if read.manifest else "not used"
        _log.warning("the manifest of video %s is %s: %s", cid, end, read.detail)
    return read.manifest


def _object(manifest: Manifest, key: ObjectKey) -> StoredObject:
    return next(item for item in manifest.objects if item.key == key)


def _models(room: Room, storyboard: Storyboard, plan: Plan) -> tuple[ModelRecord, ...]:
    used = [room.video]
    if storyboard.writer != "none":
        used.insert(0, room.models.writer)
    if plan.upscale:
        used.append(room.models.upscaler)
    return tuple(
        ModelRecord(
            role=item.model.role,
            name=item.model.name,
            revision=f"{item.index.source}@{item.index.revision}",
            licence=item.model.licence,
        )
        for item in used
    )
