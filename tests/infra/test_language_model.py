"""Settings of the language model, and what `doctor` and the manifest say about its place."""

import math
import os
import shutil
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from infra.adapters.settings import Settings
from infra.adapters.weights.index import write_index
from infra.apps import doctor_llama
from infra.apps.doctor_llama import examine_llama
from pipelines import processes
from pipelines.documents.brief import Brief
from pipelines.errors import EnhancerError, SettingsError, WeightsError
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.prompting.placement import Placement
from pipelines.prompting.tiny_model import write_tiny_mistral
from pipelines.publishing import make_manifest
from tasks.context import RunContext
from tasks.language_model import llama_options, with_placement
from tests.support.published import film_of

MISTRAL = "mistral-7b-instruct-v0.2.Q4_K_M.gguf"
ON_GPU = Placement({"CUDA0": 33}, {"CUDA0": 4_000_000_000}, {"CUDA0": "a card"}, True, 2.0)
ON_CPU = Placement({"CPU": 33}, {"CPU": 4_000_000_000}, {}, False, 2.0)


def settings(monkeypatch: pytest.MonkeyPatch, **values: object) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"REELWRIGHT_{name}", str(value))
    return Settings.load()


def test_a_storyboard_has_ten_minutes_or_what_the_settings_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [llama_options(settings(monkeypatch).llm, 4096, "cpu").storyboard_timeout]
    for value in (90, 0):
        llm = settings(monkeypatch, LLM_STORYBOARD_TIMEOUT=value).llm
        found.append(llama_options(llm, 4096, "cpu").storyboard_timeout)
    assert found == [600, 90, math.inf]


def test_every_setting_reaches_llama_cpp(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "LLM_GPU_LAYERS": 20,
        "LLM_CONTEXT": 8192,
        "LLM_BATCH": 1024,
        "LLM_KV_CACHE": "q8_0",
        "LLM_THREADS": 3,
        "LLM_PROMPT_THREADS": 5,
        "LLM_TEMPERATURE": 0.5,
        "LLM_PROMPT_CACHE": "false",
        "LLM_STRATEGY": "direct",
    }
    options = llama_options(settings(monkeypatch, **values).llm, 4096, "cuda")
    assert (options.temperature, options.prompt_cache, options.strategy) == (0.5, False, "direct")
    assert options.arguments == {
        "n_gpu_layers": 20,
        "n_ctx": 8192,
        "n_batch": 1024,
        "n_ubatch": 1024,
        "use_mmap": True,
        "flash_attn": True,
        "type_k": 8,
        "type_v": 8,
        "n_threads": 3,
        "n_threads_batch": 5,
    }


def test_without_layers_on_a_gpu_the_file_is_read_and_not_mapped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for layers, maps in ((0, False), (-1, True), (20, True)):
        options = llama_options(settings(monkeypatch, LLM_GPU_LAYERS=layers).llm, 4096, "cuda")
        assert options.arguments["use_mmap"] is maps


def test_the_numbers_of_the_context_are_those_of_llama_cpp() -> None:
    import llama_cpp

    for name, number in (("f16", "F16"), ("q8_0", "Q8_0"), ("q4_0", "Q4_0")):
        arguments = LlamaOptions(kv_cache=name).arguments
        assert arguments["type_k"] == getattr(llama_cpp, f"GGML_TYPE_{number}")


def test_by_default_all_layers_go_to_a_gpu_and_none_to_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    llm = settings(monkeypatch).llm
    assert llama_options(llm, 4096, "cuda").gpu_layers == -1
    assert llama_options(llm, 4096, "cpu").gpu_layers == 0
    assert llama_options(llm, 4096, "cpu").context == 4096
    assert llama_options(llm, 4096, "cpu").temperature is None


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("LLM_CONTEXT", 100, "need 1024 tokens"),
        ("LLM_CONTEXT", -1, "greater than or equal to 0"),
        ("LLM_GPU_LAYERS", -2, "greater than or equal to -1"),
        ("LLM_BATCH", 8, "greater than or equal to 32"),
        ("LLM_KV_CACHE", "q5", "q4_0"),
        ("LLM_PROMPT_THREADS", -1, "greater than or equal to 0"),
        ("LLM_TEMPERATURE", -0.5, "from 0 to 2, or -1"),
        ("LLM_STRATEGY", "both", "'complete' or 'direct'"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, rule: str
) -> None:
    with pytest.raises(SettingsError, match=f"REELWRIGHT_{name}={value}: .*{rule}"):
        settings(monkeypatch, **{name: value})


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings over a folder in which a tiny Mistral is installed; no GPU is seen."""
    folder = tmp_path / "mistral-7b"
    folder.mkdir()
    write_tiny_mistral(folder / MISTRAL)
    write_index(folder, "test", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return settings(monkeypatch, MODELS_DIR=tmp_path, DEVICE="cpu")


def test_a_model_without_layers_on_the_gpu_does_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp would compute prompts with it."""
    started: list[dict[str, str] | None] = []

    def start(_: object, *, env: dict[str, str] | None, **__: object) -> None:
        started.append(env)
        raise OSError("not started")

    monkeypatch.setattr(processes, "start_child", start)
    for layers in (0, 20, -1):
        enhancer = LlamaEnhancer(Path("x.gguf"), "x", "instruct", LlamaOptions(gpu_layers=layers))
        with pytest.raises(OSError, match="not started"):
            enhancer.load()
    hidden, *others = started
    assert hidden == os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    assert others == [None, None]


def test_without_a_gpu_a_model_on_the_cpu_is_a_fact(studio: Settings) -> None:
    assert examine_llama(studio).startswith(
        "Mistral-7B-Instruct-v0.2, Q4_K_M: 3 of 3 layers on CPU"
    )


