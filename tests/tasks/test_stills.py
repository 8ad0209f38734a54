"""Stills for an approval: also of a backend that makes clips only, and without its models here."""

import dataclasses
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from examples.gradient_backend import GRADIENT, SILENT, GradientBackend, GradientSession
from flows.draft_storyboard import draft_storyboard
from infra.adapters.object_store import ObjectStore
from pipelines.backends.base import BackendDefinition, GeneratedClip, InputMedia, StepReport
from pipelines.backends.registry import registered
from pipelines.backends.remote.config import RemoteConfig
from pipelines.backends.remote.driver import definition_of as remote_definition
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.media.ffmpeg import find_ffmpeg
from pipelines.media.still import stack_png, unstack_png
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.request import ClipRequest
from tests.backends.host import ArrayMedia
from tests.conftest import Cli
from tests.support.remote import Kills, World, kind_of

SHORTEST = 5


class Remembering(GradientSession):
    """The example's session; it remembers what it was asked for."""

    def __init__(self, definition: BackendDefinition, asked: list[ClipRequest]) -> None:
        super().__init__(definition)
        self._asked = asked

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        self._asked.append(request)
        return super().generate(request, media, on_step)


@pytest.fixture
def clips_only() -> Iterator[tuple[BackendDefinition, list[ClipRequest]]]:
    """A backend whose shortest clip has five frames, and what it was asked for."""
    asked: list[ClipRequest] = []

    class Backend(GradientBackend):
        @contextmanager
        def open(self) -> Iterator[Remembering]:
            yield Remembering(self.definition, asked)

    can = SILENT.model_copy(
        update={"min_frames": SHORTEST, "inputs": SILENT.inputs | {"first_frame", "last_frame"}}
    )
    definition = dataclasses.replace(
        GRADIENT, capabilities=can, create=lambda *_: Backend(definition)
    )
    with registered(definition):
        yield definition, asked


def drafted(cli: Cli, monkeypatch: pytest.MonkeyPatch, **values: object) -> Draft:
    """The draft of a brief of two shots, on a host whose folder of models is not there."""
    env = cli.env | {"REELWRIGHT_MODELS_DIR": str(cli.data / "nowhere")}
    for name, value in env.items():
        if name.startswith(("REELWRIGHT_", "PREFECT_")):
            monkeypatch.setenv(name, value)
    brief = {"prompt": "a red fox", "preset": "gradient", "enhance": False, "seconds": 4}
    with temporary_settings({PREFECT_API_URL: cli.env["PREFECT_API_URL"]}):
        return draft_storyboard(Brief.model_validate(brief | values))


def uploaded(store: ObjectStore, seed: int) -> ObjectKey:
    picture = np.random.default_rng(seed).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    data = stack_png([picture])
    key = ObjectKey.upload(Digest(hashlib.sha256(data).hexdigest()))
    store.put_bytes(key, data, "image/png")
    return key


def test_a_still_is_the_first_frame_of_the_shortest_clip(
    cli: Cli,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    clips_only: tuple[BackendDefinition, list[ClipRequest]],
) -> None:
    definition, asked = clips_only
    draft = drafted(cli, monkeypatch)
    assert [request.frames for request in asked] == [SHORTEST, SHORTEST]
    for shot, request in zip(draft.shots, list(asked), strict=True):
        again = GradientSession(definition).generate(request, ArrayMedia(), lambda *_: None)
        assert shot.still is not None
        assert np.array_equal(shown(store, shot.still.key), next(again.frames))
    assert drafted(cli, monkeypatch) == draft
    assert len(asked) == 2  # found, not made again


def test_a_still_shows_how_a_shot_begins_not_the_picture_that_it_ends_with(
    cli: Cli,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
    clips_only: tuple[BackendDefinition, list[ClipRequest]],
) -> None:
    _, asked = clips_only
    first, last = uploaded(store, 1), uploaded(store, 2)
    draft = drafted(cli, monkeypatch, image=first, last_image=last)
    assert [request.inputs for request in asked] == [()]  # of the second shot; the first is given
    data = store.get_bytes(first)
    assert data is not None
    assert draft.shots[0].still is not None
    assert np.array_equal(shown(store, draft.shots[0].still.key), unstack_png(data, 1)[0])
    plain = drafted(cli, monkeypatch)
    assert draft.shots[1].still == plain.shots[1].still


def test_no_still_is_bought_from_a_service_that_charges_for_each_clip(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft comes before anybody has approved anything."""
    world = World()
    config = RemoteConfig(name="far-away", kind="scripted", address="http://127.0.0.1:9")
    with registered(remote_definition(config, kind_of(world, Kills(), find_ffmpeg()))):
        draft = drafted(cli, monkeypatch, preset="far_away")
    assert [shot.still for shot in draft.shots] == [None, None]
    assert draft.warnings[-1].endswith("without a still, because Scripted charges for each clip")
    assert (world.jobs, world.records) == ({}, {})


def shown(store: ObjectStore, key: ObjectKey) -> np.ndarray:
    data = store.get_bytes(key)
    assert data is not None
    return unstack_png(data, 1)[0]
