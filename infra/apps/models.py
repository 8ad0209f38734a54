"""`reelwright models`: what is there, and installing and proving it."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS, MODELS, models_of
from infra.adapters.weights.model import BuiltSource, Model
from infra.adapters.weights.space import size_text
from infra.apps.console import plain, say
from pipelines.errors import BriefError, WeightsError

if TYPE_CHECKING:  # it loads numpy, which most commands do without
    from infra.adapters.weights.library import State

models_app = typer.Typer(
    help="The models: by name, or the sets demo and studio.", no_args_is_help=True
)
Names = Annotated[list[str] | None, typer.Argument(help="Names of models or sets.")]


@models_app.command("list")
def models_list(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Every model: role, size, licence, whether it is installed, and what uses it."""
    from infra.adapters.weights.library import state_of

    models = Settings.load().paths.models
    found = [(model, state_of(models, model)) for model in MODELS.values()]
    if as_json:
        rows = [_view(model, state) for model, state in found]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    for model, state in found:
        sys.stdout.write(plain(_line(model, state)) + "\n")
    for item in MODEL_SETS.values():
        sys.stdout.write(f"set {item.name}: {', '.join(item.models)}\n")
    sys.stdout.write(f"in {models}\n")


@models_app.command("download")
def models_download(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="Every model of the catalog.")] = False,
    accept_licence: Annotated[
        list[str] | None,
        typer.Option(help="Accept the licence of this model without being asked; repeatable."),
    ] = None,
    keep_float32: Annotated[
        bool,
        typer.Option("--keep-float32", help="Keep float32 weights; else they take 16 bits."),
    ] = False,
) -> None:
    """Install models; what is there and intact is left alone, what broke off goes on."""
    from infra.apps.downloads import shown_progress
    from infra.apps.install import install_all

    models = Settings.load().paths.models
    wanted = _chosen(names, every)
    accept(models, wanted, accept_licence or [])
    install_all(models, wanted, say, shown_progress(), keep_float32=keep_float32)


@models_app.command("shrink")
def models_shrink(names: Names = None) -> None:
    """Store float32 weights of installed models in 16 bits; what they make stays the same."""
    from infra.apps.install import shrink

    if not names:
        raise BriefError("name models or sets; `reelwright models list` shows them")
    models = Settings.load().paths.models
    for model in models_of(names):
        shrink(models, model, say)


@models_app.command("verify")
def models_verify(
    names: Names = None,
    every: Annotated[bool, typer.Option("--all", help="All that are installed.")] = False,
) -> None:
    """Hash every file of installed models; take in those that were put in place by hand."""
    from infra.adapters.weights.library import state_of

    if names and every:
        raise BriefError("name models or sets, or say --all, not both")
    models = Settings.load().paths.models
    if names:
        wanted = models_of(names)
    else:
        wanted = [model for model in MODELS.values() if state_of(models, model).kind != "missing"]
    if not wanted:
        raise WeightsError("no model is installed; run: reelwright models download demo")
    seen = wrong = 0
    for model in wanted:
        files, problems = _verified(models, model)
        seen += files
        wrong += len(problems)
        for problem in problems:
            say(f"{problem}; run: reelwright models download {model.name}")
    if wrong:
        raise typer.Exit(1)
    sys.stdout.write(f"{seen} files are what they were when installed\n")


def accept(models: Path, wanted: Iterable[Model], accepted: Sequence[str]) -> None:
    """Show what licences restrict, and ask for what `accepted` does not name.

    A model that is there was accepted before. Raises BriefError if one is not accepted.
    """
    from infra.adapters.weights.library import state_of

    named = {word.casefold() for word in accepted}
    for model in wanted:
        if not model.licence_note or state_of(models, model).kind in ("installed", "unchecked"):
            continue
        say(f"{model.name}: {model.licence_note}")
        # A model that is built from an installed package is here already, with its terms.
        if isinstance(model.source, BuiltSource):
            continue
        if {model.name.casefold(), model.licence.casefold()} & named:
            continue
        if not (sys.stdin.isatty() and typer.confirm("Do you accept?", default=False, err=True)):
            raise BriefError(
                f"the licence of {model.name} ({model.licence}) was not accepted, so nothing was "
                f"fetched; accept it with --accept-licence {model.name}"
            )


def presets_by_model() -> dict[str, list[str]]:
    """Names of the presets that need a model, for each model."""
    from pipelines.backends.registry import definitions

    found: dict[str, list[str]] = {}
    for definition in definitions().values():
        further = [name for names in definition.more_models.values() for name in names]
        for preset in definition.presets:
            for name in dict.fromkeys((*definition.models, *further, *preset.options.models)):
                found.setdefault(name, []).append(preset.name)
    return found


def _chosen(names: list[str] | None, every: bool) -> list[Model]:
    if bool(names) == every:
        raise BriefError("name models or sets, or say --all; `reelwright models list` shows them")
    return list(MODELS.values()) if every else models_of(names or [])


def _verified(models: Path, model: Model) -> tuple[int, list[str]]:
    """Number of its files, and what is wrong with them."""
    from infra.adapters.weights.adopt import adopt, take_in_quantised
    from infra.adapters.weights.index import faults, read_index, unindexed_quantised
    from infra.adapters.weights.library import place_of
    from infra.apps.downloads import shown_progress
    from infra.apps.install import installing

    found = place_of(models, model)
    if found is None and models.is_dir():
        with installing(models, model, say):
            folder = adopt(models, model, say, shown_progress())
        index = read_index(folder) if folder else None
        if folder and index:
            return len(index.files), []
    if found is None:
        return 0, [f"{model.name} is not installed"]
    folder, index = found
    if unindexed_quantised(folder, index):
        with installing(models, model, say):
            index = take_in_quantised(model, folder, index, say)
    wrong = [f"{folder / name} {fault}" for name, fault in faults(folder, index, everything=True)]
    return len(index.files), wrong


_STATES = {
    "installed": "installed",
    "unchecked": "found, unchecked",
    "incomplete": "incomplete",
    "missing": "missing",
}


def _line(model: Model, state: "State") -> str:
    size = state.size or model.size
    parts = [
        f"{model.name:<24}",
        f"{model.role:<10}",
        f"{_size_text(model, size):>12}",
        f"{_STATES[state.kind]:<16}",
        f"{model.title} ({model.licence})",
    ]
    return " ".join(parts)


def _size_text(model: Model, size: int) -> str:
    if size:
        return size_text(size)
    return "in a package" if isinstance(model.source, BuiltSource) else "?"


def _view(model: Model, state: "State") -> dict[str, Any]:
    return {
        "name": model.name,
        "role": model.role,
        "title": model.title,
        "licence": model.licence,
        "licence_note": model.licence_note,
        "download_bytes": model.size,
        "state": state.kind,
        "bytes": state.size,
        "fault": state.fault,
        "folder": str(state.folder) if state.folder else "",
        "memory": model.memory,
        "sets": list(_sets_of(model.name)),
        "presets": presets_by_model().get(model.name, []),
    }


def _sets_of(name: str) -> Iterator[str]:
    return (item.name for item in MODEL_SETS.values() if name in item.models)
