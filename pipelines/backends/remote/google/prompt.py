"""The text of a request to Gemini Omni.

The tags and sentences are those of Google's prompt guide (ai.google.dev/gemini-api/docs/omni, page
of 2026-09-18): Omni has no field for a first or last frame, for cuts, or for what to avoid.
"""

from pipelines.backends.remote.google.pictures import Pictures
from pipelines.schema.request import ClipRequest


def prompt_of(request: ClipRequest, pictures: Pictures) -> str:
    """The text of a request: which picture is what, the prompt, and what to avoid.

    The tags and sentences are those of Google's prompt guide; Omni has no field for any of it.
    """
    frames = [item for item in (pictures.first, pictures.last) if item is not None]
    count, references = len(frames), len(pictures.references)
    sources = [
        f"<{name}>@Image{number}"
        for number, name in enumerate(("FIRST_FRAME", "LAST_FRAME")[:count], start=1)
    ]
    shown = [f"<IMAGE_REF_{item}>@Image{count + item + 1}" for item in range(references)]
    parts = [f"[# Sources {' '.join(sources)}]"] if sources else []
    parts += [f"[# References {' '.join(shown)}]"] if shown else []
    parts.append(request.prompt)
    if request.options.get("one_take", True):
        parts.append("In a single unbroken scene, without scene cuts.")
    if request.negative:
        parts.append(f"Do not show: {request.negative}.")
    if sources:
        parts.append("Use Image1 as the starting frame.")
    if count == 2:
        parts.append("Use Image2 as the last frame.")
    if shown:
        parts.append(
            "Use the other given images as references for the video generation. They should not be "
            "used as literal initial frames."
            if sources
            else "Use the given images as references for the video generation. The images should "
            "not be used as literal initial frames."
        )
    return " ".join(parts)


def task_of(pictures: Pictures) -> str:
    """Google's name of the mode; empty for first frame and references together, for which it has
    none: the tags of the prompt say it."""
    if pictures.first and pictures.references:
        return ""
    if pictures.references:
        return "reference_to_video"
    return "image_to_video" if pictures.first else "text_to_video"
