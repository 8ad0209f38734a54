"""Google's own client works with the fake, and sends what we send.

So the fake speaks the vendor's dialect, and not one that we made up for our own service.
"""

import base64
import io
import re
from typing import Any

import pytest
from google import genai
from google.genai import _interactions_errors, errors, types
from google.oauth2.credentials import Credentials
from PIL import Image

from pipelines.schema.request import FirstFrame, LastFrame, ReferenceImage
from tests.remote.google import (
    FIRST,
    JOB_KEY,
    LAST,
    WIDE,
    Pictures,
    omni_service,
    reference,
    request,
    veo_service,
)
from tests.support.fake_google import KEY, PROJECT, TOKEN, FakeGoogle

VEO = "veo-3.1-fast-generate-001"


def options(google: FakeGoogle, version: str | None = None) -> types.HttpOptions:
    return types.HttpOptions(
        base_url=google.url,
        api_version=version,
        timeout=10_000,
        retry_options=types.HttpRetryOptions(attempts=1),  # or a paid POST is repeated
    )


@pytest.fixture
def gemini(google: FakeGoogle) -> genai.Client:
    return genai.Client(api_key=KEY, http_options=options(google))


@pytest.fixture
def vertex(google: FakeGoogle) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project=PROJECT,
        location="us-central1",
        credentials=Credentials(token=TOKEN),
        http_options=options(google),
    )


Picture = FirstFrame | LastFrame | ReferenceImage


def image(item: Picture) -> bytes:
    """The picture that our service sends for an input."""
    frame = Pictures().picture(item.picture, WIDE, whole=item.kind == "reference_image")
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


@pytest.mark.parametrize("delivery", ["inline", "uri"])
def test_the_vendors_client_makes_a_clip_with_omni(
    google: FakeGoogle, gemini: genai.Client, delivery: Any
) -> None:
    made = gemini.interactions.create(
        model="gemini-omni-1.2-flash",
        background=True,
        input="A fox runs to the left.",
        response_format={"type": "video", "duration": "5s", "delivery": delivery},
    )
    assert made.status == "in_progress"
    assert gemini.interactions.get(made.id).status == "in_progress"
    done = gemini.interactions.get(made.id)
    assert done.status == "completed"
    assert done.usage.total_output_tokens == 5 * 5792
    if delivery == "inline":
        assert base64.b64decode(done.output_video.data) == b"720p 16:9 5"
    else:
        name = re.search(r"files/\w+", done.output_video.uri)[0]
        assert gemini.files.get(name=name).state == types.FileState.ACTIVE
        assert gemini.files.download(file=name) == b"720p 16:9 5"


def test_the_vendors_client_understands_refusals_and_errors_of_omni(
    google: FakeGoogle, gemini: genai.Client
) -> None:
    google.looks, wish = 0, {"type": "video", "duration": "5s"}

    def create() -> Any:
        return gemini.interactions.create(
            model="gemini-omni-1.2-flash", background=True, input="…", response_format=wish
        )

    google.modes = ["refused", "failed", "429", "503", "400"]
    refused = gemini.interactions.get(create().id)
    assert (refused.status, refused.output_video) == ("completed", None)
    assert refused.output_text == "I can't make that video."
    failed = gemini.interactions.get(create().id)
    assert (failed.status, failed.errors[0].message) == ("failed", "The clip could not be made.")
    for error in (
        _interactions_errors.RateLimitError,
        _interactions_errors.InternalServerError,
        _interactions_errors.BadRequestError,
    ):
        with pytest.raises(error):
            create()


@pytest.mark.parametrize(
    "inputs",
    [(), (FIRST,), (FIRST, LAST), (reference("c"), reference("d")), (FIRST, reference("c"))],
    ids=["text", "first", "first+last", "references", "first+reference"],
)
def test_the_vendors_client_sends_the_same_request_for_omni(
    google: FakeGoogle, gemini: genai.Client, inputs: tuple[Picture, ...]
) -> None:
    omni_service(google, api_version="v1").submit(request(*inputs), Pictures(), JOB_KEY)
    ours = google.created()[0]
    given = ours.body["input"]
    text = given if isinstance(given, str) else given[0]["content"][-1]
    pictures: list[Any] = [
        {
            "type": "image",
            "data": base64.b64encode(image(item)).decode(),
            "mime_type": "image/jpeg",
        }
        for item in inputs
    ]
    more = {}
    if "generation_config" in ours.body:
        task = ours.body["generation_config"]["video_config"]["task"]
        more = {"generation_config": {"video_config": {"task": task}}}
    gemini.interactions.create(
        model="gemini-omni-1.2-flash",
        background=True,
        input=[*pictures, text] if pictures else text,
        response_format={
            "type": "video",
            "aspect_ratio": "16:9",
            "resolution": "720p",
            "duration": "4s",
            "delivery": "uri",
        },
        **more,
    )
    theirs = google.created()[1]
    assert theirs.body == ours.body
    assert theirs.path == ours.path == "/v1/interactions"
    assert theirs.headers["x-goog-api-key"] == ours.headers["x-goog-api-key"]


