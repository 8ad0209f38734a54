"""`reelwright verify` reads every byte, names what is damaged, and mends it."""

import io
import json
from collections.abc import Callable
from uuid import UUID

import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.errors import WeightsError
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.verification import VerifyReport
from tasks.verify import audit, mend, table_of
from tests.conftest import Cli
from tests.support.damage import replace
from tests.support.published import OLD, film_of, publish, publish_old

BRIEF = {
    "prompt": "a red ball moves",
    "seconds": 1,
    "frames": 17,
    "steps": 1,
    "enhance": False,
}
ORPHAN = ObjectKey.chunk(Digest("a" * 64))


def look(store: ObjectStore) -> VerifyReport:
    return audit(store, lambda _: None)


def named(report: VerifyReport) -> dict[str, str]:
    return {fault.key: fault.what for fault in report.faults}


def test_a_whole_bucket_is_clean(store: ObjectStore) -> None:
    manifest = publish(store)
    store.put_bytes(ORPHAN, b"an orphan", "video/mp4")
    store._client.put_object(store.bucket, "notes/x.txt", io.BytesIO(b"x"), 1)
    try:
        report = look(store)
    finally:
        store._client.remove_object(store.bucket, "notes/x.txt")
    shots = len(manifest.chunks)
    assert report.clean
    assert {seen: count for seen, count in report.counts.items() if count} == {
        "manifest": 1,
        "whole": len(manifest.objects) + 1,  # and the copy of the manifest
        "orphan": 1 + shots,
        "foreign": 1,
    }
    assert report.read_bytes > sum(item.size for item in manifest.objects)


def test_what_is_missing_of_the_cache_is_no_fault(store: ObjectStore) -> None:
    manifest = publish(store)
    store.delete(manifest.chunks[0].object.key)
    store.delete(manifest.segments[0].object.key)
    again = manifest.chunks[1].object.key
    store.put_bytes(again, b"made again, with other bytes", "video/mp4")
    report = look(store)
    assert report.clean
    assert report.counts["missing intermediate"] == 2
    assert report.counts["made again since"] == 1


def test_every_damaged_object_is_named_and_what_needs_no_run_is_mended(store: ObjectStore) -> None:
    manifest, other = publish(store, prompt="a red fox"), publish(store, prompt="an owl")
    cid, chunk = manifest.content_id, manifest.chunks[0].digest
    upload = ObjectKey.upload(Digest("b" * 64))
    store.put_bytes(upload, b"a picture", "image/png")
    store.put_bytes(ORPHAN, b"an orphan", "video/mp4")
    shot = store.list_keys("shots/")[0]
    damaged = {
        ObjectKey.video(cid): "part",
        ObjectKey.poster(cid): "part",
        ObjectKey.chunk(chunk): "intermediate",
        ObjectKey.overlap(chunk): "intermediate",
        ObjectKey.segment(manifest.segments[0].digest): "intermediate",
        ObjectKey.manifest_copy(cid): "copy",
        ObjectKey.manifest(other.content_id): "manifest",
        shot: "intermediate",
        upload: "picture",
        ORPHAN: "intermediate",
    }
    for key in damaged:
        replace(store, key)
    store.delete(ObjectKey.contact(cid))

    report = look(store)
    assert named(report) == {**damaged, ObjectKey.contact(cid): "part"}
    assert report.counts["missing part"] == 1
    texts = {fault.key: str(fault) for fault in report.faults}
    assert "'a red fox'" in texts[ObjectKey.overlap(chunk)]
    assert "'an owl'" in texts[ObjectKey.manifest(other.content_id)]
    assert "send the same picture to /uploads again" in texts[upload]
    assert "run: reelwright verify --repair" in texts[ObjectKey.video(cid)]

    mend(store, report)
    left = {ObjectKey.video(cid), ObjectKey.poster(cid), ObjectKey.contact(cid), upload}
    assert set(named(report)) == left == set(named(look(store)))
    assert store.head(ORPHAN) is None
    assert len(report.repaired) == 7
    assert {row["object"] for row in table_of(report)} > left


def test_what_was_stored_anew_or_published_since_the_audit_stays(store: ObjectStore) -> None:
    films = [film_of(Brief(prompt=words, seconds=1)) for words in ("anew", "published", "nobody's")]
    note = ObjectKey.published(UUID(int=7))
    gone = ObjectKey.still(Digest("c" * 64))
    damaged = [ORPHAN, gone, note, *(film.video.key for film in films)]
    for key in damaged:
        store.put_bytes(key, key.encode(), "application/x-test")
        replace(store, key)
    report = look(store)
    assert set(named(report)) == set(damaged)

    anew, published, _ = films
    for key in (ORPHAN, anew.video.key):
        store.put_bytes(key, key.encode(), "application/x-test")
    publish(store, prompt="published", seconds=1, upscale=1)
    replace(store, published.video.key)
    store.delete(gone)
    mend(store, report)
    assert set(named(report)) == {published.video.key}
    for key in (ORPHAN, anew.video.key):
        assert store.get_bytes(key) == key.encode()
    assert store.head(published.video.key) is not None
    assert {words.partition(": ")[2] for words in report.repaired if "was deleted" in words} == {
        "its run no longer says where its video is",
        "a run that needs it makes it again",
    }
    assert named(look(store)) == {published.video.key: "part"}


def test_two_damaged_manifests_are_named_and_left(store: ObjectStore) -> None:
    manifest = publish(store)
    for key in (ObjectKey.manifest, ObjectKey.manifest_copy):
        replace(store, key(manifest.content_id))
    report = look(store)
    mend(store, report)
    assert named(report) == {
        ObjectKey.manifest(manifest.content_id): "manifest",
        ObjectKey.manifest_copy(manifest.content_id): "copy",
    }
    assert "give the brief of that video again" in str(report.faults[0])


