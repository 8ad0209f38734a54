"""Films of Google's clips through the one flow, on a machine without models and device.

Google is a fake server (tests/support/fake_google.py); store, Prefect and ledger are the real ones.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from examples.gradient_backend import GRADIENT
from infra.adapters.ledger import LedgerLog
from infra.adapters.object_store import ObjectStore
from infra.adapters.remote.journal import StoredJournal
from pipelines.backends import registry
from pipelines.costs.book import lines_of
from pipelines.costs.summary import Sum, sum_of
from pipelines.documents.manifest import Manifest
from pipelines.errors import BudgetError, RefusedError, SettingsError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe
from pipelines.retention import Ages
from tasks.remote_backends import configure_backends
from tasks.sweeping import Sweeper
from tasks.verify import audit
from tests.e2e.test_example_film import Run, fetch
from tests.e2e.test_example_film import no_device as no_device
from tests.support.fake_google import KEY, FakeGoogle, fake_google
from tests.support.fake_google_clips import clip_of

pytestmark = pytest.mark.usefixtures("no_device")
PRICE = Decimal("0.07")
"""For a second at 360p, in the entry of the backends file and on the fake's bill."""
BRIEF = {"prompt": "a fox runs through snow", "seconds": 6}
Configure = Callable[..., str]
Policy = Callable[[str], None]


@pytest.fixture
def google(ffmpeg: Ffmpeg) -> Iterator[FakeGoogle]:
    """A fake whose account pays for seconds, and whose jobs take two questions."""
    with fake_google() as google:
        google.by_second = PRICE
        google.clip = lambda resolution, aspect, seconds: clip_of(
            ffmpeg.executable, resolution, aspect, seconds
        )
        yield google


@pytest.fixture
def configured(
    in_process: Run, google: FakeGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Configure]:
    """Writes the backends file and reads it. Returns the name of the preset.

    Each test has a backend of its own name: what a process knows of a service, it keeps a while.
    """
    del in_process  # it sets the other variables

    def write(name: str, key: str = f"file:{tmp_path / 'google.key'}") -> str:
        (tmp_path / "google.key").write_text(KEY)
        prices = {"as_of": "2026-11-27", "source": "a contract", "per_second": {"360p": str(PRICE)}}
        entry = {
            "name": name,
            "kind": "google-omni",
            "address": google.url,
            "key": key,
            "resolutions": ["360p"],
            "seconds": 3,
            "prices": prices,
        }
        path = tmp_path / "backends.yaml"
        path.write_text(yaml.safe_dump({"backends": [entry]}))
        monkeypatch.setenv("REELWRIGHT_BACKENDS", str(path))
        configure_backends()
        return f"{name.replace('-', '_')}_360p"

    yield write
    registry.configure(())


