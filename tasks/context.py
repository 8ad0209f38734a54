"""The context of one run: settings, scratch folder, store, backend, enhancer and upscaler.

Creating it checks the settings, ffmpeg and the model files before a model is loaded. A run with a
remote backend and without upscaling uses no device, no weights and no device lock.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from infra.adapters import disk
from infra.adapters.device.choice import device_lock, upscaler_dtype
from infra.adapters.device.host import DeviceHost, NoDeviceHost
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import set_models
from infra.adapters.weights.library import require_models
from infra.adapters.weights.own_writer import own_writer
from pipelines.backends.base import BackendSession, ModelFolder, VideoBackend
from pipelines.backends.remote.access import RemoteAccess
from pipelines.backends.remote.config import RemoteConfig
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import (
    ChunkRecord,
    DeviceRecord,
    ModelRecord,
    SegmentRecord,
)
from pipelines.errors import WeightsError
from pipelines.media.archive import Motion
from pipelines.media.ffmpeg import find_ffmpeg
from pipelines.planning.plan import is_enhanced
from pipelines.progress import Progress
from pipelines.prompting.footprint import writer_footprint
from pipelines.prompting.llama import LlamaEnhancer, LlamaOptions
from pipelines.schema.keys import Digest
from pipelines.schema.memory import DEVICE_CONTEXT
from pipelines.schema.plan import UpscaleSpec, digest_of
from pipelines.upscaling.ladder import Way
from tasks.background import Background
from tasks.costs import gpu_time_recorded, ledger_of
from tasks.language_model import llama_options, writer_settings
from tasks.progress import report
from tasks.remote_access import run_access
from tasks.stage_costs import StageCosts
from tasks.translate import require_translator

if TYPE_CHECKING:
    from pipelines.upscaling.network import RealEsrgan

_log = logging.getLogger("reelwright.context")
UPSCALER_SCALE = 4
"""Of every upscaler in the catalog. By 2, its picture is made by 4 and then made smaller."""


@dataclass(frozen=True)
class LocalClip:
    """A clip in this run's scratch folder. Its path has no meaning on another machine."""

    path: Path
    record: ChunkRecord | SegmentRecord


