"""Reads the interaction that the Interactions API answers with."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.backends.remote.google.failures import clean


def content_of(given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the model put out, the newest first."""
    for step in reversed(given.get("steps") or []):
        if step.get("type") == "model_output":
            yield from reversed(step.get("content") or [])


def errors_of(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The errors of an interaction."""
    single = [given["error"]] if isinstance(given.get("error"), Mapping) else []
    return [item for item in (*(given.get("errors") or []), *single) if isinstance(item, Mapping)]


def said_in(given: Mapping[str, Any]) -> str:
    """The errors of an interaction, or what the model wrote in place of a clip."""
    errors = [str(item.get("message") or item.get("code") or "") for item in errors_of(given)]
    texts = [str(item.get("text", "")) for item in content_of(given) if item.get("type") == "text"]
    return clean(" ".join(filter(None, errors)) or " ".join(filter(None, reversed(texts))))


def usage_of(given: Mapping[str, Any]) -> dict[str, float]:
    """Tokens by price: of the video, of what the model wrote and thought, of what it was given."""
    usage = given.get("usage") or {}
    output = usage.get("total_output_tokens") or 0
    by_modality = {
        str(item.get("modality", "")).lower(): item.get("tokens") or 0
        for item in usage.get("output_tokens_by_modality") or []
    }
    video = by_modality.get("video", 0) if by_modality else output
    text = max(output - video, 0) + (usage.get("total_thought_tokens") or 0)
    counted = {
        "video_tokens": video,
        "text_tokens": text,
        "input_tokens": usage.get("total_input_tokens") or 0,
    }
    return {name: float(value) for name, value in counted.items() if value}