def test_a_bucket_of_before_gets_copies_and_another_version_is_counted(store: ObjectStore) -> None:
    old, later = publish(store, prompt="old"), publish(store, prompt="later")
    for manifest in (old, later):
        store.delete(ObjectKey.manifest_copy(manifest.content_id))
    key = ObjectKey.manifest(later.content_id)
    data = store.get_bytes(key)
    assert data is not None
    data = data.replace(b'"manifest_version": 4', b'"manifest_version": 99')
    store.put_bytes(key, data, "application/json")

    report = look(store)
    assert report.clean
    assert report.counts["manifest of another version"] == 1
    assert report.counts["manifest without a copy"] == 1
    mend(store, report)
    assert store.get_bytes(ObjectKey.manifest_copy(old.content_id)) == store.get_bytes(
        ObjectKey.manifest(old.content_id)
    )
    assert report.repaired == ["1 manifests have a copy now"]


def test_a_bucket_of_version_0_2_is_clean_and_mended(store: ObjectStore) -> None:
    first, *others = [publish_old(store, old) for old in OLD]
    report = look(store)
    assert report.clean
    assert report.counts["manifest"] == len(OLD)
    assert report.counts["manifest of another version"] == 0
    data = store.get_bytes(ObjectKey.manifest(first.content_id))
    damaged = {
        ObjectKey.manifest(first.content_id): "manifest",
        ObjectKey.chunk(others[0].chunks[0].digest): "intermediate",
    }
    for key in damaged:
        replace(store, key)
    report = look(store)
    assert named(report) == damaged
    mend(store, report)
    assert look(store).clean
    again = store.get_bytes(ObjectKey.manifest(first.content_id))
    assert again is not None
    assert again != data  # as this version writes it
    assert Manifest.model_validate_json(again) == first


def test_a_manifest_of_version_3_that_lacks_a_part_is_damaged(store: ObjectStore) -> None:
    manifest = publish_old(store, OLD[0])
    key = ObjectKey.manifest(manifest.content_id)
    broken = {name: value for name, value in OLD[0].items() if name != "plan"}
    store.put_bytes(key, json.dumps(broken).encode(), "application/json")
    report = look(store)
    assert named(report) == {key: "manifest"}
    assert report.counts["manifest of another version"] == 0


def test_a_video_that_is_published_anew_meanwhile_is_no_fault(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = publish(store)
    verify = store.verify

    def verify_late(found: object) -> None:
        monkeypatch.setattr(store, "verify", verify)
        replace(store, ObjectKey.poster(manifest.content_id))
        publish(store, campaign="spring")
        store.delete(ObjectKey.contact(manifest.content_id))
        publish(store, campaign="spring")
        verify(found)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "verify", verify_late)
    assert look(store).clean


def test_a_damaged_video_is_made_again(
    in_process: Callable[..., Manifest], cli: Cli, store: ObjectStore
) -> None:
    from infra.adapters.device.cache import release_all
    from infra.apps.verify import _make_again

    manifest = in_process(**BRIEF, approval="both")
    lost = publish(store, prompt="its models are gone", campaign="spring")
    damaged = (ObjectKey.video(manifest.content_id), ObjectKey.poster(lost.content_id))
    for key in damaged:
        replace(store, key)
    found = cli("verify")
    assert found.code == 1, found.err
    assert f"FAULT   {damaged[0]} of 'a red ball moves': " in found.out
    assert "2 faults are left" in found.out

    report = look(store)

    def make(brief: Brief) -> str:
        assert brief.approval == "none"
        if brief.campaign == "spring":
            raise WeightsError("the models are not installed")
        in_process(**brief.model_dump(mode="json"))
        return "0abed842-3f39-4a19-a37f-e554015531b3"

    _make_again(store, report, make, lambda _: None)
    release_all()
    assert set(named(report)) == {damaged[1]} == set(named(look(store)))
    assert f"video {manifest.content_id} was made again" in report.repaired
    assert any("the models are not installed" in words for words in report.repaired)
    assert report.runs == ["0abed842-3f39-4a19-a37f-e554015531b3"]


@pytest.mark.slow
def test_the_command_mends_a_damaged_video(cli: Cli, store: ObjectStore) -> None:
    made = cli("make", "a red ball moves", "--seconds", "1", "--frames", "17", "--steps", "1")
    assert made.code == 0, made.err
    (video,) = (key for key in store.list_keys("videos/") if key.endswith("video.mp4"))
    replace(store, video)
    mended = cli("verify", "--repair", "--json")
    assert mended.code == 0, mended.err + mended.out
    values = json.loads(mended.out)
    assert values["clean"]
    assert values["repaired"] == [f"video {video.split('/')[1]} was made again"]
    assert cli("verify").code == 0


def test_the_command_starts_a_store_of_its_own(bare_cli: Cli) -> None:
    assert "the bucket is empty" in bare_cli("verify").out
    kept = bare_cli("retention", "keep", "spring")
    assert kept.out == "kept for ever: spring\n", kept.err
    plan = bare_cli("retention", "plan")
    assert plan.code == 0, plan.err
    assert plan.out.split()[0] == "kind"
    assert "every run counts as unfinished" in plan.out
    released = bare_cli("retention", "release", "spring")
    assert released.out == "kept for ever: no campaign\n"
    assert not (bare_cli.data / "prefect").exists()