class RunContext:
    """What the stages of one run share. Prefect passes it to the tasks and does not inspect it."""

    def __init__(self, brief: Brief, settings: Settings, stack: ExitStack) -> None:
        require_translator(brief, settings)
        self.brief, self.settings = brief, settings
        self.costs = StageCosts()
        self.tool = find_ffmpeg(settings.paths.ffmpeg)
        self.host = DeviceHost(settings, self._remote_access) if needs_device(brief) else None
        # Looked for first: a GPU that is demanded and missing is said before files are read.
        self.device = self.host.device if self.host else "remote"
        """`cpu`, `cuda`, or `remote` for a run without a device."""
        if self.host:
            require_models(
                settings.paths.models, models_of(brief, own_writer=settings.llm.file is not None)
            )
        self.backend = create_backend(
            brief, self.host or NoDeviceHost(settings, self._remote_access)
        )
        # Its LoRAs are looked up here, and not after the enhancer has worked. Not its identity, for
        # which attention may have to be tried on the device: that is not ours yet.
        self.backend.models(brief.resolved_preset().options)
        companions = set_models(self.backend.definition.model_set)
        self.enhancer_model = self._writer(companions.enhancer) if is_enhanced(brief) else None
        self.upscaler_model = self._companion(companions.upscaler) if brief.upscale > 1 else None
        self.folder = Path()
        """Scratch; it is set as soon as the run has the device."""
        self.content_id = ""
        """Of the video, as soon as its plan is made."""
        self.motions: dict[Digest, Motion] = {}
        """Archives that were unpacked into the scratch folder."""
        self.background = Background()
        """Stores finished work beside the device; it is open as soon as the run has the device."""
        self.began = time.perf_counter()
        """When the run had the device, by that clock."""
        self._stack = stack
        self._session: BackendSession | None = None

    def _companion(self, name: str) -> ModelFolder | None:
        """The installed enhancer or upscaler of that name; None without a device."""
        return self.host.model(name) if self.host else None

    def _writer(self, name: str) -> ModelFolder | None:
        """The language model: the operator's own, or the installed one of that name."""
        if self.host is None or self.settings.llm.file is None:
            return self._companion(name)
        return own_writer(self.settings.llm.file)

    def _remote_access(self, config: RemoteConfig) -> RemoteAccess:
        """What this run gives to a backend on another machine."""
        return run_access(config, self.store, ledger_of(self), self.tool, self.folder)

    @cached_property
    def store(self) -> ObjectStore:
        """The object store. It is created at its first use, because a check may run before the
        store starts."""
        return ObjectStore(self.settings.store)

    @property
    def device_record(self) -> DeviceRecord:
        """The device for the manifest, and why it is the CPU if it is."""
        if self.host is None:
            return DeviceRecord(kind="remote")
        for_gpu = set_models(self.backend.definition.model_set).for_gpu
        chosen, notices = self.host.chosen, tuple(self.host.notices)
        if chosen.kind == "cpu":
            reason = chosen.reason
            return DeviceRecord(kind="cpu", reason=reason, for_gpu=for_gpu, notices=notices)
        import torch

        name = torch.cuda.get_device_name(0)
        return DeviceRecord(kind="cuda", name=name, for_gpu=for_gpu, notices=notices)

    @property
    def elapsed(self) -> float:
        """Seconds since the run had the device."""
        return time.perf_counter() - self.began

    @property
    def session(self) -> BackendSession:
        """The open backend. It is opened at the first use and closed with the context."""
        if self._session is None:
            self._session = self._stack.enter_context(self.backend.open())
        return self._session

    @property
    def writer_bytes(self) -> int:
        """Bytes on the device of the language model and what its process adds; 0 without one, and
        for one whose layers all lie on the CPU beside a GPU."""
        return 0 if self._writes_beside_gpu else self._writer_bytes

    @property
    def _writes_beside_gpu(self) -> bool:
        return self.device == "cuda" and self.settings.llm.gpu_layers == 0

    @property
    def _writer_bytes(self) -> int:
        """Bytes of the language model and what its process adds, wherever they are."""
        folder = self.enhancer_model
        if folder is None:
            return 0
        beside = DEVICE_CONTEXT if self.device == "cuda" and not self._writes_beside_gpu else 0
        try:
            options = self._llama_options(folder)
            footprint = writer_footprint(
                folder.path,
                options.context,
                options.batch,
                options.cache_bits,
                flash=options.uses_flash_attention,
            )
            return footprint.total + beside
        except WeightsError as error:
            # A file that llama.cpp does not load either costs the words, and not the run.
            _log.warning("the memory of the language model is taken from its size: %s", error)
            return sum(folder.sizes.values()) + beside

    @contextmanager
    def enhancer(self) -> Iterator[LlamaEnhancer | None]:
        """The language model in a child process; None without a device or for a brief that is not
        enhanced.

        A small model stays loaded for the next run.
        """
        folder = self.enhancer_model
        if self.host is None or folder is None:
            yield None
            return
        entry = writer_settings(folder, self.settings.llm.kind)
        options = self._llama_options(folder)
        name = f"{folder.title}@{folder.components['file'][:12]}"

        def load() -> LlamaEnhancer:
            return LlamaEnhancer(folder.path, name, entry.prompt, options)

        need = self.writer_bytes
        beside = self._writer_bytes - need
        with self.host.lent(
            "enhancer", (name, entry.prompt, str(options)), load, need, beside=beside
        ) as model:
            yield model.renew()

    def _llama_options(self, folder: ModelFolder) -> LlamaOptions:
        entry = writer_settings(folder, self.settings.llm.kind)
        return llama_options(self.settings.llm, entry.context, self.device)

    def upscaler(self) -> "RealEsrgan":
        """Real-ESRGAN on the device, loaded at the first call.

        Room is made for one frame at a time. A loaded video model is worth more than a larger
        batch: reading it again would cost each brief more seconds than the batch saves. Raises
        WeightsError if the weights do not load.
        """
        import torch

        from pipelines.upscaling.network import RealEsrgan, UpscaleOptions

        folder, settings, host = self.upscaler_model, self.settings.upscaler, self.host
        assert host is not None
        assert folder is not None
        asked = self.upscale_way
        options = UpscaleOptions(
            dtype=getattr(torch, upscaler_dtype(self.settings, self.device)),
            channels_last=settings.channels_last,
            batch=asked.batch,
            tile=asked.tile,
        )
        key = (folder.title, folder.components["file"], str(options), self.device)
        device = torch.device(self.device)
        size = self.brief.resolved_preset().size
        work = Way(1, asked.tile).workspace(size, UPSCALER_SCALE, options.dtype.itemsize)
        return host.resident(
            "upscaler",
            key,
            lambda: RealEsrgan(folder.path, device, options, host.free_bytes),
            sum(folder.sizes.values()) + work,
        )

    @property
    def upscale_way(self) -> Way:
        """How many frames the upscaler makes at once, and in which tiles, if the memory allows."""
        settings = self.settings.upscaler
        return Way(settings.batch or (4 if self.device == "cuda" else 1), settings.tile)

    def upscale_spec(self) -> UpscaleSpec | None:
        """Everything that decides the pixels of the upscaling; None without upscaling."""
        if self.upscaler_model is None:
            return None
        return UpscaleSpec(
            factor=self.brief.upscale,
            model=self.upscaler_model.title,
            revision=self.upscaler_model.components["file"],
            dtype=upscaler_dtype(self.settings, self.device),
        )

    def model_records(self, *, enhanced: bool) -> tuple[ModelRecord, ...]:
        """The models that decided the words and the pixels, for the manifest."""
        records = [
            ModelRecord(
                role="video",
                name=model.name,
                revision=digest_of(dict(model.components)),
                licence=model.licence,
                components=model.components,
            )
            for model in self.backend.models(self.brief.resolved_preset().options)
        ]
        if enhanced and self.enhancer_model:
            records.insert(0, _record("enhancer", self.enhancer_model))
        if self.upscaler_model:
            records.append(_record("upscaler", self.upscaler_model))
        return tuple(records)


