"""What a process does not survive on a GPU. No GPU is needed: torch.cuda is told what to say."""

import pytest
import torch

from infra.apps.worker import trouble
from pipelines.errors import BriefError, GenerationError

ILLEGAL = "CUDA error: an illegal memory access was encountered"


def caused(error: Exception, cause: Exception) -> Exception:
    """`error`, raised from `cause`."""
    error.__cause__ = cause
    return error


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """CUDA is initialised in this process; what is put into the list, its next call reports."""
    reported: list[Exception] = []

    def synchronize() -> None:
        if reported:
            raise reported[0]

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    return reported


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, ""),
        (BriefError("seconds=0: at least 1"), ""),
        (GenerationError("the chunk is black"), ""),
        (torch.AcceleratorError(ILLEGAL), trouble.REPORTED),
        (RuntimeError(ILLEGAL), trouble.REPORTED),
        (caused(GenerationError("no chunk"), RuntimeError(ILLEGAL)), trouble.REPORTED),
        (torch.OutOfMemoryError("CUDA out of memory"), trouble.NO_MEMORY),
        (caused(GenerationError("no memory"), MemoryError()), trouble.NO_MEMORY),
        (KeyError("a defect"), trouble.FOREIGN),
    ],
    ids=repr,
)
def test_a_process_that_used_the_device_goes_on_only_after_what_is_known_to_be_harmless(
    cuda: list[Exception], error: Exception | None, reason: str
) -> None:
    assert trouble.after(error) == reason


@pytest.mark.parametrize("error", [torch.AcceleratorError(ILLEGAL), RuntimeError(ILLEGAL)])
def test_an_error_of_the_device_is_found_though_a_stage_handled_it(
    cuda: list[Exception], error: Exception
) -> None:
    cuda.append(error)
    assert trouble.after(None) == trouble.REPORTED
    assert trouble.after(BriefError("another error came first")) == trouble.REPORTED


def test_a_process_that_never_used_a_device_goes_on_after_a_defect() -> None:
    assert not torch.cuda.is_initialized()
    assert trouble.after(KeyError("a defect")) == ""
