"""Making a clip with a backend in a test, and making a step of it fail."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.backends.base import GeneratedClip, VideoBackend
from pipelines.schema.request import ClipRequest
from tests.backends.host import ArrayMedia


def generate(
    backend: VideoBackend, request: ClipRequest, media: ArrayMedia | None = None
) -> tuple[GeneratedClip, np.ndarray, list[tuple[int, int]]]:
    """The clip, its frames (frames x height x width x 3), and the steps that were reported."""
    steps: list[tuple[int, int]] = []
    with backend.open() as session:
        session.prepare([request])
        clip = session.generate(
            request, media or ArrayMedia(), lambda done, total: steps.append((done, total))
        )
        frames = np.stack(list(clip.frames))
    assert frames.dtype == np.uint8
    return clip, frames, steps


@contextmanager
def failing(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: Exception, times: int = 1
) -> Iterator[None]:
    """The first `times` calls of `owner.name` raise `error`."""
    real, left = getattr(owner, name), [times]

    def call(*args: Any, **values: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise error
        return real(*args, **values)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, call)
        yield
    assert not left[0], f"{name} was not called"


def files_outside_the_identity(folder: Path, identity: Callable[[], Mapping[str, str]]) -> set[str]:
    """Files below `folder`, by their path in it, that may change without the identity changing."""
    before, outside = dict(identity()), set()
    for file in sorted(item for item in folder.rglob("*") if item.is_file()):
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        if dict(identity()) == before:
            outside.add(str(file.relative_to(folder)))
        file.write_bytes(content)
    return outside
