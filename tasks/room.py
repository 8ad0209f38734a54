"""The room of one run: its surroundings checked, its scratch folder, its models, its ledger.

Everything that can be wrong with the surroundings is found here, before a model loads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.adapters import disk
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.library import Installed, InstalledSet, installed_set
from pipelines.errors import SettingsError
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg
from pipelines.planning.plan import Weights
from pipelines.progress import Progress
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import ChunkRecord, SegmentRecord
from tasks.ledger import Ledger
from tasks.progress import report

if TYPE_CHECKING:
    import torch


_GPU = Path("/dev/nvidia0")


@dataclass(frozen=True)
class LocalClip:
    """A clip in this run's scratch folder; its path means nothing on another machine."""

    path: Path
    record: ChunkRecord | SegmentRecord


class Room:
    """What the stages of one run share. Prefect passes it along without looking inside."""

    def __init__(
        self, settings: Settings, models: InstalledSet, overlap: int, folder: Path
    ) -> None:
        self.settings = settings
        self.models = models
        self.overlap = overlap
        """Last raw frames that are kept of every chunk, for one that goes on from it."""
        self.folder = folder
        self.ledger = Ledger()
        self.tool: Ffmpeg = find_ffmpeg(settings.paths.ffmpeg)
        self.store = ObjectStore(settings.store)
        self.device_name = _device_name(settings)

    @property
    def device(self) -> "torch.device":
        import torch

        return torch.device(self.device_name)

    @property
    def wan_dtype(self) -> str:
        return _either(self.settings.compute.dtype, self.device_name, "bfloat16")

    @property
    def upscaler_dtype(self) -> str:
        return _either(self.settings.upscaler.dtype, self.device_name, "float16")

    @property
    def video(self) -> Installed:
        """The model that makes the chunks."""
        return self.models.extender or self.models.video

    @property
    def weights(self) -> Weights:
        return Weights(
            video_revision=self.video.index.content,
            video_dtype=self.wan_dtype,
            upscaler_name=self.models.upscaler.model.name,
            upscaler_revision=self.models.upscaler.index.content,
            upscaler_dtype=self.upscaler_dtype,
        )


@contextmanager
def open_room(brief: Brief) -> Iterator[Room]:
    """The room for `brief`, which has the device; its scratch folder is gone afterwards.

    Raises SettingsError, WeightsError, StoreError or DiskFullError, each with a remedy.
    """
    settings = Settings.load()
    models = check_surroundings(brief, settings)
    with (
        disk.exclusive(_device_lock(settings), _say_waiting),
        disk.scratch(settings.paths.data_dir / "scratch") as folder,
    ):
        room = Room(settings, models, brief.resolved_preset().overlap, folder)
        room.store.ensure_bucket()
        yield room


def check_surroundings(brief: Brief, settings: Settings) -> InstalledSet:
    """The models of `brief`, proven. Starts nothing, writes nothing, loads nothing.

    Raises WeightsError or SettingsError, each with a remedy.
    """
    find_ffmpeg(settings.paths.ffmpeg)
    name = brief.resolved_preset().model_set
    return installed_set(settings.paths.models, name, extends=brief.joins == "continue")


def _device_lock(settings: Settings) -> Path:
    """One run at a time: on a GPU for all users of the machine, else for this data directory."""
    if _device_name(settings) == "cuda" and _GPU.exists():
        return _GPU
    return disk.make_directory(settings.paths.data_dir) / "device.lock"


def _say_waiting() -> None:
    report(Progress("check", 0, 1, "another run has the device; waiting for it to finish"))


def _device_name(settings: Settings) -> str:
    wanted = settings.compute.device
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SettingsError(
            "REELWRIGHT_DEVICE=cuda, but torch finds no GPU; check the driver or set it to auto"
        )
    return "cpu"


def _either(wanted: str, device: str, on_cuda: str) -> str:
    if wanted != "auto":
        return wanted
    return on_cuda if device == "cuda" else "float32"
