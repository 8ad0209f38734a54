"""Uploads and publishes a film. The manifest is written last: a video that has one is complete."""

import logging
from collections.abc import Sequence
from pathlib import Path

from prefect import task
from prefect.runtime import flow_run
from pydantic import BaseModel

from infra.adapters.manifests import delete_manifest, read_manifest, write_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import (
    ChunkRecord,
    Film,
    Manifest,
    SegmentRecord,
    StoredObject,
    TransitionRecord,
    main_key,
)
from pipelines.documents.people import Act, merged
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError, StoreError
from pipelines.media.codec import clip_of, write_contact_sheet, write_still
from pipelines.progress import Progress
from pipelines.publishing import make_manifest, summary_of
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, Kind, Plan
from pipelines.schema.storyboard import Storyboard
from tasks.context import LocalClip, RunContext
from tasks.costs import costs_of_video
from tasks.dispatch import is_deployed
from tasks.options import STAGE
from tasks.people import people_of_run
from tasks.progress import report

_log = logging.getLogger("reelwright.publish")


@task(name="find-published", **STAGE)
def find_published(plan: Plan, storyboard: Storyboard, context: RunContext) -> Film | None:
    """The film, if this plan was published before and every byte of it is still in the bucket.

    Returns None for a damaged film, which is logged and made again; that is quick, because its
    chunks are in the bucket. Raises StoreError if the store fails.
    """
    manifest = _read_manifest(context.store, plan.content_id)
    if manifest is None:
        return None
    cid = plan.content_id
    film = Film(
        plan=plan,
        storyboard=storyboard,
        clip=manifest.clip,
        video=_object(manifest, main_key(cid, plan.kind)),
        poster=_object(manifest, ObjectKey.poster(cid)),
        contact=_object(manifest, ObjectKey.contact(cid)),
        webp=_object(manifest, ObjectKey.image_webp(cid)) if plan.kind == "image" else None,
        estimate=manifest.estimate,
        chunks=tuple(item.model_copy(update={"made": False}) for item in manifest.chunks),
        transitions=manifest.transitions,
        segments=tuple(item.model_copy(update={"made": False}) for item in manifest.segments),
        models=manifest.models,
        stages=context.costs.costs,
        device=manifest.device,
    )
    for item in film.published:
        if fault := _fault_of(context.store, item):
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
    transitions: tuple[TransitionRecord, ...],
    segments: Sequence[LocalClip],
    context: RunContext,
) -> Film:
    """Upload video, poster and contact sheet. The store confirms each by its SHA-256.

    Raises MediaError if the film is not as planned or ffmpeg fails, and StoreError if the store
    fails.
    """
    has_sound = context.backend.definition.capabilities.audio
    with context.costs.measure("upload"):
        report(Progress("upload", 0, 3, "uploading the video"))
        clip = clip_of(
            film, frames=plan.frames, size=plan.final_size, fps=plan.fps, sound=has_sound
        )
        video = context.store.put_file(ObjectKey.video(plan.content_id), film, "video/mp4")
        report(Progress("upload", 1, 3, "uploading the poster"))
        still = context.folder / "poster.jpg"
        write_still(context.tool, film, plan.chunks[0].frame_count // 2, still)
        poster = context.store.put_file(ObjectKey.poster(plan.content_id), still, "image/jpeg")
        report(Progress("upload", 2, 3, "uploading the contact sheet"))
        write_contact_sheet(context.tool, film, _middles(plan), still)
        contact = context.store.put_file(ObjectKey.contact(plan.content_id), still, "image/jpeg")
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
        transitions=transitions,
        segments=tuple(s.record for s in segments if isinstance(s.record, SegmentRecord)),
        models=context.model_records(enhanced=storyboard.enhancer != "none"),
        stages=context.costs.costs,
        device=context.device_record,
    )


class Published(BaseModel):
    """The video or picture that a run published."""

    content_id: Digest
    kind: Kind = "video"


@task(name="publish", **STAGE)
def publish(brief: Brief, film: Film, route: Route | None = None) -> Manifest:
    """Write the manifest, after checking that the objects which it names are in the bucket.

    Raises SettingsError if a setting is invalid, and StoreError if video, poster or contact sheet
    are not as they were uploaded, or were deleted while the manifest was written. Then there is no
    manifest.
    """
    return publish_film(ObjectStore(Settings.load().store), brief, film, route, people_of_run())


def publish_film(
    store: ObjectStore,
    brief: Brief,
    film: Film,
    route: Route | None = None,
    people: tuple[Act, ...] = (),
) -> Manifest:
    """Publish `film` in `store`, as `publish` does. Raises StoreError as `publish`."""
    _check_uploaded(store, film)
    before = _read_manifest(store, film.plan.content_id)
    run = summary_of(film)
    campaigns = _campaigns(before, brief)
    people = merged(before.people if before else (), people)
    # The poster may have been encoded again, to other bytes than the earlier manifest names.
    same = before is not None and set(film.published) <= set(before.objects)
    if before and same and not (run.chunks_made or run.segments_made):
        is_there = store.head(ObjectKey.manifest(film.plan.content_id)) is not None
        if not is_there or (campaigns, people) != (before.campaigns, before.people):
            # It may have been deleted since we read it: then it is published again, or not at all.
            before = before.model_copy(update={"campaigns": campaigns, "people": people})
            _write(store, before, film)
        _note(store, film)
        return before.model_copy(update={"run": run.model_copy(update={"already_published": True})})
    costs = costs_of_video(store, film.plan.content_id)
    added = {"campaigns": campaigns, "costs": costs, "route": route, "people": people}
    manifest = make_manifest(brief, film, store.bucket).model_copy(update=added)
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
    return next((item.key for item in film.published if store.head(item.key) != item), None)


def _write(store: ObjectStore, manifest: Manifest, film: Film) -> None:
    """Write the manifest. If somebody deleted the video meanwhile, remove it again and raise
    StoreError."""
    write_manifest(store, manifest)
    if missing := _not_uploaded(store, film):
        delete_manifest(store, manifest.content_id)
        raise StoreError(f"{missing} was deleted while it was published; run again")


def _note(store: ObjectStore, film: Film) -> None:
    """Store the content id under the id of this run, for clients that know only the run."""
    if is_deployed():
        note = Published(content_id=film.plan.content_id, kind=film.plan.kind)
        data = note.model_dump_json().encode()
        store.put_bytes(ObjectKey.published(flow_run.id), data, "application/json")


def _middles(plan: Plan) -> list[int]:
    """The middle frame of each chunk's part of the film."""
    spans = [plan.span_of(chunk) for chunk in plan.chunks]
    return [span.start + span.frames // 2 for span in spans]


def _read_manifest(store: ObjectStore, cid: Digest) -> Manifest | None:
    """The manifest of that video, restored from its copy if it is damaged. None if it is absent,
    lost or of another version."""
    read = read_manifest(store, cid)
    if read.detail:
        end = "restored from its copy" if read.manifest else "not used"
        _log.warning("the manifest of video %s is %s: %s", cid, end, read.detail)
    return read.manifest


def _object(manifest: Manifest, key: ObjectKey) -> StoredObject:
    return next(item for item in manifest.objects if item.key == key)
