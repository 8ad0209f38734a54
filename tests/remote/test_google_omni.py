"""Gemini Omni: what is sent, what the answers mean, and what they cost."""

from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.backends.remote.service import JobStatus
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
from pipelines.schema.request import ClipInput, ClipRequest
from pipelines.schema.sizes import Size
from tests.remote.google import (
    FIRST,
    JOB_KEY,
    LAST,
    OMNI_KEY,
    Pictures,
    omni_service,
    reference,
    request,
)
from tests.support.fake_google import KEY, FakeGoogle

REFERENCES = tuple(map(reference, "cdef01"))


def ended(google: FakeGoogle, mode: str, wish: ClipRequest | None = None) -> JobStatus:
    """The last status of a job that ends as `mode`."""
    google.modes, google.looks = [mode], 0
    service = omni_service(google)
    return service.look(service.submit(wish or request(), Pictures(), JOB_KEY))


@pytest.mark.parametrize("delivery", ["uri", "inline"])
def test_a_clip_is_fetched_where_it_is_and_billed_to_the_token(
    google: FakeGoogle, tmp_path: Path, delivery: str
) -> None:
    google.looks, service, wish = 2, omni_service(google, delivery=delivery), request(seconds=5)
    operation = service.submit(wish, Pictures(), JOB_KEY)
    states = [service.look(operation).state for _ in range(2)]
    status = service.look(operation)
    service.fetch(operation, status, tmp_path / "clip.mp4")
    assert (states, status.state) == (["running", "running"], "done")
    assert (tmp_path / "clip.mp4").read_bytes() == b"720p 16:9 5"
    bill = service.bill(wish, status)
    assert (bill.price, bill.basis) == (Money.of(google.bill), "billed")
    assert bill.price.amount <= service.price(wish).amount


def test_a_clip_that_is_still_being_stored_is_not_done(google: FakeGoogle) -> None:
    google.modes, google.looks, service = ["storing"], 0, omni_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    states = [service.look(operation).state for _ in range(4)]
    assert states == ["running", "running", "done", "done"]


def test_a_job_is_submitted_with_one_request_and_without_seed_or_key(google: FakeGoogle) -> None:
    omni_service(google).submit(request(negative="rain, birds"), Pictures(), JOB_KEY)
    (sent,) = google.created()
    assert sent.path == "/v1beta/interactions"
    assert sent.headers["x-goog-api-key"] == KEY
    assert sent.body == {
        "model": "gemini-omni-1.2-flash",
        "background": True,
        "input": "A fox runs to the left. In a single unbroken scene, without scene cuts. "
        "Do not show: rain, birds.",
        "response_format": {
            "type": "video",
            "aspect_ratio": "16:9",
            "resolution": "720p",
            "duration": "4s",
            "delivery": "uri",
        },
        "generation_config": {"video_config": {"task": "text_to_video"}},
    }


@pytest.mark.parametrize(
    ("inputs", "task", "begins", "ends"),
    [
        ((FIRST,), "image_to_video", "[# Sources <FIRST_FRAME>@Image1] A fox", "starting frame."),
        (
            (FIRST, LAST),
            "image_to_video",
            "[# Sources <FIRST_FRAME>@Image1 <LAST_FRAME>@Image2] A fox",
            "Use Image2 as the last frame.",
        ),
        (
            REFERENCES[:2],
            "reference_to_video",
            "[# References <IMAGE_REF_0>@Image1 <IMAGE_REF_1>@Image2] A fox",
            "not be used as literal initial frames.",
        ),
        (
            (FIRST, REFERENCES[0]),
            None,
            "[# Sources <FIRST_FRAME>@Image1] [# References <IMAGE_REF_0>@Image2] A fox",
            "not be used as literal initial frames.",
        ),
    ],
)
def test_the_prompt_says_what_each_picture_is_for(
    google: FakeGoogle, inputs: tuple[ClipInput, ...], task: str | None, begins: str, ends: str
) -> None:
    omni_service(google).submit(request(*inputs), Pictures(), JOB_KEY)
    body = google.created()[0].body
    (step,) = body["input"]
    *pictures, text = step["content"]
    assert step["type"] == "user_input"
    assert [item["type"] for item in pictures] == ["image"] * len(inputs)
    assert text["text"].startswith(begins)
    assert text["text"].endswith(ends)
    wanted = {"generation_config": {"video_config": {"task": task}}} if task else {}
    assert {name: body[name] for name in body if name == "generation_config"} == wanted