def test_beside_a_gpu_a_model_on_the_cpu_is_a_fault_unless_it_is_wanted_there(
    studio: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_llama, "device_name", lambda _: "cuda")
    with pytest.raises(SettingsError, match=r"there is a GPU, but .*run: make studio"):
        examine_llama(studio)
    assert "layers on CPU" in examine_llama(settings(monkeypatch, LLM_GPU_LAYERS=0))


def test_a_tiny_model_shows_the_build_where_none_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = examine_llama(settings(monkeypatch, MODELS_DIR=tmp_path, DEVICE="cpu"))
    assert said.startswith("a tiny one: 3 of 3 layers on CPU")
    assert said.endswith("no language model is installed")


TEMPLATE = "{{ messages[0].content }}"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """An instruct model of the operator's own."""
    path = tmp_path / "my-writer.gguf"
    write_tiny_mistral(path, template=TEMPLATE)
    return path


def context_of(settings: Settings, stack: ExitStack) -> RunContext:
    return RunContext(Brief(prompt="a red fox"), settings, stack)


@pytest.mark.parametrize(
    ("kind", "template", "strategy"),
    [
        ("auto", TEMPLATE, "direct"),
        ("auto", "", "complete"),
        ("completion", TEMPLATE, "complete"),
        ("instruct", "", "direct"),
    ],
)
def test_a_language_model_of_the_operators_own_is_used_in_place_of_the_sets(
    models: Path,
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    template: str,
    strategy: str,
) -> None:
    write_tiny_mistral(own, template=template)
    shutil.rmtree(models / "gemma-3-270m")
    mine = settings(monkeypatch, MODELS_DIR=models, DEVICE="cpu", LLM_FILE=own, LLM_KIND=kind)
    with ExitStack() as stack:
        context = context_of(mine, stack)
        with context.enhancer() as writer:
            assert writer is not None
            assert writer.strategy == strategy
            assert writer.name.startswith("my-writer@")
            assert writer.context == 4096
        (record, *_) = context.model_records(enhanced=True)
    assert (record.name, record.licence) == ("my-writer", "of your own")
    assert record.components == {"file": sha256(own.read_bytes()).hexdigest()}


def test_a_file_of_ones_own_that_is_not_there_is_refused_at_once(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = settings(monkeypatch, MODELS_DIR=models, DEVICE="cpu", LLM_FILE="/none.gguf")
    with (
        ExitStack() as stack,
        pytest.raises(
            WeightsError, match=r"REELWRIGHT_LLM_FILE=/none\.gguf: there is no such file"
        ),
    ):
        context_of(mine, stack)


def test_a_file_of_ones_own_that_is_no_gguf_is_refused_when_its_kind_is_asked_for(
    models: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.write_bytes(b"<html>")
    mine = settings(monkeypatch, MODELS_DIR=models, DEVICE="cpu", LLM_FILE=own)
    with (
        ExitStack() as stack,
        pytest.raises(WeightsError, match=r"cannot be read as a GGUF file.*name another one"),
        context_of(mine, stack).enhancer(),
    ):
        pass


def test_the_doctor_loads_a_model_of_ones_own(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = settings(monkeypatch, DEVICE="cpu", LLM_FILE=own, MODELS_DIR=own.parent)
    assert examine_llama(mine).startswith("my-writer: 3 of 3 layers on CPU")


def refusing(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads of the installed model fail with `error`, those of the tiny one go to a GPU."""

    def load(subject: doctor_llama._Subject, _: LlamaOptions) -> Placement:
        if subject.name:
            raise EnhancerError(f"the enhancer's model does not load: {error}")
        return ON_GPU

    monkeypatch.setattr(doctor_llama, "_load", load)
    monkeypatch.setattr(doctor_llama, "device_name", lambda _: "cuda")


def test_a_full_card_is_no_fault_of_the_build(
    studio: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing("allocating 4095.05 MiB on device 0: cudaMalloc failed: out of memory", monkeypatch)
    said = examine_llama(studio)
    assert said.startswith("a tiny one: 33 of 33 layers on CUDA0 (a card, 4,000 MB)")
    assert "no memory for Mistral-7B-Instruct-v0.2" in said


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("invalid magic characters", "reelwright models download mistral-7b"),
        ("libcudart.so.13: cannot open shared object file", "make studio"),
    ],
)
def test_a_model_that_does_not_load_is_a_fault_with_a_remedy(
    studio: Settings, monkeypatch: pytest.MonkeyPatch, error: str, remedy: str
) -> None:
    refusing(error, monkeypatch)
    with pytest.raises(SettingsError, match=f"{error}.*{remedy}"):
        examine_llama(studio)


@pytest.mark.parametrize(("placement", "count"), [(ON_CPU, 1), (ON_GPU, 0)])
def test_a_video_whose_words_came_from_the_cpu_beside_a_gpu_warns_of_it(
    placement: Placement, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, which is the run's page too, and in the manifest."""
    brief = Brief(prompt="a red fox")
    film = film_of(brief)
    llama = LlamaEnhancer(Path("none"), "m", "instruct", LlamaOptions(gpu_layers=-1))
    llama.placement = placement
    with caplog.at_level("INFO", logger="reelwright.enhance"):
        storyboard = with_placement(film.storyboard, llama)
    manifest = make_manifest(brief, film.model_copy(update={"storyboard": storyboard}), "bucket")
    warnings = [text for text in manifest.warnings if "CPU beside a GPU" in text]
    assert len(warnings) == count
    assert [record.message for record in caplog.records][1:] == warnings
    assert "33 of 33 layers" in caplog.text
