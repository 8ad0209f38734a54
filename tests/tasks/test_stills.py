"""Stills for an approval: also of a backend that makes clips only, and without its models here."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from examples.gradient_backend import GRADIENT, SILENT, GradientBackend, GradientSession
from flows.draft_storyboard import draft_storyboard
from infra.adapters.object_store import ObjectStore
from pipelines.backends.base import BackendDefinition, Effort, GeneratedClip, InputMedia, StepReport
from pipelines.backends.registry import registered
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.media.still import stack_png, unstack_png
from pipelines.retention import Marks
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest
from tasks.artifacts import describe_draft
from tests.backends.host import ArrayMedia
from tests.conftest import Cli

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


def test_a_draft_buys_no_clip_and_says_why_it_has_no_picture(
    cli: Cli, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paid(GradientBackend):
        def effort(self, requests: Sequence[ClipRequest]) -> Effort:
            found = super().effort(requests)
            return dataclasses.replace(found, price=Money.of("0.40") if requests else None)

        @contextmanager
        def open(self) -> Iterator[GradientSession]:
            raise AssertionError("a draft asks a paid service for nothing")
            yield

    can = SILENT.model_copy(update={"inputs": SILENT.inputs | {"first_frame"}})
    definition = dataclasses.replace(GRADIENT, capabilities=can, create=lambda *_: Paid(definition))
    with registered(definition):
        draft = drafted(cli, monkeypatch)
        given = drafted(cli, monkeypatch, image=uploaded(store, 1))
    assert [shot.still for shot in draft.shots] == [None, None]
    assert all(shot.prompt for shot in draft.shots)
    assert "is paid for each clip" in draft.without_stills
    assert draft.without_stills in describe_draft(draft)
    # The picture that a shot begins with is there, and costs nothing.
    assert [shot.still is None for shot in given.shots] == [False, True]
    marks = Marks()
    marks.add_draft(given)
    assert len(marks.used["stills"]) == 1


def shown(store: ObjectStore, key: ObjectKey) -> np.ndarray:
    data = store.get_bytes(key)
    assert data is not None
    return unstack_png(data, 1)[0]