@pytest.mark.parametrize(
    ("size", "resolution", "aspect"),
    [
        (Size(640, 360), "360p", "16:9"),
        (Size(720, 1280), "720p", "9:16"),
        (Size(1920, 1080), "1080p", "16:9"),
        (Size(1080, 1920), "1080p", "9:16"),
    ],
)
def test_a_size_is_sent_as_resolution_and_aspect(
    google: FakeGoogle, size: Size, resolution: str, aspect: str
) -> None:
    omni_service(google).submit(request(size=size), Pictures(), JOB_KEY)
    sent = google.created()[0].body["response_format"]
    assert (sent["resolution"], sent["aspect_ratio"]) == (resolution, aspect)


@pytest.mark.parametrize(
    ("mode", "state", "says"),
    [
        ("failed", "failed", "could not be made"),
        ("refused", "refused", "I can't make that video."),
        ("filtered", "refused", "blocked by safety filters"),
        ("incomplete", "failed", "cut off"),
    ],
)
def test_a_job_without_a_clip_ends_as_it_should_and_costs_what_was_thought(
    google: FakeGoogle, mode: str, state: str, says: str
) -> None:
    status = ended(google, mode)
    assert status.state == state
    assert says in status.message
    assert omni_service(google).bill(request(), status).price == Money.of(google.bill)
    assert 0 < google.bill < Decimal("0.01")


def test_a_cancelled_job_has_failed(google: FakeGoogle) -> None:
    service = omni_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    service.cancel(operation)
    assert service.look(operation).state == "failed"


def test_a_clip_that_is_charged_but_cannot_be_read_is_not_made_again(google: FakeGoogle) -> None:
    with pytest.raises(GenerationError, match="charges for it"):
        ended(google, "unreadable")


def test_after_the_budget_is_spent_nothing_more_is_sent(google: FakeGoogle) -> None:
    google.modes, google.looks, service = ["budget"], 0, omni_service(google)
    status = service.look(service.submit(request(), Pictures(), JOB_KEY))
    assert (status.state, service.bill(request(), status).price) == ("failed", Money.of(0))
    with pytest.raises(QuotaError, match="budget is spent"):
        service.submit(request(), Pictures(), JOB_KEY)
    assert len(google.created()) == 1


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("400", GenerationError, "invalid"),
        ("400-place", UnavailableError, "not offer it where this host is"),
        ("400-safety", RefusedError, "Responsible AI"),
        ("401", SettingsError, f"env:{OMNI_KEY}"),
        ("403", SettingsError, f"env:{OMNI_KEY}"),
        ("403-quota", QuotaError, "Quota exceeded"),
        ("429", QuotaError, "quota"),
        ("503", UnavailableError, "overloaded"),
        ("500", AnswerLostError, "500"),
        ("504", AnswerLostError, "504"),
        ("lost", AnswerLostError, "no whole answer"),
        ("no-id", AnswerLostError, "did not say its id"),
    ],
)
def test_an_error_at_the_start_is_named_and_nothing_is_sent_twice(
    google: FakeGoogle, mode: str, error: type[ReelwrightError], says: str
) -> None:
    google.modes = [mode]
    with pytest.raises(error, match=says) as caught:
        omni_service(google).submit(request(), Pictures(), JOB_KEY)
    assert type(caught.value) is error
    assert KEY not in str(caught.value)
    assert len(google.created()) == 1


def test_a_wrong_key_is_named_by_its_place(
    google: FakeGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OMNI_KEY, "AIzaWrong-key-1234")
    with pytest.raises(SettingsError, match=f"env:{OMNI_KEY}") as caught:
        omni_service(google).submit(request(), Pictures(), JOB_KEY)
    assert "AIza" not in str(caught.value)
    found = omni_service(google).availability()
    assert not found.available
    assert OMNI_KEY in found.reason


def test_an_unknown_model_is_an_error_of_the_settings(google: FakeGoogle) -> None:
    prices = {"as_of": "2026-11-27", "source": "a test", "per_second": {"720p": "1"}}
    service = omni_service(google, model="gemini-omni-9", prices=prices)
    with pytest.raises(SettingsError, match="check `model`"):
        service.submit(request(), Pictures(), JOB_KEY)
    assert "gemini-omni-9 is not known there" in service.availability().reason


def test_it_is_available_if_the_model_answers(google: FakeGoogle) -> None:
    assert omni_service(google).availability().available
    assert not google.created()


