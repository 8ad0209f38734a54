"""What stood in for a model or the device is said in the manifest, on the page and by the
commands, each time in the same words."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import Artifact

import tasks.artifacts
from infra.adapters.weights.catalog import MODEL_SETS
from infra.apps.make import summary
from infra.apps.studio.status import Run, Status, warning_lines
from pipelines.backends.base import ENCODED_ON_CPU
from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import DeviceRecord, Film, Manifest
from pipelines.documents.stand_ins import stand_ins
from pipelines.publishing import make_manifest
from pipelines.schema.plan import Estimate
from pipelines.schema.storyboard import Shot, Storyboard
from tests.support.published import film_of

REASON = "torch finds no GPU: no NVIDIA driver is loaded (nvidia-smi)"
ON_CPU = f"made on the CPU, though its models are made for a GPU: {REASON}"
BY_TEMPLATE = "a template wrote 2 of 3 shots, in place of the language model: it gave no answer"
NO_GPU = DeviceRecord(kind="cpu", reason=REASON, for_gpu=True)


def storyboard(*sources: str) -> Storyboard:
    note = "the template stands in for the enhancer: it gave no answer"
    shots = [
        Shot.model_validate(
            {
                "number": number,
                "camera": "Wide shot",
                "prompt": "a fox",
                "source": source,
                "note": note if source == "template" else "",
            }
        )
        for number, source in enumerate(sources, start=1)
    ]
    return Storyboard(shots=tuple(shots), enhancer="mistral", written=len(shots))


def film_with(device: DeviceRecord | None, *sources: str) -> Film:
    film = film_of(Brief(prompt="a red fox", seconds=4))
    changes: dict[str, Any] = {"device": device}
    if sources:
        changes["storyboard"] = storyboard(*sources)
    return film.model_copy(update=changes)


def manifest_with(device: DeviceRecord | None, *sources: str) -> Manifest:
    return make_manifest(Brief(prompt="a red fox", seconds=4), film_with(device, *sources), "b")


@pytest.mark.parametrize(
    ("device", "sources", "lines"),
    [
        (None, (), ()),
        (DeviceRecord(kind="cuda", name="RTX 5090", for_gpu=True), ("llm", "llm"), ()),
        (
            DeviceRecord(kind="cuda", name="RTX 5090", notices=(ENCODED_ON_CPU,)),
            ("template", "llm", "template"),
            (BY_TEMPLATE, ENCODED_ON_CPU),
        ),
        (DeviceRecord(kind="remote"), ("brief",), ()),
        (DeviceRecord(kind="cpu", reason=REASON), ("llm",), ()),  # models made for a CPU
        (NO_GPU, ("llm-retry", "editor"), (ON_CPU,)),
        (None, ("template", "continued", "llm", "template"), (BY_TEMPLATE,)),
        (NO_GPU, ("template", "llm", "template"), (ON_CPU, BY_TEMPLATE)),
    ],
)
def test_there_is_a_line_for_each_thing_that_stood_in(
    device: DeviceRecord | None, sources: tuple[str, ...], lines: tuple[str, ...]
) -> None:
    assert stand_ins(device, storyboard(*sources) if sources else None) == lines


def test_a_template_s_shot_without_a_reason_has_a_line_too() -> None:
    board = storyboard("template")
    shot = board.shots[0].model_copy(update={"note": ""})
    assert stand_ins(None, board.model_copy(update={"shots": (shot,)})) == (
        "a template wrote 1 of 1 shots, in place of the language model",
    )


def test_the_sets_say_whether_they_need_a_gpu() -> None:
    assert {name: item.for_gpu for name, item in MODEL_SETS.items()} == {
        "demo": False,
        "studio": True,
    }


def test_the_manifest_has_the_device_and_the_lines_first() -> None:
    manifest = manifest_with(NO_GPU, "template", "llm", "template")
    assert manifest.warnings[:2] == (ON_CPU, BY_TEMPLATE)
    assert manifest.device == NO_GPU
    again = Manifest.model_validate_json(manifest.model_dump_json())
    assert again == manifest


def test_a_manifest_and_a_film_from_before_the_device_was_noted_are_read() -> None:
    for made in (manifest_with(NO_GPU), film_with(NO_GPU)):
        old = json.loads(made.model_dump_json())
        del old["device"]
        read = type(made).model_validate_json(json.dumps(old))
        assert read.device is None
        assert read.plan.content_id == made.plan.content_id


def test_the_device_is_no_part_of_an_identity() -> None:
    ids = {manifest_with(device).content_id for device in (None, NO_GPU)}
    assert len(ids) == 1


def test_make_prints_them_louder_than_its_notes() -> None:
    lines = summary(manifest_with(NO_GPU, "template", "llm", "template"), None).splitlines()
    assert f"WARNING   {ON_CPU}" in lines
    assert f"WARNING   {BY_TEMPLATE}" in lines
    assert any(line.startswith("note      shot 1: the template") for line in lines)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The markdown that is put on the page of a run in a studio."""
    shown: list[str] = []
    monkeypatch.setattr(tasks.artifacts, "deployment", SimpleNamespace(id="a deployment"))
    monkeypatch.setattr(tasks.artifacts, "create_table_artifact", lambda *_, **__: None)
    monkeypatch.setattr(tasks.artifacts, "_show_pictures", lambda *_: None)

    def create(text: str, *, key: str, description: str) -> None:
        assert (key, description) == ("warnings", "Warning")
        shown.append(text)

    monkeypatch.setattr(tasks.artifacts, "create_markdown_artifact", create)
    return shown


