"""What torch says when memory runs out or the device fails, and going on with less."""

import pytest
import torch

from pipelines.backends.memory import (
    Ladder,
    causes,
    is_device_error,
    is_out_of_memory,
    run_with_less,
)
from pipelines.errors import GenerationError


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (
            RuntimeError(
                "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"
            ),
            True,
        ),
        (RuntimeError("GET was unable to find an engine to execute this computation"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("unable to mmap 9 bytes from file <x>: Cannot allocate memory (12)"), True),
        (MemoryError(), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA out of memory"), False),
    ],
    ids=str,
)
def test_all_ways_to_say_that_memory_ran_out_are_known(error: Exception, ran_out: bool) -> None:
    assert is_out_of_memory(error) is ran_out


@pytest.mark.parametrize(
    ("error", "of_device"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), True),
        (torch.AcceleratorError("some words that no version used yet"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), True),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (torch.AcceleratorError("CUDA error: out of memory"), False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: as quoted in a brief"), False),
    ],
    ids=str,
)
def test_errors_of_the_device_are_told_from_those_of_memory_and_of_the_program(
    error: Exception, of_device: bool
) -> None:
    assert is_device_error(error) is of_device


def test_an_error_of_the_device_is_found_behind_the_error_that_users_see() -> None:
    def fail() -> None:
        try:
            raise torch.AcceleratorError("CUDA error: an illegal memory access")
        except torch.AcceleratorError as error:
            raise GenerationError("the chunk could not be made") from error

    with pytest.raises(GenerationError) as seen:
        fail()
    assert is_device_error(seen.value)
    # Errors can refer to each other in a ring.
    first, second = RuntimeError("first"), RuntimeError("second")
    first.__context__, second.__context__ = second, first
    assert not is_device_error(first)
    assert [str(item) for item in causes(first)] == ["first", "second"]


def test_what_the_failed_attempt_held_is_gone_before_the_next_one() -> None:
    import weakref

    held: list[weakref.ref[torch.Tensor]] = []

    def work() -> str:
        if held:
            return "done"
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def step_down() -> bool:
        assert held[0]() is None
        return True

    assert run_with_less(work, step_down, "") == "done"


def test_what_an_error_behind_the_failed_attempt_s_own_held_is_gone_too() -> None:
    """The compiler raises an error of its own from torch's."""
    import weakref

    held: list[weakref.ref[torch.Tensor]] = []

    def allocate() -> None:
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    def work() -> str:
        if held:
            # The next attempt needs the memory as much as the step down does.
            assert held[0]() is None
            return "done"
        try:
            allocate()
        except RuntimeError as error:
            raise RuntimeError(f"the compiler failed: {error}") from error
        return "not reached"

    def step_down() -> bool:
        assert held[0]() is None
        return True

    assert run_with_less(work, step_down, "") == "done"


def test_other_errors_are_not_tried_again() -> None:
    def work() -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        run_with_less(work, lambda: pytest.fail("stepped down"), "")


def test_a_clip_begins_at_the_first_way_in_which_no_smaller_one_ran_out() -> None:
    ladder: Ladder[str] = Ladder(("fast", "slow", "slowest"))
    assert ladder.start(5, "fast") == "fast"
    assert ladder.below("fast", 5) == "slow"
    assert [ladder.start(load, "fast") for load in (4, 5, 6)] == ["fast", "slow", "slow"]
    assert ladder.below("slow", 9) == "slowest"
    assert ladder.below("slowest", 9) is None
    assert [ladder.start(load, "fast") for load in (4, 8, 9)] == ["fast", "slow", "slowest"]
    assert ladder.start(1, "slowest") == "slowest"
    ladder.below("fast", 0)
    assert ladder.start(1, "fast") == "slow"