def test_a_server_that_is_gone_is_not_available(google: FakeGoogle) -> None:
    service = omni_service(google, address="http://127.0.0.1:1")
    found = service.availability()
    assert not found.available
    assert "cannot be reached" in found.reason


@pytest.mark.parametrize("status", [429, 503])
def test_a_question_is_repeated_until_the_service_answers(google: FakeGoogle, status: int) -> None:
    google.looks, service = 0, omni_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    google.poll_errors = [status] * 2
    assert service.look(operation).state == "done"


def test_a_question_that_gets_no_answer_leaves_the_job_alone(google: FakeGoogle) -> None:
    google.looks, service = 0, omni_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    google.poll_errors = [503] * 4
    with pytest.raises(UnavailableError):
        service.look(operation)
    google.poll_errors = [400]  # seen from the real service for a job that went on
    with pytest.raises(UnavailableError):
        service.look(operation)
    assert service.look(operation).state == "done"


def test_a_job_that_the_service_does_not_know_is_gone(google: FakeGoogle) -> None:
    assert omni_service(google).look("v1_unknown").state == "gone"


@pytest.mark.parametrize("delivery", ["uri", "inline"])
def test_a_clip_that_breaks_off_is_fetched_again(
    google: FakeGoogle, tmp_path: Path, delivery: str
) -> None:
    google.modes, google.looks = ["truncated-once"], 0
    service, path = omni_service(google, delivery=delivery), tmp_path / "clip.mp4"
    operation = service.submit(request(), Pictures(), JOB_KEY)
    status = service.look(operation)
    with pytest.raises(MediaError):
        service.fetch(operation, status, path)
    assert not path.exists()
    service.fetch(operation, status, path)
    assert path.read_bytes() == b"720p 16:9 4"
    assert len(google.created()) == 1


def test_a_clip_on_a_host_that_nobody_allowed_is_not_fetched(
    google: FakeGoogle, tmp_path: Path
) -> None:
    google.modes, google.looks, service = ["elsewhere"], 0, omni_service(google)
    operation = service.submit(request(), Pictures(), JOB_KEY)
    with pytest.raises(SettingsError, match="download_hosts"):
        service.fetch(operation, service.look(operation), tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (request(LAST), "without a first one"),
        (request(FIRST, LAST, seconds=11), "at most 10 s"),
        (request(*REFERENCES, reference("2")), "at most 6 reference"),
        (request(size=Size(1024, 1024)), "1280\\*720"),
        (request(size=Size(640, 360)), "1280\\*720"),
    ],
)
def test_what_the_model_cannot_make_is_refused_before_anything_is_sent(
    google: FakeGoogle, wish: ClipRequest, says: str
) -> None:
    with pytest.raises(BriefError, match=says):
        omni_service(google).check([request(), wish])
    assert not google.sent


def test_a_size_without_a_price_is_an_error_in_words(google: FakeGoogle) -> None:
    with pytest.raises(BriefError, match="1280\\*720"):
        omni_service(google).price(request(size=Size(512, 512)))


def test_what_the_model_can_make_passes_and_is_taken(google: FakeGoogle) -> None:
    wishes = [
        request(FIRST, seconds=15),
        request(FIRST, LAST, seconds=10),
        request(*REFERENCES, seconds=3),
        request(FIRST, *REFERENCES),
    ]
    service = omni_service(google)
    service.check(wishes)
    assert len({service.submit(wish, Pictures(), JOB_KEY) for wish in wishes}) == 4


def test_without_prices_of_tokens_a_job_is_estimated_by_its_seconds(google: FakeGoogle) -> None:
    prices = {"as_of": "2026-11-27", "source": "our contract", "per_second": {"720p": "0.05"}}
    google.looks, service = 0, omni_service(google, prices=prices, resolutions=["720p"])
    wish = request(seconds=6)
    status = service.look(service.submit(wish, Pictures(), JOB_KEY))
    bill = service.bill(wish, status)
    assert (bill.price, bill.basis) == (Money.of("0.30"), "estimated")
    assert service.price(wish) == Money.of("0.30")
    assert service.bill(wish, JobStatus("failed")).price == Money.of(0)


def test_a_shot_may_have_cuts_if_the_entry_says_so(google: FakeGoogle) -> None:
    wish = request(options={"one_take": False})
    omni_service(google).submit(wish, Pictures(), JOB_KEY)
    assert google.created()[0].body["input"] == "A fox runs to the left."
