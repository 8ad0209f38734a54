"""Which of diffusers' attention functions a transformer uses: the fastest one that is right here.

On CUDA every candidate that is installed computes one attention of the transformer's own shape.
One that fails, or differs from torch's `scaled_dot_product_attention` by more than rounding, is
passed over. The choice is made once for each process and shape. Candidates that compute in 16 bits
move pixels by rounding only, as versions of torch do, and are in no identity; those that compute
in 8 bits are taken only where a preset allows it (`attention: fast`). Then the choice is made
before the plan, because it is in the identity of the chunks, and it is kept on disk.
"""

import logging
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from pipelines.backends.base import Attention
from pipelines.backends.memory import is_device_error, is_out_of_memory
from pipelines.backends.notes import Notes, device_facts
from pipelines.errors import GenerationError

_log = logging.getLogger("reelwright.models")
NATIVE = "native"
"""torch's own choice among its functions."""
_EXACT = {
    "_native_cudnn": "",
    "_native_flash": "",
    "flash": "flash_attn",
    "_flash_3": "flash_attn_interface",
}
"""diffusers' names, and the package that each needs. Those that download code are left out."""
_FAST = {"sage": "sageattention"}
_TOLERANCE = 0.01
"""Largest relative error (Euclidean) of a candidate in 16 bits. bfloat16 keeps 8 bits, which is an
error of 0.004 at most in each number."""
_FAST_TOLERANCE = 0.1
"""The same in 8 bits. float8 (e4m3) keeps 4 bits, which is an error of 0.03 to 0.04 in the mean;
the limit leaves room for two such roundings and refuses what is wrong. Not measured on a GPU."""
_TOKENS = 8192
"""Tokens of the trial: large enough that a start costs nothing, and 25 MB a tensor in the 1.3B."""
_TEXT_TOKENS = 512
"""Tokens of the text, to which the clip's attend besides."""
_GAIN = 1.05
"""How much faster than torch's own choice a candidate must be: less is noise."""
_REPEATS = 5
_NARROW = (torch.bfloat16, torch.float16)
_chosen: dict[tuple[object, ...], str] = {}


@dataclass(frozen=True)
class Heads:
    """The attention of a transformer."""

    count: int
    channels: int
    """Of each head."""


def has_fast_attention(device: str) -> bool:
    """Whether a function that computes in 8 bits is installed and `device` could use it."""
    return device == "cuda" and any(find_spec(package) for package in _FAST.values())


def choose_attention(
    heads: Heads, device: torch.device, dtype: torch.dtype, attention: Attention = "exact"
) -> str:
    """diffusers' name of the function to use; `native` on a CPU and in float32.

    Raises GenerationError if a candidate left the device unusable.
    """
    if device.type != "cuda" or dtype not in _NARROW:
        return NATIVE
    key = _key(heads, device, dtype, attention)
    if key not in _chosen:
        try:
            _chosen[key] = _fastest(_candidates(attention), _trial(heads, device, dtype))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return NATIVE  # and another try for the next clip
        _log.info("attention: %s", _chosen[key])
    return _chosen[key]


def computes_in_8_bits(
    heads: Heads, device: torch.device, dtype: torch.dtype, folder: Path
) -> bool:
    """Whether a transformer whose preset allows it (`attention: fast`) computes in 8 bits here: if
    such a function is installed, passes its self-test and is the fastest one.

    `choose_attention` gives the function that was meant. The answer is kept in `folder` for this
    card, driver and these versions, so that the noise of a timing changes no identity. Raises
    GenerationError if memory ran out in the test, or if a candidate left the device unusable.
    """
    if not has_fast_attention(device.type) or dtype not in _NARROW:
        return False
    key = _key(heads, device, dtype, "fast")
    if key not in _chosen:
        packages = [item for item in (_EXACT | _FAST).values() if item]
        notes = Notes(folder / "attention", device_facts(packages))
        name = f"attention of {heads.count} heads x {heads.channels} in {dtype}"
        kept = notes.get(name)
        if kept in (NATIVE, *_candidates("fast")):
            _chosen[key] = str(kept)
        else:
            choose_attention(heads, device, dtype, "fast")
            if key not in _chosen:
                raise GenerationError(
                    "memory ran out in the self-test of attention in 8 bits, which must come "
                    "before the plan; close other programs that use the GPU, or choose a preset "
                    "with exact attention"
                )
            notes.put(name, _chosen[key])
    return _chosen[key] in _FAST