def test_the_page_of_a_run_says_it_when_the_shots_are_written(page: list[str]) -> None:
    film = film_with(NO_GPU, "llm", "template", "template")
    tasks.artifacts.show_storyboard(film.plan, storyboard("llm"))
    assert page == []
    tasks.artifacts.show_storyboard(film.plan, film.storyboard)
    assert page == [BY_TEMPLATE]


def test_the_page_of_the_brief_says_it_once_the_video_is_published(page: list[str]) -> None:
    tasks.artifacts.show_video(manifest_with(NO_GPU, "llm", "template", "template"))
    assert page == [f"{ON_CPU}\n\n{BY_TEMPLATE}"]


def test_who_approves_a_draft_reads_it(page: list[str]) -> None:
    estimate = Estimate(seconds=1, peak_memory_bytes=1, disk_bytes=1, basis="a test")
    draft = Draft(shots=(), estimate=estimate, warnings=(ON_CPU,))
    assert f"**Warning:** {ON_CPU}." in tasks.artifacts.describe_draft(draft)
    quiet = draft.model_copy(update={"warnings": ()})
    assert "Warning" not in tasks.artifacts.describe_draft(quiet)
    tasks.artifacts.show_stand_ins(draft.warnings)
    assert page == [ON_CPU]


def artifact(text: str) -> Artifact:
    return Artifact(key="warnings", type="markdown", data=text)


def test_status_has_each_line_once_with_the_newest_run() -> None:
    newest, older = artifact(f"{ON_CPU}\n\n{BY_TEMPLATE}"), artifact(ON_CPU)
    found = warning_lines([newest, older])
    assert found == {ON_CPU: newest, BY_TEMPLATE: newest}


def test_status_shows_them_to_people_and_programs() -> None:
    status = Status(warnings=[Run("jumping-fox", "Completed", ON_CPU)])
    assert status.as_text().splitlines()[-2:] == [
        "WARNINGS of the last day",
        f"  jumping-fox: {ON_CPU}",
    ]
    assert json.loads(status.as_json())["warnings"][0]["message"] == ON_CPU
    assert "WARNING" not in Status().as_text()


def test_outside_a_studio_nothing_is_put_on_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []  # an error would be logged, and not raised
    monkeypatch.setattr(
        tasks.artifacts, "create_markdown_artifact", lambda *given, **_: shown.append(given)
    )
    tasks.artifacts.show_stand_ins((ON_CPU,))
    assert shown == []
