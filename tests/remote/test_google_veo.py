"""Veo 3.1 on Google Cloud: what is sent, what the answers mean, and what they cost."""

import base64
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import (
    AnswerLostError,
    BriefError,
    GenerationError,
    MediaError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    SettingsError,
    UnavailableError,
)
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size
from tests.remote.google import (
    FIRST,
    JOB_KEY,
    LAST,
    OMNI_KEY,
    VEO_TOKEN,
    Pictures,
    reference,
    request,
    veo_service,
)
from tests.support.fake_google import KEY, PROJECT, TOKEN, FakeGoogle

FULL_HD = Size(1920, 1080)
RESOURCE = f"projects/{PROJECT}/locations/us-central1/publishers/google/models"
MODEL = f"{RESOURCE}/veo-3.1-fast-generate-001"


@pytest.mark.parametrize("place", ["inline", "bucket"])
def test_a_clip_is_fetched_where_it_is_and_costs_its_seconds(
    google: FakeGoogle, tmp_path: Path, place: str
) -> None:
    bucket = {"storage": "gs://my-films/clips", "storage_address": google.url}
    google.looks, service = 2, veo_service(google, **(bucket if place == "bucket" else {}))
    wish = request(seconds=6)
    operation = service.submit(wish, Pictures(), JOB_KEY)
    states = [service.look(operation).state for _ in range(2)]
    status = service.look(operation)
    service.fetch(operation, status, tmp_path / "clip.mp4")
    assert (states, status.state) == (["running", "running"], "done")
    assert (tmp_path / "clip.mp4").read_bytes() == b"720p 16:9 6"
    assert google.downloads == (place == "bucket")
    bill = service.bill(wish, status)
    assert (bill.price, bill.basis) == (Money.of(google.bill), "estimated")
    assert service.price(wish) == bill.price


def test_a_job_is_submitted_with_one_request_and_a_bearer_token(google: FakeGoogle) -> None:
    operation = veo_service(google).submit(request(negative="rain"), Pictures(), JOB_KEY)
    (sent,) = google.created()
    assert sent.path == f"/v1/{MODEL}:predictLongRunning"
    assert sent.headers["authorization"] == f"Bearer {TOKEN}"
    assert sent.body == {
        "instances": [{"prompt": "A fox runs to the left."}],
        "parameters": {
            "sampleCount": 1,
            "durationSeconds": 4,
            "aspectRatio": "16:9",
            "resolution": "720p",
            "personGeneration": "allow_adult",
            "generateAudio": True,
            "seed": 7,  # of 2**40 + 7, in 32 bits
            "negativePrompt": "rain",
        },
    }
    veo_service(google).look(operation)
    assert google.sent[-1].path == f"/v1/{MODEL}:fetchPredictOperation"
    assert google.sent[-1].body == {"operationName": operation}


def test_an_api_key_needs_no_project(google: FakeGoogle) -> None:
    google.looks = 0
    service = veo_service(google, auth="api-key", project="", key=f"env:{OMNI_KEY}")
    operation = service.submit(request(), Pictures(), JOB_KEY)
    (sent,) = google.created()
    assert sent.path == "/v1/publishers/google/models/veo-3.1-fast-generate-001:predictLongRunning"
    assert sent.headers["x-goog-api-key"] == KEY
    assert "authorization" not in sent.headers
    assert service.look(operation).state == "done"


def test_pictures_are_sent_as_first_frame_last_frame_and_references(google: FakeGoogle) -> None:
    service = veo_service(google)
    service.submit(request(FIRST, LAST, seconds=8), Pictures(), JOB_KEY)
    service.submit(request(*map(reference, "cde"), seconds=8), Pictures(), JOB_KEY)
    frames, references = (item.body["instances"][0] for item in google.created())
    assert sorted(frames) == ["image", "lastFrame", "prompt"]
    assert frames["image"] != frames["lastFrame"]
    assert [item["referenceType"] for item in references["referenceImages"]] == ["ASSET"] * 3
    assert base64.b64decode(frames["image"]["bytesBase64Encoded"])[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("mode", "state", "says"),
    [
        ("failed", "failed", "try again"),
        ("invalid", "failed", "not supported"),
        ("filtered", "refused", "58061214"),
        ("image-refused", "refused", "violates"),
        ("refused", "refused", "no reason"),
    ],
)
def test_a_job_without_a_clip_ends_as_it_should_and_costs_nothing(
    google: FakeGoogle, mode: str, state: str, says: str
) -> None:
    google.modes, google.looks, service = [mode], 0, veo_service(google)
    status = service.look(service.submit(request(), Pictures(), JOB_KEY))
    assert status.state == state
    assert says in status.message
    assert service.bill(request(), status).price == Money.of(0) == Money.of(google.bill)


