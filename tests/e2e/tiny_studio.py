"""A models folder in which every local model is installed, as a tiny checkpoint of its classes."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from infra.adapters.object_store import ObjectStore
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.index import write_index
from pipelines.media.codec import clip_writer
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import digest_of
from pipelines.schema.sizes import Size
from tests.support.pictures import moving_frames
from tests.tiny import BUILDERS
from tests.tiny.animatediff import write_motion_adapter, write_stable_diffusion
from tests.tiny.lora import write_wan_lora

_FOLDERS: Mapping[str, Callable[[Path], None]] = {
    "t2v-1.3B": BUILDERS["wan_t2v"],
    "vace-1.3B": BUILDERS["wan_vace"],
    "t2v-14B": BUILDERS["wan_t2v"],
    "ti2v-5B": BUILDERS["wan_ti2v"],
    "t2v-A14B": BUILDERS["wan_t2v_a14b"],
    "i2v-A14B": BUILDERS["wan_i2v_a14b"],
    "animate-14B": BUILDERS["wan_animate"],
    "sd15": write_stable_diffusion,
    "animatediff-adapter": write_motion_adapter,
    "ltx-2.5": BUILDERS["ltx2"],
}
_LORAS = (
    "lightning-i2v-A14B-high",
    "lightning-i2v-A14B-low",
    "lightning-t2v-A14B-high",
    "lightning-t2v-A14B-low",
    "lightx2v-t2v-14B",
    "self-forcing-t2v-1.3B",
)


def install_tiny(models: Path, *names: str) -> None:
    """Install the models of these names below `models`, each with its index."""
    for name in names:
        folder = models / name
        if name in _FOLDERS:
            _FOLDERS[name](folder)
        else:
            assert name in _LORAS
            folder.mkdir(parents=True)
            file = folder / MODELS[name].file
            file.parent.mkdir(parents=True, exist_ok=True)
            write_wan_lora(file)
        write_index(folder, "test", "1")


def upload_picture(store: ObjectStore, seed: int = 0) -> ObjectKey:
    """A picture as a client would have uploaded it."""
    values = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(values).resize((96, 80), Image.Resampling.BICUBIC).save(data, "png")
    key = ObjectKey.upload(digest_of(["picture", seed]))
    store.put_bytes(key, data.getvalue(), "image/png")
    return key


VIDEOS = ("src_pose", "src_face", "src_bg", "src_mask")


def motion_archive(tool: Ffmpeg, folder: Path, frames: int, names: Sequence[str] = VIDEOS) -> Path:
    """An archive of an animation's videos, `frames` frames each at 30 a second."""
    folder.mkdir()
    packed, size = folder / "motion.zip", Size(64, 64)
    with zipfile.ZipFile(packed, "w") as archive:
        for number, name in enumerate(names):
            path = folder / f"{name}.mp4"
            with clip_writer(tool, path, size, frames, fps=30, crf=12, speed="veryfast") as write:
                for frame in moving_frames(size, frames, seed=number):
                    write(frame)
            archive.write(path, path.name)
    return packed


def upload_motion(store: ObjectStore, tool: Ffmpeg, folder: Path, frames: int) -> ObjectKey:
    """The same, as a client would have uploaded it."""
    key = ObjectKey.upload_archive(digest_of(["motion", frames]))
    store.put_file(key, motion_archive(tool, folder, frames), "application/zip")
    return key