def test_the_vendors_client_asks_and_cancels_as_we_do(
    google: FakeGoogle, gemini: genai.Client
) -> None:
    service = omni_service(google, api_version="v1")
    operation = service.submit(request(), Pictures(), JOB_KEY)
    service.look(operation)
    gemini.interactions.get(operation)
    service.cancel(operation)
    gemini.interactions.cancel(operation)
    service.availability()
    gemini.models.get(model="gemini-omni-1.2-flash")
    paths = [(item.method, item.path) for item in google.sent[1:]]
    assert paths[0::2] == paths[1::2]
    assert len(set(paths)) == 3


def test_the_vendors_client_makes_a_clip_with_veo(google: FakeGoogle, vertex: genai.Client) -> None:
    operation = vertex.models.generate_videos(
        model=VEO,
        source=types.GenerateVideosSource(prompt="A fox runs to the left."),
        config=types.GenerateVideosConfig(duration_seconds=6, number_of_videos=1),
    )
    operation = vertex.operations.get(operation)
    assert not operation.done
    operation = vertex.operations.get(operation)
    assert operation.done
    assert operation.response.generated_videos[0].video.video_bytes == b"720p 16:9 6"


def test_the_vendors_client_asks_for_the_model_as_we_do(
    google: FakeGoogle, vertex: genai.Client
) -> None:
    veo_service(google).availability()
    vertex.models.get(model=VEO)
    ours, theirs = google.sent
    assert ours.path == theirs.path


def test_the_vendors_client_understands_filters_and_errors_of_veo(
    google: FakeGoogle, vertex: genai.Client
) -> None:
    google.looks, google.modes = 0, ["filtered", "failed", "429", "503"]

    def create() -> Any:
        return vertex.models.generate_videos(
            model=VEO,
            source=types.GenerateVideosSource(prompt="…"),
            config=types.GenerateVideosConfig(duration_seconds=4),
        )

    filtered = vertex.operations.get(create())
    assert (filtered.done, filtered.error) == (True, None)
    assert filtered.response.generated_videos is None
    assert filtered.response.rai_media_filtered_count == 1
    assert vertex.operations.get(create()).error["code"] == 13
    with pytest.raises(errors.ClientError, match="429"):
        create()
    with pytest.raises(errors.ServerError, match="503"):
        create()


@pytest.mark.parametrize(
    "inputs",
    [(), (FIRST,), (FIRST, LAST), (reference("c"), reference("d"))],
    ids=["text", "first", "first+last", "references"],
)
def test_the_vendors_client_sends_the_same_request_for_veo(
    google: FakeGoogle, vertex: genai.Client, inputs: tuple[Picture, ...]
) -> None:
    wish = request(*inputs, seconds=8, negative="rain")
    operation = veo_service(google, api_version="v1beta1").submit(wish, Pictures(), JOB_KEY)
    veo_service(google, api_version="v1beta1").look(operation)
    pictures = {
        item.kind: types.Image(image_bytes=image(item), mime_type="image/jpeg")
        for item in inputs
        if item.kind != "reference_image"
    }
    references = [
        types.VideoGenerationReferenceImage(
            image=types.Image(image_bytes=image(item), mime_type="image/jpeg"),
            reference_type=types.VideoGenerationReferenceType.ASSET,
        )
        for item in inputs
        if item.kind == "reference_image"
    ]
    made = vertex.models.generate_videos(
        model=VEO,
        source=types.GenerateVideosSource(prompt=wish.prompt, image=pictures.get("first_frame")),
        config=types.GenerateVideosConfig(
            number_of_videos=1,
            duration_seconds=8,
            aspect_ratio="16:9",
            resolution="720p",
            person_generation="allow_adult",
            generate_audio=True,
            seed=7,
            negative_prompt="rain",
            last_frame=pictures.get("last_frame"),
            reference_images=references or None,
        ),
    )
    vertex.operations.get(made)
    ours, asked, theirs, asked_by_them = google.sent
    assert theirs.body == ours.body
    assert theirs.path == ours.path
    assert theirs.headers["authorization"] == ours.headers["authorization"]
    assert asked_by_them.path == asked.path
    assert asked.body == {"operationName": operation}
    assert asked_by_them.body == {"operationName": made.name}


def test_the_vendors_client_works_with_an_api_key_alone(google: FakeGoogle) -> None:
    google.looks = 0
    client = genai.Client(vertexai=True, api_key=KEY, http_options=options(google))
    made = client.models.generate_videos(
        model=VEO,
        source=types.GenerateVideosSource(prompt="…"),
        config=types.GenerateVideosConfig(duration_seconds=4),
    )
    path = f"/v1beta1/publishers/google/models/{VEO}:predictLongRunning"
    assert google.created()[0].path == path
    assert client.operations.get(made).done
