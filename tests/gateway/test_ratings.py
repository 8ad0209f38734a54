"""People rate the videos of a comparison without knowing who made which."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway import keys
from infra.apps.gateway.database import opened
from pipelines.benchmark.blind import Pair, Rating, film_on, left_of, pairs_of, rating_file
from pipelines.benchmark.samples import Sample
from pipelines.schema.keys import Digest, ObjectKey
from tests.conftest import Cli
from tests.support.compared import LOCAL, OTHER, sample
from tests.support.films import published
from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.xdist_group("gateway")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PICTURES = os.environ.get("PICTURES")
NUMBERS = 3


@pytest.fixture(scope="module")
def bucket(gateway_store: StoreSettings) -> ObjectStore:
    store = ObjectStore(gateway_store.model_copy(update={"bucket": "test-ratings"}))
    store.ensure_bucket()
    return store


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, bucket: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("ratings")
    with gateway(deployed, folder, REELWRIGHT_S3_BUCKET=bucket.bucket) as found:
        yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    """This machine: it may do everything."""
    with asked.client() as client:
        yield client


@dataclass(frozen=True)
class Comparison:
    """One in the bucket."""

    name: str
    samples: list[Sample]

    @property
    def pairs(self) -> list[Pair]:
        return pairs_of(self.name, sorted((LOCAL, OTHER)), self.samples)

    def address(self, rater: str) -> str:
        return f"/benchmarks/{self.name}?rater={quote(rater)}"


@pytest.fixture
def comparison(bucket: ObjectStore) -> Comparison:
    """Three prompts and two candidates, each with a published video of its own."""
    name, samples = f"rated-{secrets.token_hex(4)}", []
    for candidate in (LOCAL, OTHER):
        for number in range(1, NUMBERS + 1):
            manifest = published(bucket, f"{name} {candidate} {number}")
            item = sample(candidate, number)
            assert item.film is not None
            film = item.film.model_copy(update={"content_id": manifest.content_id})
            samples.append(item.model_copy(update={"film": film, "prompt": f"prompt {number}"}))
    for item in samples:
        key = ObjectKey.benchmark(name, item.file)
        bucket.put_bytes(key, item.model_dump_json().encode(), "application/json")
    return Comparison(name, samples)


def pair_on(page: str) -> str:
    """The id of the pair that a page shows; empty if it shows none."""
    found = re.search(r'name="pair" value="([0-9a-f]{16})"', page)
    return found[1] if found else ""


def values_of(pair: str, rater: str, **values: object) -> dict[str, object]:
    return {"rater": rater, "pair": pair, "left": 5, "right": 2, "preference": "left"} | values


def stored(bucket: ObjectStore, comparison: Comparison, pair: str, rater: str) -> Rating:
    data = bucket.get_bytes(ObjectKey.benchmark(comparison.name, rating_file(pair, rater)))
    assert data is not None
    return Rating.model_validate_json(data)


def test_who_has_no_name_is_asked_for_one(client: httpx.Client, comparison: Comparison) -> None:
    page = client.get(f"/benchmarks/{comparison.name}").text
    assert "Your name" in page
    assert "<video" not in page
    assert comparison.name in client.get("/benchmarks").text


def test_a_page_says_nothing_about_who_made_what(
    client: httpx.Client, comparison: Comparison
) -> None:
    page = client.get(comparison.address("Zoë")).text
    assert "prompt " in page
    assert page.count("<video") == 2
    for item in comparison.samples:
        assert item.film is not None
        for word in (item.candidate, item.film.content_id, item.clip):
            assert word not in page


@pytest.mark.parametrize("rater", ["Zoë", "สมชาย ใจดี"])
def test_each_side_plays_the_video_that_the_rating_counts_for(
    client: httpx.Client, bucket: ObjectStore, comparison: Comparison, rater: str
) -> None:
    for pair in comparison.pairs:
        for side in ("left", "right"):
            address = f"/benchmarks/{comparison.name}/clips/{pair.id}/{side}.mp4"
            answer = client.get(address, params={"rater": rater})
            assert answer.status_code == 200
            wanted = film_on(side, rater, pair)  # type: ignore[arg-type]
            assert answer.content == b"".join(bucket.blocks(ObjectKey.video(Digest(wanted))))
            assert "etag" not in answer.headers
            assert wanted not in str(answer.headers)
        part = client.get(address, params={"rater": rater}, headers={"Range": "bytes=2-5"})
        assert (part.status_code, part.content) == (206, answer.content[2:6])


def test_all_pairs_are_rated_once_and_the_scores_are_those_of_the_makers(
    client: httpx.Client, bucket: ObjectStore, comparison: Comparison
) -> None:
    rater, seen = "สมชาย ใจดี", []
    page = client.get(comparison.address(rater))
    while pair := pair_on(page.text):
        assert f"{len(seen)} of {NUMBERS} pairs rated" in page.text
        seen.append(pair)
        page = client.post(
            f"/benchmarks/{comparison.name}", data=values_of(pair, rater), follow_redirects=True
        )
        assert page.status_code == 200
        assert len(seen) <= NUMBERS
    assert sorted(seen) == sorted(item.id for item in comparison.pairs)
    assert f"rated all {NUMBERS} pairs" in page.text
    for item in comparison.pairs:
        rating = stored(bucket, comparison, item.id, rater)
        left = left_of(rater, item)
        assert rating.rater == rater
        assert rating.preferred == left
        by_maker = {rating.one: rating.score_one, rating.other: rating.score_other}
        assert by_maker == {left: 5, (OTHER if left == LOCAL else LOCAL): 2}


def test_the_first_rating_of_a_pair_stays(
    client: httpx.Client, bucket: ObjectStore, comparison: Comparison
) -> None:
    pair = comparison.pairs[0].id
    address = f"/benchmarks/{comparison.name}"
    assert client.post(address, data=values_of(pair, "Ann")).status_code == 303
    first = stored(bucket, comparison, pair, "Ann")
    again = client.post(address, data=values_of(pair, " ANN ", left=1))
    assert again.status_code == 409
    assert "the first rating stays" in again.text
    assert stored(bucket, comparison, pair, "Ann") == first


def test_nobody_sees_what_others_said(client: httpx.Client, comparison: Comparison) -> None:
    before = client.get(comparison.address("Ben")).text
    for pair in comparison.pairs:
        client.post(f"/benchmarks/{comparison.name}", data=values_of(pair.id, "Ann"))
    assert client.get(comparison.address("Ben")).text == before
    assert "Ann" not in client.get(f"/benchmarks/{comparison.name}").text


def test_nobody_rates_under_the_name_of_another_key(
    asked: Gateway, client: httpx.Client, bucket: ObjectStore, comparison: Comparison
) -> None:
    first, second, *_ = comparison.pairs
    client.post(f"/benchmarks/{comparison.name}", data=values_of(first.id, "Ann"))
    with client_of(asked, "approve", "read") as other:
        answer = other.post(f"/benchmarks/{comparison.name}", data=values_of(second.id, "ann"))
        assert answer.status_code == 409
        assert "take another name" in answer.text
        assert "take another name" in other.get(comparison.address("ann")).text
        own = other.post(f"/benchmarks/{comparison.name}", data=values_of(second.id, "Ben"))
        assert own.status_code == 303
    assert len(bucket.list_keys(f"benchmarks/{comparison.name}/rating-")) == 2


def client_of(asked: Gateway, *scopes: str) -> httpx.Client:
    with opened(Path(asked.cli.env["REELWRIGHT_DATA_DIR"])) as database:
        key = keys.add(database, f"key-{secrets.token_hex(4)}", list(scopes))
    return asked.client(Authorization=f"Bearer {key}")


def test_a_key_that_may_only_read_rates_nothing(asked: Gateway, comparison: Comparison) -> None:
    pair = comparison.pairs[0]
    clip = f"/benchmarks/{comparison.name}/clips/{pair.id}/left.mp4?rater=x"
    with client_of(asked, "read") as reader:
        for address in ("/benchmarks", comparison.address("x"), clip):
            assert reader.get(address).status_code == 403
        values = values_of(pair.id, "x")
        assert reader.post(f"/benchmarks/{comparison.name}", data=values).status_code == 403
    with asked.client(Authorization="Bearer rw_nobody") as stranger:
        assert stranger.get("/benchmarks").status_code == 303
        assert stranger.get(clip).status_code == 401


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"left": 0}, 422),
        ({"right": 6}, 422),
        ({"preference": "both"}, 422),
        ({"rater": "  "}, 422),
        ({"rater": "a" * 61}, 422),
        ({"rater": "a\x00b"}, 422),
        ({"pair": "0" * 16}, 404),
    ],
)
def test_a_rating_that_is_none_is_refused(
    client: httpx.Client,
    bucket: ObjectStore,
    comparison: Comparison,
    values: dict[str, object],
    status: int,
) -> None:
    sent = values_of(comparison.pairs[0].id, "Ann") | values
    answer = client.post(f"/benchmarks/{comparison.name}", data=sent)
    assert answer.status_code == status, answer.text
    assert bucket.list_keys(f"benchmarks/{comparison.name}/rating-") == []


def test_a_comparison_that_is_not_there_shows_no_pairs(client: httpx.Client) -> None:
    assert "no pairs of videos" in client.get("/benchmarks/nothing?rater=x").text
    assert client.get(f"/benchmarks/nothing/clips/{'0' * 16}/left.mp4?rater=x").status_code == 404
    assert client.get("/benchmarks/No%20Name").status_code == 422


def test_another_site_cannot_rate(client: httpx.Client, comparison: Comparison) -> None:
    pair = comparison.pairs[0].id
    answer = client.post(
        f"/benchmarks/{comparison.name}",
        data=values_of(pair, "Ann"),
        headers={"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert answer.status_code == 401


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_keyboard_rates_in_a_browser(
    asked: Gateway, bucket: ObjectStore, comparison: Comparison
) -> None:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(f"{asked.url}/benchmarks/{comparison.name}")
        expect(page.locator("input[name=rater]")).to_be_focused()
        page.keyboard.type("สมชาย")
        page.keyboard.press("Enter")
        expect(page.locator("form.rate")).to_be_visible()
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / "rate.jpg", type="jpeg", quality=80)
        pair = page.locator("input[name=pair]").input_value()
        for key in ("4", "7", "e"):
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"1 of {NUMBERS} pairs rated")).to_be_visible()
        browser.close()
    rating = stored(bucket, comparison, pair, "สมชาย")
    seen = next(item for item in comparison.pairs if item.id == pair)
    left = left_of("สมชาย", seen)
    by_maker = {rating.one: rating.score_one, rating.other: rating.score_other}
    assert by_maker[left] == 4
    assert sorted(by_maker.values()) == [2, 4]
    assert rating.preferred not in ("", left)
