"""A brief in another language: translated once, kept, and refused where nobody can translate."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.index import write_index
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError, EnhancerError
from pipelines.language import marian
from pipelines.language.marian import MarianTranslator
from pipelines.retention import Marks
from pipelines.schema.keys import ObjectKey
from pipelines.schema.translation import translation_digest
from tasks.context import check_surroundings
from tasks.enhance import enhance, plan_video
from tasks.stage_costs import StageCosts
from tasks.translate import models_for, translate_brief, why_not_translated
from tests.pipelines.test_language import Obedient
from tests.pipelines.test_prompting import GOOD, OTHER
from tests.support.planned import NamedBackend
from tests.support.published import film_of, manifest_of
from tests.tasks.test_enhance import Bucket, Writer
from tests.tiny.marian import PAIRS, write_marian

BALL, SQUARE, LIGHT = PAIRS
BRIEF = Brief(prompt=BALL, style=LIGHT, seconds=4)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marian")
    write_marian(folder, taught=True)
    return folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return Settings.load()


@pytest.fixture
def installed(settings: Settings, taught: Path) -> Settings:
    """A host with the translator for Thai."""
    folder = settings.paths.models / "translator-th"
    folder.parent.mkdir(parents=True)
    folder.symlink_to(taught)
    write_index(folder, "test", "1")
    return settings


def unasked(_: object) -> str:
    raise AssertionError("the language model was asked")


class Run:
    """What the stage needs of a run's context."""

    host = None

    def __init__(self, settings: Settings, store: Bucket, *answers: str) -> None:
        self.settings, self.store, self.host = settings, store, None
        self.backend, self.costs = NamedBackend(BRIEF.backend), StageCosts()
        self.writer = Writer(*answers)

    @contextmanager
    def enhancer(self) -> Iterator[Writer]:
        yield self.writer

    def upscale_spec(self) -> None:
        return None


def test_a_real_translation_model_translates_in_a_process_that_ends(taught: Path) -> None:
    translator = MarianTranslator(taught, "taught")
    assert translator.translate([BALL, LIGHT], "th") == [PAIRS[BALL], PAIRS[LIGHT]]
    damaged = MarianTranslator(taught.parent, "nothing")
    with pytest.raises(EnhancerError, match=r"the translator failed: .*Error"):
        damaged.translate([BALL], "th")


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same model without a process of its own, and what it was asked."""
    from pipelines.language.marian_child import translations

    asked: list[str] = []

    def translate(self: MarianTranslator, texts: list[str], _: str) -> list[str]:
        asked.extend(texts)
        return translations(str(self.folder), 1, texts)

    monkeypatch.setattr(marian.MarianTranslator, "translate", translate)
    return asked


def test_the_shots_of_a_thai_brief_are_written_from_its_translation(
    installed: Settings, in_process: list[str]
) -> None:
    store = Bucket()
    context: Any = Run(installed, store, GOOD, OTHER)
    storyboard = enhance.fn(BRIEF, context)
    told = storyboard.translation
    assert told is not None
    assert (told.language, told.original, told.english) == ("th", BALL, PAIRS[BALL])
    assert told.translator.startswith("OPUS-MT, Thai to English@")
    assert [(item.field, item.english) for item in told.others] == [("style", "warm light")]
    for shot in storyboard.shots:
        assert "A red ball moves right" in shot.prompt
        assert shot.prompt.endswith(". warm light")
        assert shot.source == "llm"


def test_a_translation_is_found_again_and_changes_no_seed(
    installed: Settings, in_process: list[str]
) -> None:
    store = Bucket()
    first: Any = Run(installed, store, GOOD, OTHER)
    storyboard = enhance.fn(BRIEF, first)
    again: Any = Run(installed, store)
    assert enhance.fn(BRIEF, again).shots == storyboard.shots
    assert in_process == [BALL, LIGHT]
    plan = plan_video.fn(BRIEF, storyboard, first)
    own: Any = Run(installed, store)
    as_written = BRIEF.model_copy(update={"language": "as-written"})
    other = plan_video.fn(as_written, enhance.fn(as_written, own), own)
    assert [chunk.spec.request.seed for chunk in plan.chunks] == [
        chunk.spec.request.seed for chunk in other.chunks
    ]
    assert plan.content_id != other.content_id
    assert {shot.source for shot in enhance.fn(as_written, own).shots} == {"brief"}


def test_the_tokens_of_the_english_words_are_counted(
    installed: Settings, in_process: list[str]
) -> None:
    store = Bucket()
    context: Any = Run(installed, store, *(GOOD, OTHER) * 2)
    told = enhance.fn(BRIEF, context).translation
    assert told is not None
    thai = "ผู้คนเดินผ่าน" * 100
    key = ObjectKey.shot(translation_digest(told.translator, "th", thai))
    store.put_bytes(key, json.dumps({"original": thai, "english": "people"}).encode(), "")
    brief = BRIEF.model_copy(update={"negative": thai})
    as_written = brief.model_copy(update={"language": "as-written"})
    assert "the negative words are" in " ".join(enhance.fn(as_written, context).notices)
    assert enhance.fn(brief, context).notices == ()


def test_a_translation_is_kept_as_long_as_its_video(
    installed: Settings, in_process: list[str]
) -> None:
    store = Bucket()
    context: Any = Run(installed, store, GOOD, OTHER)
    told = enhance.fn(BRIEF, context).translation
    assert told is not None
    keys = {f"shots/{digest}.json" for digest in told.digests}
    assert len(keys) == 2
    assert keys <= store.objects.keys()
    manifest = manifest_of(BRIEF, film_of(BRIEF), None)
    storyboard = manifest.storyboard.model_copy(update={"translation": told})
    marks = Marks()
    marks.add_manifest(manifest.model_copy(update={"storyboard": storyboard}))
    assert {bytes.fromhex(digest) for digest in told.digests} <= marks.used["shots"]


def test_a_damaged_translation_is_made_again(installed: Settings, in_process: list[str]) -> None:
    store = Bucket()
    context: Any = Run(installed, store)
    english = translate_brief(BRIEF, context, None)
    for key in store.objects:
        store.objects[key] = b"{"
    assert translate_brief(BRIEF, context, None) == english
    assert in_process == [BALL, LIGHT] * 2


def test_a_translation_that_fails_its_checks_is_refused(
    installed: Settings, in_process: list[str]
) -> None:
    context: Any = Run(installed, Bucket())
    numbered = BRIEF.model_copy(update={"prompt": f"{BALL} 7 ลูก"})
    with pytest.raises(BriefError, match=r"in Thai.*the number 7 is lost.*'as-written'"):
        translate_brief(numbered, context, None)


def test_one_new_text_is_translated_alone(installed: Settings, in_process: list[str]) -> None:
    context: Any = Run(installed, Bucket())
    shots = [{"prompt": BALL}, {"prompt": SQUARE}]
    brief = Brief.model_validate({"prompt": "a ball", "seconds": 4, "storyboard": shots})
    translate_brief(brief, context, None)
    changed = brief.model_copy(update={"style": LIGHT})
    told = translate_brief(changed, context, None)
    assert in_process == [BALL, SQUARE, LIGHT]
    assert told.brief.style == PAIRS[LIGHT]
    assert [shot.prompt for shot in told.brief.storyboard] == [PAIRS[BALL], PAIRS[SQUARE]]


def test_equal_texts_are_translated_once(installed: Settings, in_process: list[str]) -> None:
    context: Any = Run(installed, Bucket())
    shots = [{"prompt": BALL}, {"prompt": SQUARE}, {"prompt": BALL}]
    brief = Brief.model_validate({"prompt": "a ball", "seconds": 6, "storyboard": shots})
    translate_brief(brief, context, None)
    assert in_process == [BALL, SQUARE]


def test_the_texts_that_pass_are_kept_when_another_one_fails(
    installed: Settings, in_process: list[str]
) -> None:
    context: Any = Run(installed, Bucket())
    numbered = BRIEF.model_copy(update={"prompt": f"{BALL} 7 ลูก"})
    for _ in range(2):
        with pytest.raises(BriefError, match="the number 7 is lost"):
            translate_brief(numbered, context, None)
    assert in_process.count(LIGHT) == 1


def test_who_translated_a_whole_brief_before_goes_before_a_better_model(
    installed: Settings, in_process: list[str]
) -> None:
    """Its chunks were made of those words."""
    store = Bucket()
    context: Any = Run(installed, store)
    translate_brief(Brief(prompt=LIGHT), context, None)
    writer = Obedient(unasked)
    for text, english in ((BALL, "one ball"), (LIGHT, "a warm light")):
        key = ObjectKey.shot(translation_digest(writer.name, "th", text))
        store.put_bytes(key, json.dumps({"original": text, "english": english}).encode(), "")
    told = translate_brief(BRIEF, context, writer)
    assert (told.brief.prompt, told.brief.style) == ("one ball", "a warm light")
    assert in_process == [LIGHT]


def test_a_limit_that_is_too_short_is_said_with_its_setting(
    installed: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows with the number of texts."""
    monkeypatch.setenv(marian.SETTING, "0.001")
    context: Any = Run(Settings.load(), Bucket())
    with pytest.raises(
        BriefError, match=r"within 0\.003 s.*each of 2 texts; .*raise REELWRIGHT_LLM"
    ):
        translate_brief(BRIEF, context, None)


