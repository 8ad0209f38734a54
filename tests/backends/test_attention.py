"""The choice of the attention function: the fastest one that agrees with torch's own.

Simulated without a GPU: candidates are functions that are right, wrong, broken, fast or slow.
"""

from collections.abc import Callable, Iterator, Mapping

import pytest
import torch

from pipelines.backends import attention, notes
from pipelines.backends.attention import Heads, choose_attention
from pipelines.backends.wan import denoiser
from pipelines.backends.wan.loading import Source
from pipelines.errors import GenerationError
from pipelines.schema.computation import Computation
from tests.backends.host import MemoryHost
from tests.backends.wan_models import (
    TinyModels,
    backend_of,
    clip_of,
    fresh_host,
    options_of,
    request_for,
    tiny_models,
)

__all__ = ["fresh_host", "tiny_models"]  # fixtures

HEADS = Heads(count=12, channels=128)
CUDA = torch.device("cuda")
RIGHT = torch.linspace(-1, 1, 64)


class Trial:
    """Functions by name, each with what it gives and its milliseconds."""

    def __init__(self, **functions: tuple[float | Exception, float]) -> None:
        self._functions = {"native": (0.0, 10.0), **functions}
        self._asked = ""
        self.expected = RIGHT

    def compute(self, name: str) -> torch.Tensor:
        self._asked = name
        error = self._functions[name][0]
        if isinstance(error, Exception):
            raise error
        return RIGHT * (1 + error)

    def milliseconds(self, work: Callable[[], object]) -> float:
        work()
        return self._functions[self._asked][1]


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_chosen", {})
    monkeypatch.setattr(attention, "_is_there", lambda _: True)


def choose(monkeypatch: pytest.MonkeyPatch, trial: Trial, wanted: str = "exact") -> str:
    monkeypatch.setattr(attention, "_trial", lambda *_: trial)
    return choose_attention(HEADS, CUDA, torch.bfloat16, wanted)  # type: ignore[arg-type]


def functions(**changes: tuple[float | Exception, float]) -> Trial:
    usual: dict[str, tuple[float | Exception, float]] = {
        "_native_cudnn": (0.002, 8.0),
        "_native_flash": (0.002, 9.0),
        "flash": (0.003, 9.0),
        "_flash_3": (0.003, 9.0),
        "sage": (0.04, 4.0),
    }
    return Trial(**{**usual, **changes})


def test_the_fastest_function_that_agrees_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, functions()) == "_native_cudnn"


