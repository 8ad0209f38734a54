"""When the enhancer works again: who keeps the template's words, and who gets real ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pipelines.documents.brief import Brief
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Plan
from pipelines.schema.storyboard import Storyboard
from tasks.enhance import enhance, plan_video
from tasks.stage_costs import StageCosts
from tests.pipelines.test_prompting import GOOD, OTHER, ScriptedEnhancer
from tests.support.planned import NamedBackend

BRIEF = Brief(prompt="a red fox in the snow", preset="demo", seconds=4)
SOURCES = {"template": ["template", "template"], "enhancer": ["llm", "llm"]}


class Bucket:
    """A bucket in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get_bytes(self, key: ObjectKey) -> bytes | None:
        return self.objects.get(key)

    def put_bytes(self, key: ObjectKey, data: bytes, _: str) -> None:
        self.objects[key] = data

    def put_if_absent(self, key: ObjectKey, data: bytes, _: str) -> bool:
        return self.objects.setdefault(key, data) == data

    def head(self, key: ObjectKey) -> str | None:
        return key if key in self.objects else None


class Writer(ScriptedEnhancer):
    """An enhancer that was never loaded, so that it lay nowhere."""

    placement = None
    notice = ""


class Run:
    """What the stage needs of a run's context."""

    def __init__(self, brief: Brief, store: Bucket, *answers: str) -> None:
        self.store, self.backend, self.costs = store, NamedBackend(brief.backend), StageCosts()
        self.writer = Writer(*answers)

    @contextmanager
    def enhancer(self) -> Iterator[Writer]:
        yield self.writer

    def upscale_spec(self) -> None:
        return None


def run(store: Bucket, *answers: str, brief: Brief = BRIEF) -> tuple[Storyboard, Plan]:
    """The storyboard of one run, whose enhancer answers so, and its plan."""
    context: Any = Run(brief, store, *answers)
    storyboard = enhance.fn(brief, context)
    return storyboard, plan_video.fn(brief, storyboard, context)


def sources(storyboard: Storyboard) -> list[str]:
    return [shot.source for shot in storyboard.shots]


@pytest.fixture
def store() -> Bucket:
    return Bucket()


@pytest.fixture
def begun(store: Bucket) -> tuple[Storyboard, Plan]:
    """A run without an enhancer that was killed after its first chunk."""
    storyboard, plan = run(store, "CRASH", "CRASH")
    assert sources(storyboard) == SOURCES["template"]
    store.objects[plan.chunks[0].key] = b"a clip"
    return storyboard, plan


def test_a_command_goes_on_with_the_words_of_the_chunks_that_it_has_made(
    store: Bucket, begun: tuple[Storyboard, Plan]
) -> None:
    storyboard, plan = run(store, GOOD, OTHER)
    assert storyboard.shots == begun[0].shots
    assert plan.content_id == begun[1].content_id


def test_the_same_brief_gets_real_words_once_that_film_is_published(
    store: Bucket, begun: tuple[Storyboard, Plan]
) -> None:
    store.objects[ObjectKey.manifest(begun[1].content_id)] = b"{}"
    storyboard, _ = run(store, GOOD, OTHER)
    assert sources(storyboard) == SOURCES["enhancer"]
    assert sources(run(store)[0]) == SOURCES["enhancer"]


def test_a_command_that_was_stopped_before_its_first_chunk_asks_again(store: Bucket) -> None:
    run(store, "CRASH", "CRASH")
    assert sources(run(store, GOOD, OTHER)[0]) == SOURCES["enhancer"]


def test_another_brief_of_the_same_words_asks_again(
    store: Bucket, begun: tuple[Storyboard, Plan]
) -> None:
    longer = BRIEF.model_copy(update={"seconds": 6.0})
    assert sources(run(store, GOOD, OTHER, "CRASH", brief=longer)[0])[:2] == SOURCES["enhancer"]


def in_studio(monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    """As in a flow run that the flow run `root` of an editor has started."""
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "7")
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ROOT_FLOW_RUN_ID", root)


def test_each_attempt_of_an_editor_s_run_has_the_same_words(
    store: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those after a draft, which he has approved, and which has made no chunk."""
    in_studio(monkeypatch, "one")
    draft, _ = run(store, "CRASH", "CRASH")
    assert run(store, GOOD, OTHER)[0].shots == draft.shots
    in_studio(monkeypatch, "two")
    assert sources(run(store, GOOD, OTHER)[0]) == SOURCES["enhancer"]


def test_a_command_and_a_studio_do_not_share_the_template_s_words(
    store: Bucket, begun: tuple[Storyboard, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_studio(monkeypatch, "one")
    assert sources(run(store, GOOD, OTHER)[0]) == SOURCES["enhancer"]


def test_a_damaged_shot_is_written_again(store: Bucket) -> None:
    run(store, GOOD, OTHER)
    damaged = next(key for key in store.objects if key.startswith("shots/"))
    store.objects[damaged] = b"{"
    assert sources(run(store, GOOD)[0])[1] == "llm"


def test_what_the_template_wrote_is_logged(store: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    run(store, "CRASH", "no", "no", "no")
    assert "shot 1: the template stands in for the enhancer: the enhancer's process" in caplog.text
    assert "shot 2: the template stands in for the enhancer: 3 answers failed" in caplog.text