@pytest.fixture
def policy(configured: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """Makes a text the policy of the router."""
    del configured  # it sets the other variables

    def write(text: str) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        monkeypatch.setenv("REELWRIGHT_ROUTING_POLICY", str(path))

    return write


def spent(store: ObjectStore) -> Sum:
    """What the ledger says."""
    log = LedgerLog(store, ZoneInfo("UTC"))
    return sum_of(lines_of([log.book(month) for month in log.months()]))


def test_a_brief_for_the_cloud_becomes_a_film_with_sound_and_is_paid_once(
    in_process: Run, configured: Configure, google: FakeGoogle, store: ObjectStore, tmp_path: Path
) -> None:
    preset = configured("omni-film")
    manifest = in_process(**BRIEF, preset=preset)
    found = probe(fetch(store, manifest, tmp_path / "film.mp4"))
    assert (found.frames, found.signature.rate) == (144, 24)
    assert found.audio is not None
    assert abs(found.audio.seconds - 6) < 0.05
    _check_what_the_manifest_says(manifest, preset)
    bill = 6 * PRICE
    assert google.bill == spent(store).total == bill
    assert manifest.costs is not None
    assert manifest.costs.total.amount == bill
    again = in_process(**BRIEF, preset=preset)
    assert again.run.already_published
    assert len(google.jobs) == len(google.created()) == 2
    assert (spent(store).total, spent(store).jobs) == (bill, 2)
    _check_the_bucket_is_in_order(store, manifest)


def _check_what_the_manifest_says(manifest: Manifest, preset: str) -> None:
    assert manifest.plan.backend == "omni-film"
    assert len(manifest.chunks) == 2
    (model,) = manifest.models
    assert model.role == "video"
    assert "gemini-omni-1.2-flash" in model.model_dump_json()
    assert manifest.estimate.price is not None
    assert manifest.estimate.price.amount == 6 * PRICE
    assert manifest.route is not None
    assert manifest.route.chosen.preset == preset
    assert manifest.route.chosen.forecast is not None
    assert manifest.route.chosen.forecast.price == manifest.estimate.price
    assert KEY not in manifest.model_dump_json()


def _check_the_bucket_is_in_order(store: ObjectStore, manifest: Manifest) -> None:
    """Neither `verify` nor `purge-scratch` objects to what says what was paid."""
    for chunk in manifest.chunks:
        record = StoredJournal(store).read(chunk.digest)
        assert record is not None
        assert (record.attempt, record.outcome) == (1, "done")
    assert audit(store, lambda _: None).clean
    paid = [*store.list_keys("jobs/"), *store.list_keys("ledger/")]
    Sweeper(store, Ages(), living=frozenset()).sweep(dry_run=False)
    assert [*store.list_keys("jobs/"), *store.list_keys("ledger/")] == paid


@pytest.mark.expects_errors("refuses the content of this shot")
def test_a_refusal_ends_the_run_with_a_sentence_and_no_other_backend_is_tried(
    in_process: Run, configured: Configure, policy: Policy, google: FakeGoogle, store: ObjectStore
) -> None:
    preset = configured("omni-refusing")
    policy(f"only: [omni-refusing, {GRADIENT.name}]\nfallback_for_named: true")
    google.modes = ["refused"]
    with registry.registered(GRADIENT), pytest.raises(RefusedError) as refusal:
        in_process(**BRIEF, preset=preset)
    assert "refuses the content of this shot: I can't make that video." in str(refusal.value)
    assert "Change the words or pictures; no other backend was tried" in str(refusal.value)
    assert len(google.created()) == 1
    assert not store.list_keys("videos/")
    # Neither the refused chunk nor the one after it, which was reserved too, costs anything.
    assert spent(store).total == google.bill == 0


@pytest.mark.expects_errors("NO_SUCH_KEY", "WRONG_KEY")
def test_without_a_good_key_nothing_is_spent_and_the_error_says_where_the_key_is(
    in_process: Run,
    configured: Configure,
    google: FakeGoogle,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = configured("omni-keyless", "env:NO_SUCH_KEY")
    with pytest.raises(SettingsError, match="key of omni-keyless: the variable NO_SUCH_KEY is not"):
        in_process(**BRIEF, preset=preset)
    preset = configured("omni-stranger", "env:WRONG_KEY")
    monkeypatch.setenv("WRONG_KEY", "AIza-of-somebody-else")
    with pytest.raises(SettingsError, match=r"omni-stranger needs a key.*env:WRONG_KEY") as error:
        in_process(**BRIEF, preset=preset)
    assert "AIza" not in str(error.value)
    assert not google.jobs
    found = spent(store)
    assert (found.total, found.reserved, found.kept) == (0, 0, 0)


@pytest.mark.expects_errors("the cap of 0.41 USD for this video")
def test_above_a_cap_nothing_is_submitted(
    in_process: Run,
    configured: Configure,
    google: FakeGoogle,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = configured("omni-capped")
    monkeypatch.setenv("REELWRIGHT_COSTS_VIDEO_CAP", "0.41")
    with pytest.raises(
        BudgetError, match=r"the cap of 0\.41 USD for this video.*no job was submitted"
    ):
        in_process(**BRIEF, preset=preset)
    assert not google.created()
    assert not store.list_keys("jobs/")
    assert spent(store).total == 0


@pytest.mark.expects_errors("may have started a paid job")
def test_a_lost_answer_is_never_repeated_and_the_next_candidate_makes_the_video(
    in_process: Run, configured: Configure, policy: Policy, google: FakeGoogle, store: ObjectStore
) -> None:
    preset = configured("omni-losing")
    policy(f"only: [omni-losing, {GRADIENT.name}]\nfallback_for_named: true")
    google.modes = ["lost"]
    with registry.registered(GRADIENT):
        manifest = in_process(**BRIEF, preset=preset)
    assert manifest.plan.backend == GRADIENT.name
    assert manifest.route is not None
    assert "its price stays in the ledger" in manifest.route.setbacks[0].reason
    assert len(google.created()) == 1
    found = spent(store)
    assert (found.kept, found.reserved, found.total) == (3 * PRICE, 0, google.bill)
