"""A machine for backends in tests: real checkpoints on disk, real models in memory, no GPU."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.backends.base import Compile, Frame, Lora, ModelFolder
from pipelines.errors import BriefError, WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.request import Continuation, ReferenceVideo
from pipelines.schema.sizes import Size


def digest(data: bytes | str) -> Digest:
    return Digest(hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest())


def model_folder(name: str, path: Path) -> ModelFolder:
    """`path` with its components hashed, as the library of installed models says them."""
    groups: dict[str, list[Path]] = {}
    for file in sorted(path.rglob("*")):
        if file.is_file():
            parts = file.relative_to(path).parts
            groups.setdefault(parts[0] if len(parts) > 1 else "pipeline", []).append(file)
    hashes = {
        part: digest("".join(f"{f.relative_to(path)} {digest(f.read_bytes())}" for f in files))
        for part, files in groups.items()
    }
    sizes = {part: sum(f.stat().st_size for f in files) for part, files in groups.items()}
    return ModelFolder(name, f"Tiny {name}", "Apache-2.0", path, hashes, sizes)


def lora_file(name: str, path: Path) -> Lora:
    return Lora(name, path, digest(path.read_bytes()))


class MemoryHost:
    """A BackendHost over folders of models. It remembers what was loaded and freed."""

    def __init__(
        self,
        cache_folder: Path,
        models: Mapping[str, Path],
        loras: Mapping[str, Path] | None = None,
        *,
        dtype: str = "float32",
        free: int = 8_000_000_000,
    ) -> None:
        self.device = "cpu"
        self.dtype = dtype
        self.compile: Compile = "off"
        self.cache_folder = cache_folder
        self.free = free
        self.loaded: dict[str, tuple[tuple[str, ...], Any]] = {}
        self.history: list[str] = []
        """`load kind` and `free kind`, in order."""
        self.needs: dict[str, int] = {}
        self.notices: list[str] = []
        self._models = models
        self._loras = loras or {}

    def model(self, name: str) -> ModelFolder:
        if name not in self._models:
            raise WeightsError(f"{name} is not installed; run: reelwright models download {name}")
        return model_folder(name, self._models[name])

    def lora(self, name: str) -> Lora:
        if name not in self._loras:
            raise WeightsError(
                f"the LoRA {name} is not installed; run: reelwright models download {name}"
            )
        return lora_file(name, self._loras[name])

    def resident(self, kind: str, key: tuple[str, ...], load: Callable[[], Any], need: int) -> Any:
        if kind in self.loaded and self.loaded[kind][0] != key:
            self.release(kind)
        if kind not in self.loaded:
            self.needs[kind] = need
            self.loaded[kind] = (key, load())
            self.history.append(f"load {kind}")
        return self.loaded[kind][1]

    def release(self, kind: str) -> None:
        if kind in self.loaded:
            self.loaded.pop(kind)[1].close()
            self.history.append(f"free {kind}")

    def free_bytes(self) -> int:
        return self.free

    def room_bytes(self) -> int:
        return self.free

    def stood_in(self, sentence: str) -> None:
        self.notices.append(sentence)

    def close(self) -> None:
        for kind in list(self.loaded):
            self.release(kind)


class ArrayMedia:
    """Inputs as arrays: pictures by digest, overlaps by the chunk before, videos by role."""

    def __init__(
        self,
        pictures: Mapping[Digest, Frame] | None = None,
        overlaps: Mapping[Digest, Sequence[Frame]] | None = None,
        videos: Mapping[str, Sequence[Frame]] | None = None,
    ) -> None:
        self._pictures = pictures or {}
        self._overlaps = overlaps or {}
        self._videos = videos or {}

    def picture(self, digest: Digest, size: Size, *, whole: bool = False) -> Frame:
        if digest not in self._pictures:
            raise BriefError(f"uploads/{digest}.png is gone; upload the picture again")
        return _fitted(self._pictures[digest], size)

    def overlap(self, given: Continuation) -> Sequence[Frame]:
        return self._overlaps[given.chunk]

    def video(self, given: ReferenceVideo, size: Size, fps: int, frames: int) -> Sequence[Frame]:
        part = self._videos[given.role][given.start : given.start + frames]
        return [_fitted(frame, size) for frame in part]


def _fitted(frame: Frame, size: Size) -> Frame:
    from PIL import Image

    return np.asarray(Image.fromarray(frame).resize(size))
