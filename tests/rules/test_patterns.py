"""Patterns of fields hold for the whole value: pydantic looks for them anywhere in it."""

import importlib
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from tests.conftest import REPOSITORY

ROOMS = ("pipelines", "tasks", "infra")


def modules() -> Iterator[str]:
    for room in ROOMS:
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            if "training" not in path.parts and path.stem != "__main__":
                yield ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from models(model)


def test_every_pattern_is_of_the_whole_value() -> None:
    with_models = [
        name
        for name in modules()
        if "pattern=" in Path(REPOSITORY, *name.split(".")).with_suffix(".py").read_text()
    ]
    for name in with_models:
        importlib.import_module(name)
    found = {
        f"{model.__module__}.{model.__name__}.{name}": pattern
        for model in models()
        if model.__module__.split(".")[0] in ROOMS
        for name, field in model.model_fields.items()
        for part in field.metadata
        if (pattern := getattr(part, "pattern", None))
    }
    assert len(found) > 10
    loose = {name: text for name, text in found.items() if text[0] + text[-1] != "^$"}
    assert loose == {}