@pytest.mark.parametrize(
    "error",
    [0.02, float("nan"), RuntimeError("no kernel for this card"), ImportError("no module")],
    ids=str,
)
def test_one_that_is_wrong_or_does_not_work_is_passed_over(
    error: float | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert choose(monkeypatch, functions(_flash_3=(error, 1.0))) == "_native_cudnn"


def test_a_gain_within_the_noise_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = dict.fromkeys(("_native_cudnn", "_native_flash", "flash", "_flash_3"), (0.002, 9.6))
    assert choose(monkeypatch, functions(**slow)) == "native"


def test_8_bits_are_used_only_where_the_preset_allows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(monkeypatch, functions(), "fast") == "sage"
    assert choose(monkeypatch, functions()) == "_native_cudnn"


def test_8_bits_that_are_further_off_than_rounding_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose(monkeypatch, functions(sage=(0.2, 1.0)), "fast") == "_native_cudnn"


def test_a_function_that_breaks_the_device_is_named_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(GenerationError, match=r"_flash_3 broke the device .*uninstall"):
        choose(monkeypatch, functions(_flash_3=(broken, 1.0)))


def test_without_memory_for_the_trial_torch_chooses_and_the_next_clip_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = functions(_native_cudnn=(torch.OutOfMemoryError("CUDA out of memory"), 1.0))
    assert choose(monkeypatch, full) == "native"
    assert choose(monkeypatch, functions()) == "_native_cudnn"


def test_the_choice_is_made_once_for_each_kind_of_attention(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert choose(monkeypatch, functions()) == "_native_cudnn"
    monkeypatch.setattr(attention, "_trial", lambda *_: pytest.fail("tried again"))
    assert choose_attention(HEADS, CUDA, torch.bfloat16) == "_native_cudnn"


@pytest.mark.parametrize(("device", "dtype"), [("cpu", torch.bfloat16), ("cuda", torch.float32)])
def test_on_a_cpu_and_in_float32_torch_chooses(device: str, dtype: torch.dtype) -> None:
    assert choose_attention(HEADS, torch.device(device), dtype, "fast") == "native"


def test_packages_that_are_absent_are_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_is_there", lambda package: not package)
    assert list(attention._candidates("fast")) == ["_native_cudnn", "_native_flash"]


def test_the_trial_computes_what_diffusers_functions_give_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "_TOKENS", 64)
    monkeypatch.setattr(attention, "_TEXT_TOKENS", 16)
    trial = attention._trial(Heads(2, 8), torch.device("cpu"), torch.float32)
    assert attention._error("_native_math", trial) == pytest.approx(0, abs=1e-5)
    assert attention._error("sage", trial) is None


def test_a_function_is_set_for_one_model_alone(tiny_models: TinyModels) -> None:
    from diffusers.models.attention_dispatch import AttentionBackendName

    from pipelines.backends.attention import use_attention
    from pipelines.backends.wan.denoiser import WanDenoiser

    source = Source(tiny_models["t2v-14B"], "text", dtype="float32")
    cpu = torch.device("cpu")
    with WanDenoiser(source, cpu) as one, WanDenoiser(source, cpu) as other:
        use_attention(one._pipeline.transformer, "_native_math")
        assert used(one) == {AttentionBackendName._NATIVE_MATH}
        assert used(other) == {None}


def test_a_clip_says_which_function_made_it(
    fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, request = backend_of("wan-t2v-14b", fresh_host), request_for("wan-t2v-14b")
    for name in ("_native_math", "native"):
        monkeypatch.setattr(denoiser, "choose_attention", lambda *_, name=name: name)
        made = clip_of(backend, request).computation
        assert made == Computation(attention=name, compiled=False)


def used(loaded: object) -> set[object]:
    transformer = loaded._pipeline.transformer  # type: ignore[attr-defined]
    return {block.attn1.processor._attention_backend for block in transformer.blocks}


@pytest.fixture
def on_card(fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryHost]:
    """A host with a GPU that computes in bfloat16, and SageAttention."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA GeForce RTX 5090")
    monkeypatch.setattr(attention, "find_spec", lambda _: object())
    fresh_host.device, fresh_host.dtype = "cuda", "bfloat16"
    yield fresh_host
    fresh_host.device = "cpu"


def identity(host: MemoryHost, kind: str) -> Mapping[str, str]:
    return backend_of("wan-t2v-14b", host).identity(options_of("wan-t2v-14b", attention=kind))


@pytest.mark.parametrize(
    ("sage", "used"),
    [
        ((0.04, 4.0), True),
        ((0.2, 1.0), False),  # wrong
        ((RuntimeError("no kernel for this card"), 1.0), False),
        ((0.04, 9.9), False),  # right, but slower than one in 16 bits
    ],
)
def test_8_bit_attention_is_in_the_identity_only_where_it_is_used(
    sage: tuple[float | Exception, float],
    *,
    used: bool,
    on_card: MemoryHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials: list[tuple[object, ...]] = []

    def trial(*given: object) -> Trial:
        trials.append(given)
        return functions(sage=sage)

    monkeypatch.setattr(attention, "_trial", trial)
    plain = identity(on_card, "exact")
    assert trials == []  # no preset waits for a test that its pixels do not hang on
    assert identity(on_card, "fast") == (plain | {"attention": "8 bits"} if used else plain)
    heads = trials[0][0]
    assert heads == Heads(2, 12)
    # The model is then loaded with what the identity says.
    chosen = choose_attention(heads, CUDA, torch.bfloat16, "fast")
    assert (chosen == "sage") is used
    assert len(trials) == 1


def test_without_the_package_on_a_cpu_and_in_float32_an_identity_is_as_it_always_was(
    on_card: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_trial", lambda *_: pytest.fail("tried"))
    for changes in ({"device": "cpu"}, {"dtype": "float32"}):
        with monkeypatch.context() as patched:
            for name, value in changes.items():
                patched.setattr(on_card, name, value)
            assert identity(on_card, "fast") == identity(on_card, "exact")
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    assert identity(on_card, "fast") == identity(on_card, "exact")


def test_the_choice_for_8_bits_is_kept_for_later_processes_until_the_driver_changes(
    on_card: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noise of a timing must not throw finished chunks away."""

    def in_a_new_process(trial: Trial) -> bool:
        monkeypatch.setattr(attention, "_chosen", {})
        monkeypatch.setattr(attention, "_trial", lambda *_: trial)
        return "attention" in identity(on_card, "fast")

    assert in_a_new_process(functions())
    assert in_a_new_process(functions(sage=(0.04, 9.9)))
    monkeypatch.setattr(notes, "driver_version", lambda: "580.65.06")
    assert not in_a_new_process(functions(sage=(0.04, 9.9)))
    for file in (on_card.cache_folder / "attention").iterdir():
        file.write_text("half a fi", encoding="utf-8")
    assert in_a_new_process(functions())


def test_memory_that_runs_out_in_the_test_ends_with_a_remedy_and_no_guess(
    on_card: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = functions(sage=(torch.OutOfMemoryError("CUDA out of memory"), 1.0))
    monkeypatch.setattr(attention, "_trial", lambda *_: full)
    with pytest.raises(GenerationError, match=r"close other programs .* or choose a preset"):
        identity(on_card, "fast")
    monkeypatch.setattr(attention, "_trial", lambda *_: functions())
    assert "attention" in identity(on_card, "fast")
