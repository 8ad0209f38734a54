"""The reference is what the code says, and the code says something about everything."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from infra.adapters.settings import SECTIONS, variable_of
from infra.apps.cli import app
from infra.apps.gateway.codes import ERROR_CODES
from tests.conftest import REPOSITORY
from tests.docs.generated import PAGES

RAISERS = {"ProblemError", "problem_response", "_refuse"}
"""What makes a problem response: status, code and message are its first arguments."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_the_code_says(name: str) -> None:
    written = (REPOSITORY / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), f"{name} is not up to date; run: make docs"


def test_every_setting_says_what_it_is_for() -> None:
    silent = [
        variable_of(section, name)
        for section in SECTIONS
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert silent == []


def parameters_of(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every option and argument below `command`, with the command's name."""
    for parameter in command.params:
        yield f"{name} {parameter.name}", parameter
    for word, inner in getattr(command, "commands", {}).items():
        yield from parameters_of(inner, f"{name} {word}")


def test_every_option_and_argument_says_what_it_is_for() -> None:
    found = dict(parameters_of(get_command(app), "reelwright"))
    assert len(found) > 60
    assert [name for name, parameter in found.items() if not parameter.help] == []


def codes_in(source: str) -> Iterator[tuple[int, str]]:
    """Status and code of the problem responses in `source`, where both are constants."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        called = node.func
        name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
        status, code = node.args[:2]
        if name in RAISERS and isinstance(status, ast.Constant) and isinstance(code, ast.Constant):
            yield status.value, code.value


def test_codes_are_found_in_source() -> None:
    source = 'raise ProblemError(409, "ended", "x")\nself._refuse(408, "too_slow", f"{x}")\n'
    assert list(codes_in(source)) == [(409, "ended"), (408, "too_slow")]


COMPUTED = {
    (502, "run_failed"),
    (502, "run_cancelled"),
    (502, "run_rejected"),
    (405, "method_not_allowed"),
    (400, "http_error"),
    (406, "http_error"),
    (415, "http_error"),
}
"""Codes that the source composes: of a run's state, and of what the web framework refuses."""


def test_every_error_code_is_documented_with_its_statuses_and_every_documented_one_is_used() -> (
    None
):
    folder = REPOSITORY / "infra" / "apps" / "gateway"
    used = {
        found
        for path in folder.glob("*.py")
        for found in codes_in(path.read_text(encoding="utf-8"))
    }
    documented = {(status, name) for name, code in ERROR_CODES.items() for status in code.statuses}
    assert documented == used | COMPUTED
