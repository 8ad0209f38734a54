"""What stood in for the models or the device that a video should have had, as warnings.

They say it in the same words in the manifest, on the run's page, in `status` and in the terminal.
"""

from pipelines.documents.manifest import DeviceRecord
from pipelines.schema.storyboard import Storyboard


def stand_ins(device: DeviceRecord | None, storyboard: Storyboard | None) -> tuple[str, ...]:
    """One line for each thing that stood in; empty if all is as it should be.

    `device` is None in a manifest of before, `storyboard` as long as it is not written.
    """
    lines = (_of_device(device) if device else "", _of_words(storyboard) if storyboard else "")
    beside = device.notices if device else ()
    notices = storyboard.notices if storyboard else ()
    return tuple(line for line in (*lines, *beside, *notices) if line)


def _of_device(device: DeviceRecord) -> str:
    if device.kind != "cpu" or not device.for_gpu:
        return ""
    return f"made on the CPU, though its models are made for a GPU: {device.reason}"


def _of_words(storyboard: Storyboard) -> str:
    written = [shot for shot in storyboard.shots if shot.source != "continued"]
    replaced = [shot for shot in written if shot.source == "template"]
    if not replaced:
        return _of_strategy(storyboard, len(written))
    _, _, fault = replaced[0].note.rpartition("enhancer: ")
    reason = f": {fault}" if fault else ""
    return (
        f"a template wrote {len(replaced)} of {len(written)} shots, in place of the language "
        f"model{reason}"
    )


def _of_strategy(storyboard: Storyboard, count: int) -> str:
    replaced = [shot for shot in storyboard.shots if shot.stands_in]
    if not replaced:
        return ""
    return f"{len(replaced)} of {count} shots are written in another way: {replaced[0].note}"
