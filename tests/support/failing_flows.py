"""A flow that ends as its parameter says, for tests of what a process does after it."""

import torch
from prefect import flow

from pipelines.errors import BriefError, GenerationError


@flow(name="failing", persist_result=False)
def failing(how: str) -> None:
    """Raise an error of the kind `how`; `no` raises none."""
    if how == "brief":
        raise BriefError("seconds=0: at least 1; ask for more")
    if how == "device":
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    if how == "device, in words":
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if how == "memory":
        raise GenerationError("memory ran out") from torch.OutOfMemoryError("CUDA out of memory")
    if how == "foreign":
        raise KeyError("a defect of ours")
