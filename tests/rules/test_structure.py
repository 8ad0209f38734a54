"""What the import contracts in pyproject.toml cannot say: no cycles, and small units of code."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import grimp
import pytest

from tests.conftest import REPOSITORY

PACKAGES = ("infra", "flows", "tasks", "pipelines", "reelwright")
ROOMS = ("infra.apps", "infra.adapters", "pipelines", "tasks")
"""Packages whose parts (modules and subpackages) must not depend on each other in a circle."""
MAX_MEDIAN, MAX_FUNCTION = 150, 60
"""Lines of the median file, and of the longest function with its decorators and docstring."""


@cache
def imports() -> frozenset[tuple[str, str]]:
    """(importer, imported) of every import between our modules, those inside functions and under
    TYPE_CHECKING included: a cycle is a cycle for the reader, whenever Python resolves it."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return frozenset(
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    )


def part_of(room: str, module: str) -> str:
    """The direct child of `room` that `module` is or belongs to; empty if it is not in `room`."""
    if not module.startswith(f"{room}."):
        return ""
    return ".".join(module.split(".")[: room.count(".") + 2])


def cycle_in(edges: Iterable[tuple[str, str]]) -> list[str]:
    """The nodes of one cycle, the first also at the end; empty if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for start, end in sorted(edges):
        sorter.add(start, end)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_cycle_is_found() -> None:
    assert cycle_in({("a", "b"), ("b", "c"), ("a", "c")}) == []
    assert set(cycle_in({("a", "b"), ("b", "c"), ("c", "b")})) == {"b", "c"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle_in(imports()) == []


@pytest.mark.parametrize("room", ROOMS)
def test_no_parts_of_a_room_depend_on_each_other_in_a_circle(room: str) -> None:
    edges = {
        (part_of(room, start), part_of(room, end))
        for start, end in imports()
        if part_of(room, start) and part_of(room, end)
    }
    edges = {(start, end) for start, end in edges if start != end}
    assert cycle_in(edges) == []


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")]


def test_the_median_file_is_short() -> None:
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in sources()]
    assert median(lengths) < MAX_MEDIAN


def lengths_of_functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def test_the_length_of_a_function_counts_its_decorators() -> None:
    tree = ast.parse("class A:\n    @property\n    def one(self):\n        return 1\n")
    assert list(lengths_of_functions(tree)) == [("one", 3)]


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(REPOSITORY)}:{name}": length
        for path in sources()
        for name, length in lengths_of_functions(ast.parse(path.read_text(encoding="utf-8")))
        if length > MAX_FUNCTION
    }
    assert long == {}
