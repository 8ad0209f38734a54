"""What is in use is never swept; a plan says what a sweep does; a second one finds nothing."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.adapters.manifests import read_manifest, write_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.costs.stale import ABANDONED
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft, DraftShot
from pipelines.documents.manifest import Manifest
from pipelines.errors import BriefError
from pipelines.retention import KINDS, Ages, Item, Marks, after_delete, decide, is_expired
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.plan import digest_of
from tasks.sweeping import (
    Sweeper,
    SweepReport,
    keep_campaign,
    kept_after_delete,
    read_keep_list,
    rows_of,
)
from tests.support.damage import replace
from tests.support.published import OLD, film_of, manifest_of, publish, publish_old, shots_of

NOW = datetime(2026, 11, 27, tzinfo=UTC)
RUN = UUID("0abed842-3f39-4a19-a37f-e554015531b3")
CHILD = UUID("0abed842-3f39-4a19-a37f-e554015531b4")
SOON = Ages(**dict.fromkeys(KINDS, 1))
LATER = datetime.now(UTC) + timedelta(days=400)
BRIEFS = [
    Brief(prompt=f"a fox {n}", seconds=seconds, upscale=upscale, joins=joins, campaign=campaign)
    for n, (seconds, upscale, joins, campaign) in enumerate(
        [(1, 1, "cut", ""), (4, 2, "cut", "spring"), (4, 1, "continue", "sale"), (2, 2, "cut", "")]
    )
]
FILMS = [film_of(brief) for brief in BRIEFS]


def keys_of(manifest: Manifest) -> set[str]:
    """Everything that a published video needs, found without the code under test."""
    cid = manifest.content_id
    keys = {str(item.key) for item in manifest.objects}
    keys |= {ObjectKey.shot(digest) for digest in shots_of(manifest)}
    return keys | {ObjectKey.manifest(cid), ObjectKey.manifest_copy(cid)}


@st.composite
def buckets(draw: st.DrawFn) -> tuple[list[Item], list[Manifest], Ages]:
    """Objects of any age, of which some videos are published and some are not."""
    manifests = []
    keys: set[str] = {ObjectKey.calendar(), ObjectKey.film(RUN), ObjectKey.draft(CHILD)}
    for brief, film in zip(BRIEFS, FILMS, strict=True):
        created = NOW - timedelta(days=draw(st.integers(0, 400)))
        manifest = manifest_of(brief, film, created)
        keys |= keys_of(manifest)
        if draw(st.booleans()):
            manifests.append(manifest)
    for number in range(draw(st.integers(0, 5))):
        digest = digest_of(["nobody's", number])
        keys |= {ObjectKey.chunk(digest), ObjectKey.upload(digest), ObjectKey.still(digest)}
    days = st.integers(0, 400)
    items = [Item(key, 10, NOW - timedelta(days=draw(days))) for key in sorted(keys)]
    ages = Ages(**{kind: draw(st.integers(0, 200)) for kind in KINDS})
    return items, manifests, ages


def marks_for(manifests: list[Manifest], ages: Ages, kept: tuple[str, ...]) -> Marks:
    marks = Marks(living=frozenset({str(RUN)}))
    for manifest in manifests:
        marks.published.add(bytes.fromhex(manifest.content_id))
        if is_expired(manifest, ages, kept, NOW):
            marks.expired.add(bytes.fromhex(manifest.content_id))
        else:
            marks.add_manifest(manifest)
    return marks


def goes(item: Item, marks: Marks, ages: Ages) -> bool:
    verdict = decide(item, marks, ages, NOW)
    return verdict is not None and verdict.goes


@settings(max_examples=30)
@given(buckets())
def test_nothing_in_use_goes_and_a_second_sweep_does_nothing(
    bucket: tuple[list[Item], list[Manifest], Ages],
) -> None:
    items, manifests, ages = bucket
    kept = ("spring",)
    marks = marks_for(manifests, ages, kept)
    left = [item for item in items if not goes(item, marks, ages)]
    gone = {item.key for item in items} - {item.key for item in left}

    living = [item for item in manifests if not is_expired(item, ages, kept, NOW)]
    assert [item for item in manifests if "spring" in item.campaigns and item not in living] == []
    needed = {ObjectKey.film(RUN), ObjectKey.calendar()}
    assert not gone & needed.union(*map(keys_of, living))
    for item in items:
        verdict = decide(item, marks, ages, NOW)
        if verdict and verdict.kind != "videos" and verdict.goes:
            age = ages.of(verdict.kind)
            assert age is not None
            assert NOW - item.modified >= age

    again = marks_for(living, ages, kept)
    assert [item for item in left if goes(item, again, ages)] == []


def test_what_videos_of_version_0_2_were_made_of_is_in_use(store: ObjectStore) -> None:
    manifests = [publish_old(store, old) for old in OLD]
    named = {item["key"] for old in OLD for item in old["objects"]}
    named |= {old["brief"]["image"] for old in OLD if old["brief"]["image"]}
    orphan = ObjectKey.chunk(digest_of("nobody's"))
    store.put_bytes(orphan, b"1234", "video/mp4")
    before = set(store.list_keys())
    assert named < before
    assert any(key.startswith("shots/") for key in before)
    report = sweeper(store, SOON.model_copy(update={"videos": 0})).sweep(dry_run=False)
    assert before - set(store.list_keys()) == {orphan}
    assert report.notes == []
    for manifest, old in zip(manifests, OLD, strict=True):
        kept = {
            item.kind: item.objects for item in kept_after_delete(store, manifest, SOON, Marks())
        }
        parts = [item["key"].partition("/")[0] for item in old["objects"]]
        for kind in ("chunks", "segments"):
            assert kept.get(kind, 0) == parts.count(kind)
    sweeper(store).sweep(dry_run=False)
    assert store.list_keys() == []


def test_a_manifest_that_cannot_be_read_puts_off_what_it_may_name() -> None:
    marks = Marks(living=frozenset(), unreadable=["a" * 64])
    digest = digest_of("anything")
    old = NOW - timedelta(days=400)
    for key in (ObjectKey.chunk(digest), ObjectKey.segment(digest), ObjectKey.upload(digest)):
        verdict = decide(Item(key, 1, old), marks, SOON, NOW)
        assert verdict is not None
        assert verdict.reason == "put off"
    still = decide(Item(ObjectKey.still(digest), 1, old), marks, SOON, NOW)
    assert still is not None
    assert still.goes


def sweeper(store: ObjectStore, ages: Ages = SOON, living: frozenset[str] = frozenset()) -> Sweeper:
    return Sweeper(store, ages, ("kept",), living, now=LATER)


def gone_in(report: SweepReport) -> dict[str, tuple[int, int]]:
    tallies = report.kinds.items()
    return {kind: (t.swept_objects, t.swept_size) for kind, t in tallies if t.swept_objects}


def test_a_sweep_does_what_its_plan_says(store: ObjectStore) -> None:
    film = film_of(Brief(prompt="rejected", seconds=1))
    store.put_bytes(film.video.key, b"film", "video/mp4")
    chunk = ObjectKey.chunk(digest_of("nobody's"))
    waiting = film_of(Brief(prompt="waits for approval", seconds=1))
    uploads = [ObjectKey.upload(digest_of(name)) for name in ("calendar", "run", "nobody")]
    for key in (chunk, waiting.chunks[0].object.key, waiting.video.key, *uploads):
        store.put_bytes(key, b"1234", "image/png")
    for run in (RUN, CHILD):
        data = waiting.model_dump_json().encode()
        store.put_bytes(ObjectKey.film(run), data, "application/json")
    entry = f"entries: [{{name: x, brief: {{image: {uploads[0]}}}}}]"
    store.put_bytes(ObjectKey.calendar(), entry.encode(), "text/yaml")
    old = publish(store, prompt="old")
    kept = publish(store, prompt="kept", campaign="kept")
    marked = publish(store, prompt="marked", campaign="in the list")
    keep_campaign(store, "in the list")
    before = set(store.list_keys())

    def look(*, dry_run: bool) -> SweepReport:
        texts = [f'{{"image": "{uploads[1]}"}}']
        living = frozenset({str(CHILD)})
        return Sweeper(store, SOON, ("kept",), living, texts, LATER).sweep(dry_run=dry_run)

    plan = look(dry_run=True)
    assert set(store.list_keys()) == before
    done = look(dry_run=False)
    assert gone_in(done) == gone_in(plan)
    gone = before - set(store.list_keys())
    shared = keys_of(kept) | keys_of(marked)
    assert gone == (
        keys_of(old) - shared | {film.video.key, chunk, uploads[2], ObjectKey.film(RUN)}
    )
    assert sum(count for count, _ in gone_in(done).values()) == len(gone)
    assert gone_in(look(dry_run=False)) == {}
    assert {row["kind"] for row in rows_of(done)} == set(KINDS)


def test_an_unreadable_manifest_keeps_its_video_and_every_chunk(store: ObjectStore) -> None:
    broken = publish(store, prompt="broken")
    copied = publish(store, prompt="copied")
    for key in (ObjectKey.manifest, ObjectKey.manifest_copy):
        replace(store, key(broken.content_id))
    replace(store, ObjectKey.manifest(copied.content_id))
    orphan = ObjectKey.chunk(digest_of("nobody's"))
    store.put_bytes(orphan, b"1234", "video/mp4")
    ages = SOON.model_copy(update={"videos": 0})
    report = sweeper(store, ages).sweep(dry_run=False)
    assert gone_in(report) == {}
    assert store.head(orphan) is not None
    assert all(store.head(item.key) for item in (*broken.objects, *copied.objects))
    assert f"that of video {broken.content_id}" in report.notes[0]


def test_a_video_published_while_a_sweep_runs_keeps_its_old_chunks(store: ObjectStore) -> None:
    film = film_of(Brief(prompt="a rerun", seconds=1, upscale=2))
    manifest = manifest_of(Brief(prompt="a rerun", seconds=1, upscale=2), film)
    for item in manifest.objects:
        store.put_bytes(item.key, item.key.encode(), item.content_type)
    ages = SOON.model_copy(update={"videos": 0})
    sweep = sweeper(store, ages)
    report = SweepReport(dry_run=False)
    sweep.mark()
    batch = list(sweep._going(report))
    assert batch
    publish(store, prompt="a rerun", seconds=1)
    sweep._delete(batch, report)
    assert gone_in(report) == {}
    for item in manifest.objects:
        store.verify(item)


class Interrupted(ObjectStore):
    """Something happens right before, or right after, the manifest of a video is removed."""

    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def delete(self, key: ObjectKey) -> None:
        is_manifest = key.startswith("videos/") and key.endswith("manifest.json")
        before, after = (self.before, self.after) if is_manifest else (None, None)
        if before:
            self.before = None
            before()
        super().delete(key)
        if after:
            self.after = None
            after()


def test_an_expired_video_that_is_asked_for_in_the_gap_stays(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    old = publish(store, prompt="old")
    again = old.model_copy(update={"campaigns": ("kept",)})
    slow, asked = Interrupted(store_settings), []

    def ask() -> None:
        write_manifest(store, again)
        asked.append(again)

    slow.before = ask
    sweeper(slow).sweep(dry_run=False)
    assert asked == [again]
    assert read_manifest(store, old.content_id).manifest == again
    for item in old.objects:
        if item.key.startswith("videos/"):
            store.verify(item)


def test_what_a_run_uploads_anew_while_its_old_video_goes_stays(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    old = publish(store, prompt="old")
    (film,) = (item for item in old.objects if item.key == ObjectKey.video(old.content_id))
    slow, uploaded = Interrupted(store_settings), []
    sweep = sweeper(slow)
    report = SweepReport(dry_run=False)
    sweep.mark()
    batch = list(sweep._going(report))

    def upload() -> None:
        time.sleep(1.1)  # the store tells times in seconds
        uploaded.append(store.put_bytes(film.key, film.key.encode(), film.content_type))

    slow.after = upload
    sweep._delete(batch, report)
    assert uploaded == [film]
    assert store.list_keys("videos/") == [film.key]
    later = [item for item in sweep._going(report) if item[0].key == film.key]
    sweep._delete(later, report)  # a listing that came to it only now
    assert store.list_keys("videos/") == [film.key]


def test_a_remote_job_goes_with_its_chunk_and_what_was_spent_stays() -> None:
    old = NOW - timedelta(days=400)
    used, unused = digest_of("used"), digest_of("unused")
    marks = Marks(living=frozenset())
    marks.add_key(ObjectKey.chunk(used))
    ledger = [ObjectKey.ledger_entry("2026-11", 1), ObjectKey.ledger_totals("2026-11", 1)]
    kept = [*ledger, ObjectKey.benchmark("first", "report.json")]
    assert [decide(Item(key, 1, old), marks, SOON, NOW) for key in kept] == [None] * 3
    verdicts = [decide(Item(ObjectKey.job(d), 1, old), marks, SOON, NOW) for d in (used, unused)]
    assert [verdict and verdict.goes for verdict in verdicts] == [False, True]


def test_a_remote_job_stays_until_its_reservation_has_surely_ended() -> None:
    """However soon chunks go: without the record its job would be paid for again."""

    def goes(key: ObjectKey, days: int) -> bool:
        item = Item(key, 1, NOW - timedelta(days=days))
        verdict = decide(item, Marks(living=frozenset()), SOON, NOW)
        return verdict is not None and verdict.goes

    digest = digest_of("anything")
    assert goes(ObjectKey.chunk(digest), 2)
    assert not goes(ObjectKey.job(digest), ABANDONED.days + 1)
    assert goes(ObjectKey.job(digest), 2 * ABANDONED.days + 1)


def test_a_still_that_somebody_is_asked_about_stays(store: ObjectStore) -> None:
    key = ObjectKey.still(digest_of("still"))
    still = store.put_bytes(key, b"png", "image/png")
    film = film_of(Brief(prompt="x", seconds=1))
    shots = (DraftShot(number=1, prompt="x", seconds=1.0, still=still),)
    draft = Draft(shots=shots, estimate=film.estimate)
    store.put_bytes(ObjectKey.draft(RUN), draft.model_dump_json().encode(), "application/json")
    sweeper(store, living=frozenset({str(RUN)})).sweep(dry_run=False)
    assert store.head(key) is not None
    sweeper(store).sweep(dry_run=False)
    assert store.list_keys() == []


def test_a_damaged_list_of_campaigns_keeps_every_video(store: ObjectStore) -> None:
    publish(store)
    keep_campaign(store, "spring")
    replace(store, ObjectKey.keep_list())
    report = sweeper(store).sweep(dry_run=False)
    assert gone_in(report) == {}
    assert "no video goes by its age" in report.notes[0]


def test_a_damaged_calendar_keeps_every_picture(store: ObjectStore) -> None:
    upload, chunk = ObjectKey.upload(digest_of("x")), ObjectKey.chunk(digest_of("nobody's"))
    store.put_bytes(ObjectKey.calendar(), f"image: {upload}".encode(), "text/yaml")
    for key in (upload, chunk):
        store.put_bytes(key, b"1234", "image/png")
    replace(store, ObjectKey.calendar())
    report = sweeper(store).sweep(dry_run=False)
    assert gone_in(report) == {"chunks": (1, 4)}
    assert "no picture goes" in report.notes[0]
    assert "calendar put" in report.notes[0]


def test_campaigns_are_kept_and_released(store: ObjectStore) -> None:
    keep_campaign(store, "spring")
    assert keep_campaign(store, " autumn ").campaigns == ("autumn", "spring")
    keep_campaign(store, "spring", keep=False)
    assert read_keep_list(store).campaigns == ("autumn",)
    with pytest.raises(BriefError, match="no name"):
        keep_campaign(store, "  ")


def test_deleting_a_video_says_what_stays_and_until_when(store: ObjectStore) -> None:
    short = publish(store, prompt="a fox", seconds=2)
    long = publish(store, prompt="a fox", seconds=4)
    ages = Ages(chunks=90, segments=0, shots=365)
    others = Marks(living=frozenset())
    others.add_manifest(short)
    kept = {item.kind: item for item in kept_after_delete(store, long, ages, others)}
    today = datetime.now(UTC)
    chunks = len(long.chunks)
    assert kept["chunks"].objects == 3 * chunks
    assert kept["chunks"].shared == 3 * len(short.chunks)
    assert kept["chunks"].until in {
        (today + timedelta(days=91 + slack)).date() for slack in (-1, 0)
    }
    assert kept["segments"].until is None
    assert kept["chunks"].size == sum(
        item.size for record in long.chunks for item in (record.object, *record.beside)
    )
    alone = {item.kind: item for item in kept_after_delete(store, long, ages, Marks())}
    assert alone["chunks"].shared == 0


def test_what_is_older_than_its_age_may_go_at_the_next_sweep() -> None:
    item = Item(ObjectKey.chunk(Digest("a" * 64)), 7, NOW - timedelta(days=400))
    (kept,) = after_delete([item], Marks(), Ages(), NOW)
    assert (kept.objects, kept.size, kept.until) == (1, 7, (NOW + timedelta(days=1)).date())
