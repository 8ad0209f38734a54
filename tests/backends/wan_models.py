"""Tiny checkpoints of all Wan models, and requests for their backends."""

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.backends.base import Frame, GeneratedClip, VideoBackend
from pipelines.backends.registry import definitions
from pipelines.backends.wan.options import WanOptions
from pipelines.schema.request import ClipInput, ClipRequest
from pipelines.schema.sizes import Size
from tests.backends.host import ArrayMedia, MemoryHost
from tests.support.tiny_wan import write_tiny_checkpoint
from tests.tiny import BUILDERS

SMALL = Size(32, 32)
_BUILDERS = {
    "tiny-wan": partial(write_tiny_checkpoint, channels=30),
    "t2v-1.3B": BUILDERS["wan_t2v"],
    "vace-1.3B": BUILDERS["wan_vace"],
    "t2v-14B": BUILDERS["wan_t2v"],
    "ti2v-5B": BUILDERS["wan_ti2v"],
    "t2v-A14B": BUILDERS["wan_t2v_a14b"],
    "i2v-A14B": BUILDERS["wan_i2v_a14b"],
}
MODELS = tuple(_BUILDERS)


class TinyModels(dict[str, Path]):
    """Folders by catalog name, each written when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __contains__(self, name: object) -> bool:
        return name in _BUILDERS

    def __missing__(self, name: str) -> Path:
        self[name] = self._root / name
        _BUILDERS[name](self[name])
        return self[name]


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyModels]:
    from diffusers import WanPipeline  # noqa: F401

    # Each model that is freed collects garbage: a second, if it walks through all of diffusers.
    gc.collect()
    gc.freeze()
    yield TinyModels(tmp_path_factory.mktemp("models"))
    gc.unfreeze()


@pytest.fixture
def fresh_host(tiny_models: TinyModels, tmp_path: Path) -> Iterator[MemoryHost]:
    """A machine on which nothing is loaded yet."""
    with freed(MemoryHost(tmp_path / "cache", tiny_models)) as host:
        yield host


@pytest.fixture(scope="module")
def host(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryHost]:
    """A machine that keeps its models from test to test, as a worker does."""
    with freed(MemoryHost(tmp_path_factory.mktemp("cache"), tiny_models)) as host:
        yield host


@contextmanager
def freed(host: MemoryHost) -> Iterator[MemoryHost]:
    try:
        yield host
    finally:
        host.close()


def backend_of(name: str, host: MemoryHost, *inputs: str) -> VideoBackend:
    return definitions()[name].create(host, frozenset({"text", *inputs}))  # type: ignore[arg-type]


def options_of(name: str, **changes: Any) -> WanOptions:
    """Of the backend's first preset, with two steps and nothing quantised."""
    options = definitions()[name].presets[0].options
    assert isinstance(options, WanOptions)
    return options.replaced(**{"steps": 2, "weights": "full", **changes})


def request_for(
    name: str,
    frames: int = 5,
    inputs: Iterable[ClipInput] = (),
    size: Size = SMALL,
    seed: int = 7,
    **changes: Any,
) -> ClipRequest:
    return ClipRequest(
        prompt="A red circle",
        negative="blurred",
        size=size,
        fps=definitions()[name].capabilities.fps,
        frames=frames,
        seed=seed,
        inputs=tuple(inputs),
        options=options_of(name, **changes).model_dump(),
    )


def generate(
    backend: VideoBackend, request: ClipRequest, media: ArrayMedia | None = None
) -> list[Frame]:
    return list(clip_of(backend, request, media).frames)


def clip_of(
    backend: VideoBackend, request: ClipRequest, media: ArrayMedia | None = None
) -> GeneratedClip:
    with backend.open() as session:
        session.prepare([request])
        return session.generate(request, media or ArrayMedia(), lambda *_: None)


def picture(seed: int, size: Size = SMALL) -> Frame:
    values = np.random.default_rng(seed).integers(0, 256, (size.height, size.width, 3))
    return values.astype(np.uint8)


def same(first: Sequence[Frame], second: Sequence[Frame]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))