@contextmanager
def open_context(brief: Brief) -> Iterator[RunContext]:
    """The context of `brief`, with the device if it needs one. Its scratch folder is deleted at the
    end.

    Raises BriefError if nobody can translate the brief, SettingsError if a setting is invalid or
    ffmpeg is missing, WeightsError if model files are missing or altered, StoreError if the object
    store fails, and DiskFullError if the scratch folder cannot be created on a full disk.
    """
    settings = Settings.load()
    with ExitStack() as stack:
        context = RunContext(brief, settings, stack)
        if context.host is not None:
            stack.enter_context(disk.exclusive(device_lock(settings), _say_waiting))
        context.began = time.perf_counter()
        scratch = disk.scratch(settings.paths.data_dir / "scratch")
        context.folder = stack.enter_context(scratch)
        context.store.ensure_bucket()
        stack.enter_context(gpu_time_recorded(context))
        # On a CPU, denoising and encoding would only take the processor from each other.
        context.background = Background(beside=context.device != "cpu")
        stack.enter_context(context.background)
        yield context


def models_of(brief: Brief, *, own_writer: bool = False) -> tuple[str, ...]:
    """Names in the catalog of all models that a run of `brief` on a device uses. With `own_writer`
    the language model is none of the catalog."""
    backend, companions = brief.backend, set_models(brief.backend.model_set)
    loras = brief.resolved_preset().options.models
    beside = [companions.enhancer] if is_enhanced(brief) and not own_writer else []
    beside += [companions.upscaler] if brief.upscale > 1 else []
    return (*backend.models_for(brief.inputs), *loras, *beside)


def needs_device(brief: Brief) -> bool:
    """Whether a run of `brief` needs this machine's device and weights."""
    return brief.backend.capabilities.location == "device" or brief.upscale > 1


def create_backend(brief: Brief, host: DeviceHost | NoDeviceHost) -> VideoBackend:
    """The backend of `brief`. Its weights are checked and not loaded.

    Raises WeightsError if weights are missing or altered, and SettingsError if the backend needs a
    device and `host` has none.
    """
    return brief.backend.create(host, brief.inputs)


def check_surroundings(brief: Brief, settings: Settings) -> None:
    """Check ffmpeg and the models of `brief`. Nothing is started, written or loaded.

    Raises BriefError if nobody can translate the brief, WeightsError if weights are missing or
    altered, and SettingsError if ffmpeg is missing or the settings ask for a GPU that is not there.
    """
    with ExitStack() as stack:
        RunContext(brief, settings, stack)


def _record(role: str, folder: ModelFolder) -> ModelRecord:
    return ModelRecord.model_validate(
        {
            "role": role,
            "name": folder.title,
            "revision": digest_of(dict(folder.components)),
            "licence": folder.licence,
            "components": folder.components,
        }
    )


def _say_waiting() -> None:
    report(Progress("check", 0, 1, "another run has the device; waiting for it to finish"))
