"""Published videos without a model: real plans and manifests over a few bytes each."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from infra.adapters.manifests import write_manifest
from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import (
    ChunkRecord,
    Clip,
    Film,
    Manifest,
    ModelRecord,
    SegmentRecord,
    StoredObject,
    Take,
)
from pipelines.planning.plan import seed_of, timeline
from pipelines.prompting.stored import shot_digests
from pipelines.publishing import make_manifest
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, Plan, PlannedChunk
from pipelines.schema.storyboard import Shot, Storyboard
from tests.conftest import REPOSITORY
from tests.support.planned import plan_brief

OLD: list[dict[str, Any]] = json.loads(
    (REPOSITORY / "tests" / "fixtures" / "manifests-v3.json").read_text()
)[:5]
"""Manifests of version 3 as `publish` of version 0.2.0 wrote them; the bytes of every object are
its own key."""
_TAKE = Take(seed=1, faults=(), black=0.0, frozen=0.0, flicker=0.0)


def film_of(brief: Brief) -> Film:
    """The film of a brief; every object of it holds its own key."""
    count = len(timeline(brief))
    shots = tuple(
        Shot(number=n, camera="Wide shot", prompt=f"shot {n} {brief.prompt}", source="llm")
        for n in range(1, count + 1)
    )
    storyboard = Storyboard(shots=shots, enhancer="w", written=0)
    plan = plan_brief(brief, storyboard)
    cid, size = plan.content_id, plan.final_size
    segments = [_segment(plan, chunk) for chunk in plan.chunks] if plan.upscale else []
    return Film(
        plan=plan,
        storyboard=storyboard,
        clip=Clip(frames=plan.frames, fps=16, width=size.width, height=size.height, duration=1.0),
        video=_object(ObjectKey.video(cid)),
        poster=_object(ObjectKey.poster(cid)),
        contact=_object(ObjectKey.contact(cid)),
        estimate=Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="nothing"),
        chunks=tuple(_chunk(chunk) for chunk in plan.chunks),
        transitions=(),
        segments=tuple(segments),
        models=(ModelRecord(role="video", name="none", revision="0", licence="none"),),
        stages=(),
    )


def publish(store: ObjectStore, *, created: datetime | None = None, **values: object) -> Manifest:
    """Store all objects of a brief's video, its shots and its manifest."""
    brief = Brief.model_validate({"prompt": "a red fox", "seconds": 4, "upscale": 2} | values)
    film = film_of(brief)
    manifest = manifest_of(brief, film, created)
    for item in manifest.objects:
        store.put_bytes(item.key, item.key.encode(), item.content_type)
    for digest in shots_of(manifest):
        key = ObjectKey.shot(digest)
        store.put_bytes(key, key.encode(), "application/json")
    write_manifest(store, manifest)
    return manifest


def publish_old(store: ObjectStore, old: dict[str, Any]) -> Manifest:
    """Store all objects of a video of version 0.2.0, and its manifest as that version wrote it."""
    for item in old["objects"]:
        store.put_bytes(ObjectKey(item["key"]), item["key"].encode(), item["content_type"])
    data = json.dumps(old, indent=1).encode()
    manifest = Manifest.model_validate_json(data)
    for key in (*map(ObjectKey.shot, shots_of(manifest)), *manifest.brief.uploads):
        store.put_bytes(key, key.encode(), "application/x-test")
    for copy in (ObjectKey.manifest_copy, ObjectKey.manifest):
        store.put_bytes(copy(manifest.content_id), data, "application/json")
    return manifest


def manifest_of(brief: Brief, film: Film, created: datetime | None = None) -> Manifest:
    """Its manifest, as if it had been published at `created`."""
    moment = created or datetime.now(UTC)
    return make_manifest(brief, film, "test").model_copy(
        update={
            "created": moment.isoformat(),
            "campaigns": (brief.campaign,) if brief.campaign else (),
        }
    )


def shots_of(manifest: Manifest) -> list[Digest]:
    """Digests of its written shots."""
    board, brief = manifest.storyboard, manifest.brief
    return list(shot_digests(len(board.shots), brief.prompt, seed_of(brief), board.enhancer))


def _object(key: ObjectKey) -> StoredObject:
    digest = Digest(hashlib.sha256(key.encode()).hexdigest())
    return StoredObject(key=key, size=len(key), sha256=digest, content_type="application/x-test")


def _chunk(chunk: PlannedChunk) -> ChunkRecord:
    digest = chunk.digest
    return ChunkRecord(
        object=_object(ObjectKey.chunk(digest)),
        beside=(_object(ObjectKey.overlap(digest)), _object(ObjectKey.takes(digest))),
        digest=digest,
        seed=1,
        frames=chunk.request.new_frames,
        made=True,
        seconds=1.0,
        memory_mode="resident",
        transition=chunk.transition,
        takes=(_TAKE,),
    )


def _segment(plan: Plan, chunk: PlannedChunk) -> SegmentRecord:
    digest = plan.segment_digest(chunk)
    return SegmentRecord(
        object=_object(ObjectKey.segment(digest)),
        digest=digest,
        frames=plan.span_of(chunk).frames,
        made=True,
        seconds=1.0,
        memory_mode="whole",
    )
