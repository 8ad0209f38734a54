"""Google's services against the fake: entries, requests, pictures and connections for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.adapters.remote.breaker import Breaker
from infra.adapters.remote.connection import HttpConnection
from pipelines.backends.base import Frame
from pipelines.backends.remote.google.config import OmniConfig, VeoConfig
from pipelines.backends.remote.google.omni import OmniService
from pipelines.backends.remote.google.veo import VeoService
from pipelines.schema.keys import Digest
from pipelines.schema.request import (
    ClipInput,
    ClipRequest,
    Continuation,
    FirstFrame,
    LastFrame,
    ReferenceImage,
    ReferenceVideo,
)
from pipelines.schema.sizes import Size
from tests.support.fake_google import PROJECT, FakeGoogle

OMNI_KEY, VEO_TOKEN = "FAKE_OMNI_KEY", "FAKE_VEO_TOKEN"
"""Names of environment variables."""
JOB_KEY = "6f1ed002-ab5e-5f34-9c3f-6d1f7d1b7a11"
WIDE = Size(1280, 720)
FIRST, LAST = FirstFrame(picture=Digest("a" * 64)), LastFrame(picture=Digest("b" * 64))


class Pictures:
    """An InputMedia: every upload is one colour, given by its digest."""

    def picture(self, digest: Digest, size: Size, *, whole: bool = False) -> Frame:
        colour = (int(digest[:2], 16), 200 if whole else 20, 90)
        return np.full((size.height, size.width, 3), colour, np.uint8)

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        raise AssertionError("Google's models continue nothing")

    def video(self, given: ReferenceVideo, size: Size, fps: int, frames: int) -> Sequence[Frame]:
        raise AssertionError("Google's models are given no videos")


def reference(letter: str) -> ReferenceImage:
    return ReferenceImage(picture=Digest(letter * 64))


def request(
    *inputs: ClipInput,
    seconds: int = 4,
    size: Size = WIDE,
    negative: str = "",
    **changes: Any,
) -> ClipRequest:
    return ClipRequest(
        prompt="A fox runs to the left.",
        negative=negative,
        size=size,
        fps=24,
        frames=24 * seconds,
        seed=2**40 + 7,
        inputs=inputs,
        **changes,
    )


def omni_config(google: FakeGoogle, **changes: Any) -> OmniConfig:
    given = {
        "name": "omni",
        "kind": "google-omni",
        "address": google.url,
        "key": f"env:{OMNI_KEY}",
        "job_seconds": 20,  # the tests do not pause between questions
    }
    return OmniConfig.model_validate({**given, **changes})


def veo_config(google: FakeGoogle, **changes: Any) -> VeoConfig:
    given = {
        "name": "veo-fast",
        "kind": "google-veo",
        "address": google.url,
        "key": f"env:{VEO_TOKEN}",
        "project": PROJECT,
        "job_seconds": 20,
    }
    return VeoConfig.model_validate({**given, **changes})


def omni_service(google: FakeGoogle, **changes: Any) -> OmniService:
    config = omni_config(google, **changes)
    return OmniService(config, HttpConnection(config, breaker=Breaker(), pause=lambda _: None))


def veo_service(google: FakeGoogle, **changes: Any) -> VeoService:
    config = veo_config(google, **changes)
    return VeoService(config, HttpConnection(config, breaker=Breaker(), pause=lambda _: None))