def test_a_brief_that_nobody_can_translate_is_refused_before_anything_starts(
    settings: Settings,
) -> None:
    reason = why_not_translated(BRIEF, settings)
    assert "words in Thai" in reason
    assert "reelwright models download translator-th" in reason
    assert "'as-written'" in reason
    with pytest.raises(BriefError, match="translator-th"):
        check_surroundings(BRIEF, settings)
    assert why_not_translated(BRIEF.model_copy(update={"language": "as-written"}), settings) == ""
    assert why_not_translated(Brief(prompt="a red ball moves right"), settings) == ""


def test_a_translator_of_the_gpu_host_is_enough(settings: Settings, installed: Settings) -> None:
    assert why_not_translated(BRIEF, installed) == ""
    for other in ("translator-th", "translator-mul"):
        assert why_not_translated(BRIEF, settings, {other}) == ""


@pytest.mark.parametrize(
    ("preset", "changes", "can"),
    [
        ("video_fast", {}, True),
        ("demo", {}, False),
        ("auto", {}, True),
        ("video_fast", {"enhance": False}, False),
        ("video_fast", {"storyboard": [{"prompt": BALL}]}, False),
        ("video_fast", {"storyboard": [{"prompt": BALL, "wish": "closer"}]}, True),
        ("video_fast", {"enhance": False, "shots": [{"shot": 1, "wish": "closer"}]}, True),
    ],
)
def test_only_a_language_model_that_follows_instructions_may_translate(
    settings: Settings, preset: str, changes: dict[str, Any], can: bool
) -> None:
    """Of the demo set it is Gemma 270M, which does not; and it must be loaded for the shots."""
    brief = Brief.model_validate({"prompt": BALL, "preset": preset} | changes)
    reason = why_not_translated(brief, settings, {"mistral-7b", "gemma-3-270m"})
    assert (reason == "") == can


def test_every_language_has_a_translator_to_install() -> None:
    assert models_for("th") == ("translator-th", "translator-mul")
    assert models_for("de") == ("translator-mul",)
    assert all(MODELS[name].role == "translator" for name in models_for("ja"))
