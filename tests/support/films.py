"""Films and manifests under test: whole in every field, but of a few bytes."""

import io
from datetime import UTC, datetime, timedelta

from PIL import Image

from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Clip, Film, Manifest, ModelRecord
from pipelines.publishing import make_manifest
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import Estimate, digest_of
from tests.support.planned import plan_brief, storyboard_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def brief_of(prompt: str, campaign: str = "", **values: object) -> Brief:
    """A brief of one shot."""
    return Brief.model_validate({"prompt": prompt, "campaign": campaign, "seconds": 1} | values)


def film_of(store: ObjectStore, brief: Brief) -> Film:
    """The film of `brief` as it lies in the bucket after the upload, without a manifest."""
    storyboard = storyboard_of(brief)
    plan = plan_brief(brief, storyboard)
    cid = plan.content_id
    model = ModelRecord(role="video", name="Tiny Wan", revision="1", licence="Apache-2.0")
    return Film(
        plan=plan,
        storyboard=storyboard,
        clip=Clip(frames=16, fps=16, width=64, height=64, duration=1.0),
        video=store.put_bytes(ObjectKey.video(cid), brief.prompt.encode() * 50, "video/mp4"),
        poster=store.put_bytes(ObjectKey.poster(cid), b"a poster", "image/jpeg"),
        contact=store.put_bytes(ObjectKey.contact(cid), b"a contact sheet", "image/jpeg"),
        estimate=Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="a test"),
        chunks=(),
        transitions=(),
        segments=(),
        models=(model,),
        stages=(),
    )


def picture_of(store: ObjectStore, brief: Brief) -> Film:
    """The picture of `brief` as it lies in the bucket after the upload: 64 x 48 grey pixels."""
    film, files = film_of(store, brief), {}
    cid = film.plan.content_id
    for kind in ("png", "webp"):
        data = io.BytesIO()
        Image.new("RGB", (64, 48), "grey").save(data, format=kind)
        files[kind] = data.getvalue()
    store.delete(ObjectKey.video(cid))
    return film.model_copy(
        update={
            "clip": Clip(frames=1, fps=16, width=64, height=48, duration=0),
            "video": store.put_bytes(ObjectKey.image(cid), files["png"], "image/png"),
            "webp": store.put_bytes(ObjectKey.image_webp(cid), files["webp"], "image/webp"),
        }
    )


def published(store: ObjectStore, prompt: str, campaign: str = "") -> Manifest:
    """A video of one film with its manifest."""
    brief = brief_of(prompt, campaign)
    manifest = make_manifest(brief, film_of(store, brief), store.bucket)
    manifest = manifest.model_copy(update={"campaigns": (campaign,) if campaign else ()})
    write(store, manifest)
    return manifest


def numbered(manifest: Manifest, number: int, campaigns: tuple[str, ...] = ()) -> Manifest:
    """Another video like it: video 7 is three seconds older than video 10."""
    when = (START + timedelta(seconds=number)).isoformat(timespec="seconds")
    update = {"created": when, "campaigns": campaigns}
    return called(manifest, id_of(number)).model_copy(update=update)


def called(manifest: Manifest, cid: Digest) -> Manifest:
    """The same video under another content id, with files of its own."""
    objects = tuple(
        item.model_copy(update={"key": item.key.replace(manifest.content_id, cid)})
        for item in manifest.objects
    )
    return manifest.model_copy(update={"content_id": cid, "objects": objects})


def id_of(number: int) -> Digest:
    """Content id of the video of that number."""
    return digest_of(["a video of the tests", number])


def write(store: ObjectStore, manifest: Manifest) -> None:
    """Its manifest into the bucket."""
    data = manifest.model_dump_json(indent=1).encode()
    store.put_bytes(ObjectKey.manifest(manifest.content_id), data, "application/json")


def replace_behind_its_back(store: ObjectStore, key: ObjectKey, data: bytes) -> None:
    """Other bytes under `key`, with the metadata of the old ones."""
    found = store.head(key)
    assert found is not None
    store._client.put_object(
        store.bucket, key, io.BytesIO(data), len(data), metadata={"sha256": found.sha256}
    )
