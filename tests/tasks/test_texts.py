"""A text that the video model would cut is told before anything is made."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from infra.adapters.settings import Settings
from pipelines.backends.registry import definitions
from pipelines.backends.texts import TextLimit, counter_of, estimated
from pipelines.documents.brief import Brief
from pipelines.documents.stand_ins import stand_ins
from pipelines.schema.storyboard import Shot, Storyboard
from tasks.context import RunContext
from tasks.texts import token_counter, with_cut_texts
from tests.e2e.tiny_studio import install_tiny
from tests.support.planned import NamedBackend

LIMIT = TextLimit(512, "t2v-1.3B")
LONG = "fox " * 200
"""The tiny UMT5 has one token for each character and space."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    install_tiny(folder, "t2v-1.3B")
    return folder


@pytest.fixture
def settings(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tiny))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return Settings.load()


def board(*prompts: str) -> Storyboard:
    shots = tuple(
        Shot(number=number, camera="as written", prompt=prompt, source="editor")
        for number, prompt in enumerate(prompts, start=1)
    )
    return Storyboard(shots=shots, enhancer="none", written=0)


def checked(settings: Settings, storyboard: Storyboard, **values: object) -> Storyboard:
    given = {"prompt": "x", "preset": "video_fast", "enhance": False} | values
    brief = Brief.model_validate(given)
    with ExitStack() as stack:
        return with_cut_texts(storyboard, brief, RunContext(brief, settings, stack))


def test_the_models_own_tokenizer_counts_with_its_end_mark(tiny: Path) -> None:
    counter = counter_of(LIMIT, tiny / "t2v-1.3B")
    assert counter.exact
    assert counter.count("fox") == len("_fox") + 1
    assert counter.count(LONG) > 512, "it counts beyond the length at which the encoder cuts"
    assert counter.excess("fox") == ""
    assert counter.excess(LONG) == f"{counter.count(LONG)} tokens, and the video model reads 512"


def test_without_a_tokenizer_the_number_is_an_estimate(tmp_path: Path) -> None:
    damaged = tmp_path / "tokenizer"
    damaged.mkdir()
    (damaged / "tokenizer.json").write_text("{")
    for folder in (None, tmp_path / "none", tmp_path):
        counter = counter_of(TextLimit(5, "t2v-1.3B"), folder)
        assert not counter.exact
        assert counter.excess("one two three four five") == (
            "about 6 tokens, and the video model reads 5"
        )


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 1), ("a red fox", 4), ("unbelievable", 3), ("3 a.m.", 6), ("สุนัข", 6)],
)
def test_the_estimate_counts_words_marks_and_letters(text: str, tokens: int) -> None:
    assert estimated(text) == tokens


def test_each_shot_that_is_cut_is_named_once_with_its_remedy(settings: Settings) -> None:
    storyboard = checked(settings, board("a fox", LONG, LONG))
    (notice,) = storyboard.notices
    assert notice.startswith("shots 2, 3: the words and the style are 80")
    assert notice.endswith("the video model reads 512; their end is not shown: shorten them")
    assert stand_ins(None, storyboard) == (notice,), "it is a warning of the draft and the manifest"


def test_negative_words_that_are_cut_are_told_too(settings: Settings) -> None:
    (notice,) = checked(settings, board("a fox"), negative="blur " * 150).notices
    assert notice.startswith("the negative words are ")


def test_what_is_read_whole_is_left_alone(settings: Settings) -> None:
    storyboard = board("a fox", "a hen")
    assert checked(settings, storyboard) is storyboard


def test_a_backend_that_reads_everything_has_no_counter(settings: Settings) -> None:
    brief = Brief(prompt="x", preset="video_fast", enhance=False)
    with ExitStack() as stack:
        context = RunContext(brief, settings, stack)
        assert token_counter(context) is not None
        context.backend = NamedBackend(replace(brief.backend, text=None))
        assert token_counter(context) is None


def test_every_local_backend_says_how_much_it_reads_and_whose_tokenizer_counts() -> None:
    for definition in definitions().values():
        if definition.capabilities.location == "device":
            assert definition.text is not None
            assert definition.text.model in definition.models
