"""Why a warm process must not execute another run: the device cannot be trusted in it any more.

After an illegal access, a failed launch or an ECC error, CUDA refuses every later call of the same
process, whatever it is. After a lack of memory that ended a run, nobody knows what is still held.
"""

import sys

from pipelines.errors import ReelwrightError

REPORTED = "the device reported an error"
NO_MEMORY = "memory ran out and ended a run"
FOREIGN = "a run ended with an error that is not known to be harmless to the device"


def after(error: BaseException | None) -> str:
    """The reason why this process must end after a run that ended with `error`; empty if it may go
    on.

    Without an error too, the device is asked: a stage may have handled what the device reported.
    Waits until the device has done all work that the run gave it.
    """
    if "torch" not in sys.modules:
        return ""  # no run of this process used a device, or could have
    import torch

    from pipelines.backends.memory import causes, is_device_error, is_out_of_memory

    if error is not None and is_device_error(error):
        return REPORTED
    if error is not None and any(map(is_out_of_memory, causes(error))):
        return NO_MEMORY
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return ""
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return REPORTED  # it repeats such an error at every call
    if error is not None and not isinstance(error, ReelwrightError):
        return FOREIGN
    return ""
