"""The border around backends: outside it nobody knows one of them by its name or its numbers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.weights.catalog import MODEL_SETS, MODELS
from pipelines.backends.fit import check_fit
from pipelines.backends.registry import definitions, offered_sizes, presets, stand_in
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError
from pipelines.planning.plan import frames_of
from pipelines.schema.sizes import Size
from tests.conftest import REPOSITORY

_INSIDE = ("pipelines/backends", "pipelines/training", "infra/adapters/weights")
_CONTRACTS = {
    "infra/apps/gateway/wan_requests.py": "speaks the contract of the Wan service",
    "infra/apps/gateway/wan.py": "speaks the contract of the Wan service",
    "infra/apps/install.py": "builds the demo's models from what this repository carries",
    "infra/apps/doctor.py": "says whether the pinned packages are installed",
    "pipelines/publishing.py": "notes versions of packages in the manifest",
}
_NAMES = re.compile(
    r"\b(?:diffusers|Wan[A-Z]\w+|AnimateDiff\w*|LTX\w*|UMT5\w*|VACE|wan-\w+|tiny-wan|sd15"
    r"|t2v-\w+|ti2v-\w+|i2v-\w+|animate-14B|ltx-2\S*|4k\+1)|^(?:FPS|TIMESCALE)$"
)
_SERVICE = ("pipelines.backends.wan.service_tasks", "WAN_TASKS", "WanTask")
"""The table of the Wan service's tasks, which its two pages list."""


def _sources() -> Iterator[Path]:
    for room in ("flows", "tasks", "pipelines", "infra"):
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            name = str(path.relative_to(REPOSITORY))
            if not name.startswith(_INSIDE) and name not in _CONTRACTS:
                yield path


def _words(tree: ast.Module) -> Iterator[str]:
    """Names and texts of the code; docstrings may tell why something is as it is."""
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in documents:
                yield text
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.ImportFrom(module=str(name)):
                yield name


def test_outside_backends_nothing_names_one() -> None:
    found: dict[str, set[str]] = {}
    for path in _sources():
        name = str(path.relative_to(REPOSITORY))
        allowed = ("pipelines.backends.",) if name.endswith("registry.py") else _SERVICE
        words = {word[:80] for word in _words(ast.parse(path.read_text())) if _NAMES.search(word)}
        if left := {word for word in words if not word.startswith(allowed)}:
            found[name] = left
    assert found == {}


@pytest.mark.parametrize("name", list(definitions()))
def test_every_model_of_a_backend_is_in_the_catalog(name: str) -> None:
    definition = definitions()[name]
    wanted = definition.models_for(definition.capabilities.inputs)
    assert set(wanted) <= set(MODELS)
    assert definition.model_set in MODEL_SETS
    for preset in definition.presets:
        options = preset.options.model_dump()
        loras = [options[key] for key in ("lora", "lora_2") if options.get(key)]
        assert all(MODELS[lora].role == "lora" for lora in loras)


@pytest.mark.parametrize("name", list(presets()))
def test_every_preset_fits_its_own_backend(name: str) -> None:
    preset = presets()[name]
    definition = definitions()[preset.backend]
    check_fit(definition, preset, definition.capabilities.required | {"text"}, continues=False)
    assert isinstance(preset.options, definition.options)
    assert preset.title


def test_one_backend_stands_in_and_needs_nothing_but_text() -> None:
    assert [item.name for item in definitions().values() if item.stand_in] == [stand_in().name]
    assert not stand_in().capabilities.required


def test_no_preset_has_the_name_of_another() -> None:
    names = [preset.name for item in definitions().values() for preset in item.presets]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", list(definitions()))
def test_classes_that_a_backend_names_are_there(name: str) -> None:
    import importlib

    for library, classes in definitions()[name].libraries.items():
        loaded = importlib.import_module(library)
        assert all(hasattr(loaded, item) for item in classes)


_UPLOADS = {
    "first_frame": {"image": f"uploads/{'a' * 64}.png"},
    "last_frame": {"last_image": f"uploads/{'b' * 64}.png"},
    "reference_image": {"references": [f"uploads/{'c' * 64}.png"]},
    "reference_video": {"motion": f"uploads/{'d' * 64}.zip"},
    "continuation": {"joins": "continue"},
}
_VIDEOS = [name for name, preset in presets().items() if not preset.is_still]


def _sizes_not_offered(name: str) -> list[Size]:
    """Sizes that other presets offer and this one does not; it may offer all of them."""
    sizes = definitions()[presets()[name].backend].capabilities.sizes
    return [size for size in offered_sizes() if size not in sizes]


def _brief(name: str, **values: Any) -> dict[str, Any]:
    """A brief of that preset that fits, with other values."""
    required = definitions()[presets()[name].backend].capabilities.required
    brief: dict[str, Any] = {"prompt": "x", "preset": name}
    for kind in required:
        brief |= _UPLOADS[kind]
    return brief | values


@pytest.mark.parametrize("name", _VIDEOS)
def test_a_length_that_cannot_be_made_is_refused_with_those_that_can(name: str) -> None:
    can = definitions()[presets()[name].backend].capabilities
    wrong = can.max_frames + 1 if can.frame_step == 1 else can.longest - 1
    near = can.lengths_around(wrong)
    with pytest.raises(BriefError, match=rf"{wrong} frames a chunk cannot be made.*{near[0]}"):
        parse_brief(_brief(name, frames=wrong))
    assert parse_brief(_brief(name, frames=near[0])).frames == near[0]


@pytest.mark.parametrize("name", [name for name in _VIDEOS if _sizes_not_offered(name)])
def test_a_size_that_is_not_offered_is_refused_with_those_that_are(name: str) -> None:
    can = definitions()[presets()[name].backend].capabilities
    other = _sizes_not_offered(name)[0]
    with pytest.raises(
        BriefError, match=re.escape(str(other)) + ".*" + re.escape(str(can.sizes[0]))
    ):
        parse_brief(_brief(name, size=str(other)))


@pytest.mark.parametrize("kind", _UPLOADS)
@pytest.mark.parametrize("name", _VIDEOS)
def test_an_input_that_it_cannot_use_is_refused_and_one_that_it_needs_is_asked_for(
    name: str, kind: str
) -> None:
    can = definitions()[presets()[name].backend].capabilities
    if kind not in can.inputs:
        with pytest.raises(BriefError, match=r"leave out .* or choose a preset that can"):
            parse_brief(_brief(name, **_UPLOADS[kind]))
        return
    brief = parse_brief(_brief(name, **_UPLOADS[kind]))
    assert kind in brief.inputs
    if kind in can.required:
        without = {key: value for key, value in _brief(name).items() if key not in _UPLOADS[kind]}
        with pytest.raises(BriefError, match=r"needs .*: give one, or choose another preset"):
            parse_brief(without)


@pytest.mark.parametrize("name", _VIDEOS)
@pytest.mark.parametrize("seconds", [1, 2.5, 7.3])
def test_a_video_has_exactly_its_frames_at_every_rate(name: str, seconds: float) -> None:
    brief = parse_brief(_brief(name, seconds=seconds))
    assert frames_of(brief) == round(brief.backend.capabilities.fps * seconds)
