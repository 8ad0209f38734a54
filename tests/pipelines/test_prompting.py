"""The enhancer helps if it can, and can never hurt: real GGUFs in a real child process."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import processes
from pipelines.documents.brief import Brief
from pipelines.errors import EnhancerError
from pipelines.planning.plan import seed_of
from pipelines.prompting.complete import ATTEMPTS
from pipelines.prompting.gates import fault_of
from pipelines.prompting.llama import (
    LlamaEnhancer,
    LlamaOptions,
    PromptEnhancer,
    ShotRequest,
)
from pipelines.prompting.storyboard import write_storyboard
from pipelines.prompting.tiny_model import write_tiny_mistral
from pipelines.schema.keys import Digest
from pipelines.schema.storyboard import Storyboard
from tests.support.installed import folder_of

REQUEST = ShotRequest("a red fox in the snow", "Wide shot", "A red fox in the snow", 7)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny_mistral(path)
    return path


@pytest.fixture
def gibberish(tiny: Path) -> Iterator[LlamaEnhancer]:
    with LlamaEnhancer(tiny, "tiny", "instruct", LlamaOptions()) as enhancer:
        yield enhancer


@pytest.fixture(scope="module")
def gemma(demo_models: Path) -> Iterator[LlamaEnhancer]:
    path = folder_of(demo_models, "gemma-3-270m") / "model.gguf"
    with LlamaEnhancer(path, "gemma", "completion", LlamaOptions()) as enhancer:
        yield enhancer


class ScriptedEnhancer:
    """A stand-in that answers from a list: what the gates do must not depend on a model."""

    name = "scripted"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.requests: list[ShotRequest] = []

    def words(self, request: ShotRequest) -> str:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if answer == "CRASH":
            raise EnhancerError("the enhancer's process died")
        return answer


def write(
    enhancer: PromptEnhancer | None,
    count: int = 1,
    kept: dict[Digest, Any] | None = None,
    run: str = "a run",
    **values: object,
) -> Storyboard:
    brief = Brief.model_validate({"prompt": "a red fox in the snow"} | values)
    kept = {} if kept is None else kept
    return write_storyboard(
        brief, ["cut"] * count, seed_of(brief), enhancer, kept.get, kept.__setitem__, lambda: run
    )


GOOD = "its breath drifting in the cold light of morning."
OTHER = "paws sinking deep while branches shed soft powder behind it."


def test_a_good_sentence_stands_behind_the_briefs_own_words() -> None:
    (shot,) = write(ScriptedEnhancer(GOOD)).shots
    assert shot.prompt == f"Wide shot: A red fox in the snow, {GOOD}"
    assert shot.source == "llm"


def test_a_bad_sentence_is_asked_for_again_with_another_seed() -> None:
    enhancer = ScriptedEnhancer("Sure, here is your shot prompt: a fox.", GOOD)
    (shot,) = write(enhancer).shots
    assert (shot.source, shot.prompt.endswith(GOOD)) == ("llm-retry", True)
    assert enhancer.requests[0].seed != enhancer.requests[1].seed


def test_after_the_last_bad_sentence_the_template_stands_and_says_why() -> None:
    (shot,) = write(ScriptedEnhancer(*["no"] * ATTEMPTS)).shots
    assert (shot.source, shot.prompt) == ("template", "Wide shot: A red fox in the snow.")
    assert "1 words" in shot.note


def test_a_dead_enhancer_costs_words_never_the_run() -> None:
    board = write(ScriptedEnhancer("CRASH", "CRASH"), count=2)
    assert [shot.source for shot in board.shots] == ["template", "template"]
    assert "died" in board.shots[0].note


def test_shots_do_not_repeat_each_other() -> None:
    board = write(ScriptedEnhancer(GOOD, GOOD, OTHER), count=2)
    assert [shot.source for shot in board.shots] == ["llm", "llm-retry"]
    assert board.shots[0].camera != board.shots[1].camera


def test_kept_shots_are_found_again_also_by_a_longer_brief() -> None:
    kept: dict[Digest, Any] = {}
    first = write(ScriptedEnhancer(GOOD), kept=kept, seconds=2)
    again = write(ScriptedEnhancer(OTHER), count=2, kept=kept, seconds=4)
    assert again.shots[0] == first.shots[0]
    assert (first.written, again.written) == (1, 1)


def test_the_editors_words_replace_one_shot_and_leave_the_others() -> None:
    kept: dict[Digest, Any] = {}
    plain = write(ScriptedEnhancer(GOOD, OTHER), count=2, kept=kept)
    edited = write(
        ScriptedEnhancer(), count=2, kept=kept, shots=[{"shot": 1, "prompt": "a blue bird </s>"}]
    )
    assert (edited.shots[0].prompt, edited.shots[0].source) == ("a blue bird", "editor")
    assert edited.shots[1] == plain.shots[1]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"prompt": "สุนัขจิ้งจอกสีแดงวิ่งในหิมะ"}, "English only"),
        ({"prompt": "🦊❄️🌲"}, "English only"),
        ({"prompt": "fox " * 300}, "stand alone"),
        ({"enhance": False}, ""),
    ],
    ids=["thai", "emoji", "long", "off"],
)
def test_some_briefs_keep_their_own_words(values: dict[str, object], note: str) -> None:
    board = write(ScriptedEnhancer(), **values)
    (shot,) = board.shots
    assert shot.source == "brief"
    assert note in shot.note
    assert str(values.get("prompt", "a red fox")).strip() in shot.prompt
    assert board.enhancer == "none"


def test_style_follows_every_shot() -> None:
    board = write(ScriptedEnhancer(GOOD, OTHER), count=2, style="35 mm film")
    assert all(shot.prompt.endswith(". 35 mm film") for shot in board.shots)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (GOOD, ""),
        ("too short", "2 words"),
        (" ".join(["word"] * 70), "70 words"),
        ("the fox the fox the fox the fox the fox", "repeats itself"),
        ("หมาป่า หมาป่า หมาป่า หมาป่า running", "English letters"),
        ("as you wish, here is the sentence you asked for", "talks about the task"),
        ("beside the old lighthouse and its slow beam", "copied 'lighthouse'"),
        ("and its eyes are a deep blue", "says 'blue', which the brief does not"),
        ("under a rainbow over the wide hills", "says 'rainbow', which"),
        ("with lights of many colours on it", "says 'colours', which"),
    ],
)
def test_the_gates_name_the_fault(words: str, fault: str) -> None:
    found = fault_of(words, "a red fox", [])
    assert (fault in found) if fault else found == ""


def test_a_word_of_the_examples_may_stand_if_the_brief_has_it() -> None:
    assert fault_of("waves break at the lighthouse door", "a lighthouse", []) == ""


def test_the_small_real_model_writes_usable_shots(gemma: LlamaEnhancer) -> None:
    board = write(gemma, count=6)
    assert sum(shot.source.startswith("llm") for shot in board.shots) >= 4
    assert all("red fox in the snow" in shot.prompt for shot in board.shots)


def test_the_same_seed_gives_the_same_words_in_whatever_order(gemma: LlamaEnhancer) -> None:
    other = ShotRequest("a harbour at dawn", "Close-up", "A harbour at dawn", 3)
    first = gemma.words(REQUEST)
    gemma.words(other)
    assert gemma.words(REQUEST) == first


def test_gibberish_ends_in_the_template(gibberish: LlamaEnhancer) -> None:
    board = write(gibberish, count=2)
    assert [shot.source for shot in board.shots] == ["template", "template"]


def children() -> list[psutil.Process]:
    """Living children that hold the tiny model."""
    found = psutil.Process().children(recursive=True)
    living = [child for child in found if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "tiny.gguf" in str(child.cmdline())]


def test_a_killed_child_is_started_once_more(gibberish: LlamaEnhancer) -> None:
    before = gibberish.words(REQUEST)
    (child,) = children()
    child.kill()
    child.wait()
    assert gibberish.words(REQUEST) == before
    (child,) = children()
    child.kill()
    child.wait()
    with pytest.raises(EnhancerError, match=r"given up|died"):
        gibberish.words(REQUEST)


READY = json.dumps(
    {"ready": True, "has_cuda": False, "layers": {}, "sizes": {}, "devices": {}}
    | {"seconds": 0.0, "complaint": ""}
)
FAULTS = {
    "hangs": "import time; time.sleep(600)",
    "stops": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "dies of a signal": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "says nothing": "print('')",
    "no JSON": "print('not json')",
    "no object": "print('[1, 2]')",
    "no text": "print('{\"neither\": 1}')",
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_child_gone_wrong_is_an_error_and_then_a_template(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    ready = f"import sys; print({READY!r}, flush=True); sys.stdin.readline(); "
    start = processes.start_child
    started: list[subprocess.Popen[bytes]] = []

    def impostor(argv: list[str], **pipes: object) -> subprocess.Popen[bytes]:
        started.append(start([sys.executable, "-c", ready + fault], **pipes))
        return started[-1]

    monkeypatch.setattr(processes, "start_child", impostor)
    options = LlamaOptions(answer_timeout=0.5)
    with LlamaEnhancer(tiny, "tiny", "instruct", options) as enhancer, pytest.raises(EnhancerError):
        enhancer.words(REQUEST)
    with LlamaEnhancer(tiny, "tiny", "instruct", options) as enhancer:
        assert write(enhancer).shots[0].source == "template"
    assert all(process.poll() is not None for process in started)


def test_a_child_that_does_not_say_where_the_model_lies_is_an_error(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = processes.start_child
    argv = [sys.executable, "-c", "print('{\"ready\": true}', flush=True)"]
    monkeypatch.setattr(processes, "start_child", lambda _, **pipes: start(argv, **pipes))
    with (
        LlamaEnhancer(tiny, "tiny", "instruct", LlamaOptions()) as enhancer,
        pytest.raises(EnhancerError, match="left out 'layers'"),
    ):
        enhancer.load()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>", bytes(1000)])
def test_a_file_that_is_no_model_ends_in_the_template(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with LlamaEnhancer(path, "bad", "instruct", LlamaOptions()) as enhancer:
        (shot,) = write(enhancer).shots
    assert shot.source == "template"
    assert "does not load" in shot.note


def test_a_model_that_does_not_load_says_what_llama_cpp_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"<html>")
    with (
        LlamaEnhancer(path, "bad", "instruct", LlamaOptions()) as enhancer,
        pytest.raises(EnhancerError, match=r"does not load: .*\(.*magic"),
    ):
        enhancer.load()


def test_a_prompt_beyond_the_context_is_an_error_not_a_crash(tiny: Path) -> None:
    with (
        LlamaEnhancer(tiny, "tiny", "instruct", LlamaOptions(context=256)) as enhancer,
        pytest.raises(EnhancerError, match="no room"),
    ):
        enhancer.words(ShotRequest("fox " * 400, "Wide shot", "Fox", 0))


def test_the_child_dies_with_its_parent(tiny: Path) -> None:
    script = f"""
import sys, time
from pathlib import Path
from pipelines.prompting.llama import *
w = LlamaEnhancer(Path({str(tiny)!r}), "tiny", "instruct", LlamaOptions())
w.words(ShotRequest("fox", "Wide shot", "Fox", 0))
print(w.child_pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    with suppress(psutil.NoSuchProcess):  # it may go between the two questions
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the child outlived its parent"
            time.sleep(0.05)