def _key(
    heads: Heads, device: torch.device, dtype: torch.dtype, attention: Attention
) -> tuple[object, ...]:
    return (heads, str(device), dtype, attention)


def use_attention(transformer: Any, name: str) -> None:
    """Let `transformer` use the function with diffusers' `name`, and no other model."""
    from diffusers.models.attention_dispatch import attention_backend

    # The model's method makes its choice that of all models; the context takes that back.
    with attention_backend(NATIVE):
        transformer.set_attention_backend(name)


@dataclass(frozen=True)
class _Trial:
    """One attention to compute, what it must give, and how long one takes."""

    compute: Callable[[str], torch.Tensor]
    expected: torch.Tensor
    """From torch's own choice."""
    milliseconds: Callable[[Callable[[], object]], float]


def _candidates(attention: Attention) -> dict[str, float]:
    """Those that are installed, each with its tolerance."""
    names = dict.fromkeys(_EXACT, _TOLERANCE)
    if attention == "fast":
        names |= dict.fromkeys(_FAST, _FAST_TOLERANCE)
    packages = _EXACT | _FAST
    return {name: limit for name, limit in names.items() if _is_there(packages[name])}


def _is_there(package: str) -> bool:
    return not package or find_spec(package) is not None


def _fastest(candidates: dict[str, float], trial: _Trial) -> str:
    best, best_time = NATIVE, trial.milliseconds(partial(trial.compute, NATIVE)) / _GAIN
    for name, limit in candidates.items():
        error = _error(name, trial)
        if error is None or not error <= limit:
            continue
        time = trial.milliseconds(partial(trial.compute, name))
        if time < best_time:
            best, best_time = name, time
    return best


def _error(name: str, trial: _Trial) -> float | None:
    """Relative error of the candidate `name`; None if it does not work here."""
    try:
        made = trial.compute(name).float()
    except Exception as error:
        if is_device_error(error):
            raise GenerationError(
                f"the attention function {name} broke the device in its self-test ({error}); "
                "uninstall the package that it comes from"
            ) from error
        if is_out_of_memory(error):
            raise
        _log.info("attention %s is not usable here: %s", name, error)
        return None
    expected = trial.expected.float()
    # NaN anywhere makes this NaN, which is within no limit.
    apart = float((made - expected).norm() / expected.norm())
    _log.info("attention %s differs from torch's by %.4f", name, apart)
    return apart


def _trial(heads: Heads, device: torch.device, dtype: torch.dtype) -> _Trial:
    from diffusers.models.attention_dispatch import dispatch_attention_fn

    random = torch.Generator("cpu").manual_seed(0)

    def tensor(tokens: int) -> torch.Tensor:
        shape = (1, tokens, heads.count, heads.channels)
        return torch.randn(shape, generator=random).to(device, dtype)

    query, key, value, text_key, text_value = map(
        tensor, (_TOKENS, _TOKENS, _TOKENS, _TEXT_TOKENS, _TEXT_TOKENS)
    )

    def compute(name: str) -> torch.Tensor:
        with torch.inference_mode():
            among = dispatch_attention_fn(query, key, value, backend=name)
            to_text = dispatch_attention_fn(query, text_key, text_value, backend=name)
            made = torch.cat((among, to_text))
        # A kernel that fails says so when the device is waited for.
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return made

    return _Trial(compute, compute(NATIVE), _milliseconds)


def _milliseconds(work: Callable[[], object]) -> float:
    """Median of a few calls on the current CUDA device, after one that is not counted."""
    work()
    times: list[float] = []
    for _ in range(_REPEATS):
        start: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)
