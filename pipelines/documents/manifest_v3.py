"""Reads manifests of version 3, which Reelwright 0.1 and 0.2 wrote.

Version 3 knew one backend at 16 frames a second. Only names and places of values have changed
since. Every digest is kept, so that the objects of old videos are found, shown and deleted as
before.
"""

from typing import Any

from pipelines.schema.plan import digest_of

_FPS = 16
"""Frame rate of all videos of version 3."""
_ROLES = {"writer": "enhancer", "extender": "video"}


def upgraded(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a manifest of version 3 under the names of version 4.

    If the values are not as version 3 wrote them, they are returned with an invalid version, which
    the schema refuses.
    """
    try:
        return _upgraded(values)
    except (KeyError, TypeError, AttributeError):
        return {**values, "manifest_version": "3, but not as version 3 was written"}


def upgraded_film(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a film of version 3 that waits for its approval, under the names of version 4.

    Values that are not as version 3 wrote them are returned unchanged.
    """
    try:
        return _upgraded_film(values)
    except (KeyError, TypeError, AttributeError):
        return values


def is_old_film(values: dict[str, Any]) -> bool:
    """Whether version 3 wrote the film. A film has no version number of its own."""
    return "joins" in values and "transitions" not in values


def _upgraded(old: dict[str, Any]) -> dict[str, Any]:
    return {**_upgraded_film(old), "manifest_version": 4}


def _upgraded_film(old: dict[str, Any]) -> dict[str, Any]:
    new = dict(old)
    storyboard = dict(old["storyboard"])
    storyboard["enhancer"] = storyboard.pop("writer")
    new |= {
        "storyboard": storyboard,
        "plan": _plan(old["plan"]),
        "transitions": new.pop("joins"),
        "chunks": [
            _renamed(item, join="transition", memory="memory_mode") for item in old["chunks"]
        ],
        "segments": [_renamed(item, memory="memory_mode") for item in old["segments"]],
        "models": [
            {**item, "role": _ROLES.get(item["role"], item["role"])} for item in old["models"]
        ],
    }
    return new


def _plan(old: dict[str, Any]) -> dict[str, Any]:
    plan = _renamed(old, stands_in_for="requested_model")
    return {**plan, "chunks": [_chunk(item) for item in old["chunks"]]}


def _chunk(old: dict[str, Any]) -> dict[str, Any]:
    chunk = _renamed(old, join="transition", keep="frame_count")
    spec = old["spec"]
    return {**chunk, "digest": digest_of(spec), "spec": _spec(spec)}


def _spec(old: dict[str, Any]) -> dict[str, Any]:
    names = ("prompt", "negative", "size", "frames", "seed")
    options = ("steps", "guidance", "flow_shift")
    return {
        "backend": old["backend"],
        "identity": {"model": old["revision"], "dtype": old["dtype"], "recipe": old["recipe"]},
        "request": {
            **{name: old[name] for name in names},
            "fps": _FPS,
            "options": {name: old[name] for name in options},
            "inputs": _inputs(old["conditioning"]),
        },
    }


def _inputs(conditioning: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The inputs of a chunk. Version 3 stored an uploaded picture as a chunk of which 0 frames are
    given."""
    if conditioning is None:
        return []
    chunk, frames = conditioning["chunk"], conditioning["frames"]
    if frames == 0:
        return [{"kind": "first_frame", "picture": chunk}]
    return [{"kind": "continuation", "chunk": chunk, "frames": frames}]


def _renamed(old: dict[str, Any], **names: str) -> dict[str, Any]:
    """`old` with some of its names changed; one that is absent stays absent."""
    return {names.get(name, name): value for name, value in old.items()}
