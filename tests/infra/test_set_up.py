"""What `make` shows of pip: a line of progress, what is large, and the end of a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.apps.set_up import Report
from tests.conftest import REPOSITORY

OUTPUT = """\
Collecting torch==2.15.0
  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (539.2 MB)
Progress 100000000 of 539200000
Progress 539200000 of 539200000
Collecting ruff
  Downloading ruff-0.17.5-py3-none-manylinux_2_17_x86_64.whl (10.6 MB)
Progress 10600000 of 10600000
  Using cached rich-15.0.0-py3-none-any.whl (310 kB)
  Building wheel for llama-cpp-python (pyproject.toml): started
  Building wheel for llama-cpp-python (pyproject.toml): still running...
Installing collected packages: torch, ruff, rich
"""


def shown(capsys: pytest.CaptureFixture[str], *, rewrites: bool) -> str:
    report = Report(rewrites=rewrites)
    for line in OUTPUT.splitlines():
        report.line(line)
    report.end()
    return capsys.readouterr().out


def test_in_a_log_only_what_is_large_or_slow_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, rewrites=False).splitlines() == [
        "  fetching torch-2.15.0, 539 MB",
        "  building llama-cpp-python",
        "  unpacking 3 packages",
        "  fetched 2 files, 549 MB, 1 files were here",
    ]


def test_on_a_terminal_one_line_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, rewrites=True)
    assert "fetching torch-2.15.0, 539 MB: 18 %; 100 MB in all" in text
    assert "fetching ruff-0.17.5, 10 MB: 100 %; 549 MB in all" in text
    assert text.count("\n") == 1


def pip(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up with `program` in the place of pip."""
    (folder / "pip").mkdir()
    (folder / "pip" / "__init__.py").touch()
    (folder / "pip" / "__main__.py").write_text(program)
    env = os.environ | {"PYTHONPATH": str(folder), "SET_UP_LOG": str(folder / "log")}
    argv = [sys.executable, "-m", "infra.apps.set_up", "install", "something"]
    return subprocess.run(argv, cwd=REPOSITORY, env=env, capture_output=True, text=True)


def test_warnings_of_a_build_go_to_the_log_alone(tmp_path: Path) -> None:
    done = pip(tmp_path, "print('warning: unused variable'); print('Progress 1 of 2')")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warning" not in done.stdout
    log = (tmp_path / "log").read_text()
    assert "pip --disable-pip-version-check --no-color install --progress-bar raw something" in log
    assert "warning: unused variable" in log
    assert "Progress" not in log


def test_a_failure_shows_its_last_lines_and_where_the_rest_is(tmp_path: Path) -> None:
    program = "import sys\nfor n in range(99): print('line', n)\nsys.exit(3)"
    done = pip(tmp_path, program)
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == "line 69"
    assert lines[-2] == "line 98"
    assert lines[-1] == f"pip failed with code 3; all that it said is in {tmp_path / 'log'}"