def test_after_the_quota_is_spent_nothing_more_is_sent(google: FakeGoogle) -> None:
    google.modes, google.looks, service = ["budget"], 0, veo_service(google)
    assert service.look(service.submit(request(), Pictures(), JOB_KEY)).state == "failed"
    with pytest.raises(QuotaError, match="Quota exceeded"):
        service.submit(request(), Pictures(), JOB_KEY)
    assert len(google.created()) == 1


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("400", GenerationError, "invalid"),
        ("400-safety", RefusedError, "29310472"),
        ("401", SettingsError, f"env:{VEO_TOKEN}"),
        ("403", SettingsError, f"env:{VEO_TOKEN}"),
        ("403-quota", QuotaError, "Quota exceeded"),
        ("429", QuotaError, "quota"),
        ("503", UnavailableError, "overloaded"),
        ("500", AnswerLostError, "500"),
        ("lost", AnswerLostError, "no whole answer"),
        ("no-id", AnswerLostError, "without a name"),
    ],
)
def test_an_error_at_the_start_is_named_and_nothing_is_sent_twice(
    google: FakeGoogle, mode: str, error: type[ReelwrightError], says: str
) -> None:
    google.modes = [mode]
    with pytest.raises(error, match=says) as caught:
        veo_service(google).submit(request(), Pictures(), JOB_KEY)
    assert type(caught.value) is error
    assert not any(secret in str(caught.value) for secret in (KEY, TOKEN))
    assert len(google.created()) == 1


def test_an_expired_token_is_named_by_its_place(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = veo_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    monkeypatch.setenv(VEO_TOKEN, "ya29.expired")
    with pytest.raises(SettingsError, match=f"env:{VEO_TOKEN}") as caught:
        service.look(operation)
    assert "ya29" not in str(caught.value)
    monkeypatch.setenv(VEO_TOKEN, TOKEN)  # renewed: the same service goes on
    assert service.look(operation).state == "running"


@pytest.mark.parametrize("status", [400, 429, 500, 503, 504])
def test_a_question_that_gets_no_answer_leaves_the_job_alone(
    google: FakeGoogle, status: int
) -> None:
    google.looks, service = 0, veo_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    google.poll_errors = [status]
    with pytest.raises(UnavailableError):
        service.look(operation)
    assert service.look(operation).state == "done"


def test_a_job_that_the_service_does_not_know_is_gone(google: FakeGoogle) -> None:
    assert veo_service(google).look(f"{MODEL}/operations/unknown").state == "gone"


@pytest.mark.parametrize("place", ["inline", "bucket"])
def test_a_clip_that_breaks_off_is_fetched_again(
    google: FakeGoogle, tmp_path: Path, place: str
) -> None:
    bucket = {"storage": "gs://my-films/clips", "storage_address": google.url}
    google.modes, google.looks = ["truncated-once"], 0
    service = veo_service(google, **(bucket if place == "bucket" else {}))
    operation = service.submit(request(), Pictures(), JOB_KEY)
    status, path = service.look(operation), tmp_path / "clip.mp4"
    with pytest.raises(MediaError):
        service.fetch(operation, status, path)
    assert not path.exists()
    service.fetch(operation, status, path)
    assert path.read_bytes() == b"720p 16:9 4"


def test_it_is_available_if_the_model_is_described(google: FakeGoogle) -> None:
    assert veo_service(google).availability().available
    assert "is not known there" in _unknown(google).availability().reason
    assert not google.created()


def _unknown(google: FakeGoogle) -> Any:
    prices = {"as_of": "2026-11-27", "source": "a test", "per_second": {"720p": "1"}}
    return veo_service(google, model="veo-9", prices=prices)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (request(LAST, seconds=8), "without a first one"),
        (request(FIRST, reference("c"), seconds=8), "not both"),
        (request(*map(reference, "cdef"), seconds=8), "at most 3"),
        (request(FIRST, LAST, seconds=4), "a last picture in 8 s only, not in 4 s"),
        (request(reference("c"), seconds=6), "reference pictures in 8 s only"),
        (request(size=FULL_HD, seconds=4), "1080p in 8 s only"),
        (request(size=Size(640, 360)), "1280\\*720"),
    ],
)
def test_what_the_model_cannot_make_is_refused_before_anything_is_sent(
    google: FakeGoogle, wish: ClipRequest, says: str
) -> None:
    with pytest.raises(BriefError, match=says):
        veo_service(google).check([request(), wish])
    assert not google.sent


def test_what_the_model_can_make_passes_and_is_taken(google: FakeGoogle) -> None:
    wishes = [
        request(FIRST, seconds=4),
        request(FIRST, LAST, seconds=8),
        request(*map(reference, "cde"), seconds=8),
        request(size=Size(1080, 1920), seconds=8),
    ]
    service = veo_service(google)
    service.check(wishes)
    assert len({service.submit(wish, Pictures(), JOB_KEY) for wish in wishes}) == 4
