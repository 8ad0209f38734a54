"""A checkpoint through the product's own loading, encoding and rendering."""

from collections.abc import Sequence
from pathlib import Path

import torch

from pipelines.backends.base import Frame, GeneratedClip
from pipelines.backends.wan.conditioning import Given
from pipelines.backends.wan.definitions import DEFINITIONS
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.backends.wan.negative import NEGATIVE
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.text_encoder import EmbeddingCache, TextEncoder
from pipelines.schema.plan import ChunkSpec, digest_of
from pipelines.schema.request import ClipRequest, Continuation

_CPU = torch.device("cpu")


class DemoModel:
    """The checkpoint through the product's own code, as the preset `demo` asks for it."""

    def __init__(self, folder: Path, texts: Sequence[str], scratch: Path) -> None:
        demo = next(item for item in DEFINITIONS if item.name == "wan-demo")
        self._preset = demo.presets[0]
        self._size = self._preset.size
        self._fps = demo.capabilities.fps
        self._folder = digest_of(str(folder))
        self._cache = EmbeddingCache(scratch, self._folder, self._folder, torch.float32)
        encoder = TextEncoder(folder, _CPU, torch.float32)
        encoder.encode(self._cache.missing([*texts, NEGATIVE]), self._cache)
        encoder.close()
        self._model = WanDenoiser(Source(folder, "text", dtype="float32"), _CPU)

    def spec(self, text: str, frames: int, seed: int, *, continued: bool = False) -> ChunkSpec:
        """A chunk; a continued one repeats one frame."""
        request = ClipRequest(
            prompt=text,
            negative=NEGATIVE,
            size=self._size,
            fps=self._fps,
            frames=frames,
            seed=seed,
            inputs=(Continuation(chunk=self._folder, frames=1),) if continued else (),
            options=self._preset.options.model_dump(),
        )
        return ChunkSpec(backend=self._preset.backend, identity={}, request=request)

    def render(self, spec: ChunkSpec, overlap: Sequence[Frame] = ()) -> GeneratedClip:
        """One take."""
        request = spec.request
        positive, negative = self._cache.get(request.prompt), self._cache.get(request.negative)
        assert positive is not None
        assert negative is not None
        job = Job(
            size=request.size,
            frames=request.frames,
            seed=request.seed,
            options=WanOptions.checked(request.options),
            positive=positive,
            negative=negative,
            given=Given(tuple(overlap)),
        )
        rendered = self._model.render(job, MemoryPlan(), lambda *_: None)
        return GeneratedClip(rendered.frames, rendered.memory_mode)

    def frames(self, text: str, frames: int, seed: int) -> list[Frame]:
        """A fresh chunk, whatever it looks like."""
        return list(self.render(self.spec(text, frames, seed)).frames)

    def through_vae(self, frames: Sequence[Frame]) -> list[Frame]:
        """True frames encoded and decoded: the best that any transformer could reach."""
        return self._model.through_vae(frames)
