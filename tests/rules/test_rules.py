"""The rules of the house, checked by the tools that exist for them."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from infra.adapters.settings import SECTIONS, variable_of
from tests.conftest import REPOSITORY

BIN = Path(sys.executable).parent


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return [REPOSITORY / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["lint-imports"],
        ["mypy"],
    ],
    ids=lambda command: " ".join(command),
)
def test_the_tools_have_nothing_to_say(command: list[str]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_constraints_name_versions_and_no_addresses() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.\-]+==[\w.!+]+", pin) for pin in pins)


def test_what_is_installed_is_what_the_constraints_say() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for name in ("prefect", "fastapi", "sqlalchemy", "torch", "diffusers", "llama_cpp_python"):
        pinned = pins.get(name) or pins.get(name.replace("_", "-")) or pins["SQLAlchemy"]
        assert metadata.version(name) == pinned


def test_every_setting_is_documented_and_every_documented_one_is_there() -> None:
    page = (REPOSITORY / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(REELWRIGHT_\w+)` \|", page, re.MULTILINE))
    assert documented == {
        variable_of(section, field) for section in SECTIONS for field in section.model_fields
    }


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(REPOSITORY)): count
        for path in tracked()
        if path.suffix == ".py"
        and path.exists()
        and (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
