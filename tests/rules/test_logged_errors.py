"""The check of every test's log sees the errors of every logger, and wants those that are asked."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.logged_errors import LoggedErrors, collected, complaint


@pytest.mark.expects_errors("the value 7 is wrong", "it failed: ValueError: seven")
def test_it_sees_errors_of_loggers_without_handlers_or_propagation() -> None:
    logger = logging.Logger("a logger outside the tree")
    with collected() as errors:
        logger.warning("a warning")
        logger.error("the value %s is wrong", 7)
        try:
            raise ValueError("seven")
        except ValueError:
            logger.exception("it failed")
    assert errors.messages == [
        "a logger outside the tree: the value 7 is wrong",
        "a logger outside the tree: it failed: ValueError: seven",
    ]


def test_it_reads_the_log_files_of_commands(tmp_path: Path) -> None:
    path = tmp_path / "reelwright.log"
    path.write_text(
        "2026-11-27 10:00:00,123 INFO reelwright.store: no ERROR here\n"
        "2026-11-27 10:00:01,123 ERROR reelwright.store: lost\n"
    )
    errors = LoggedErrors()
    errors.files = [path, tmp_path / "never written"]
    errors.read_files()
    assert errors.messages == ["2026-11-27 10:00:01,123 ERROR reelwright.store: lost"]


@pytest.mark.parametrize(
    ("messages", "expected", "allowed", "words"),
    [
        ([], [], [], ""),
        (["a: lost"], ["lost"], [], ""),
        (["a: lost"], [], ["lost"], ""),
        ([], [], ["lost"], ""),
        (["a: lost", "a: found"], ["lost"], [], "logged, and not expected: a: found"),
        (["a: lost", "a: found"], [], ["lost"], "logged, and not expected: a: found"),
        ([], ["lost"], [], "expected, and not logged: lost"),
    ],
)
def test_it_complains_of_what_is_too_much_and_of_what_is_missing(
    messages: list[str], expected: list[str], allowed: list[str], words: str
) -> None:
    assert complaint(messages, expected, allowed) == words


CASES = """
import logging
import pytest

def test_silent():
    pass

def test_logs_an_error():
    logging.getLogger("x").error("lost")

@pytest.mark.expects_errors("^x: lost$")
def test_logs_the_error_that_it_expects():
    logging.getLogger("x").error("lost")

@pytest.mark.expects_errors("lost")
def test_expects_an_error_that_does_not_come():
    pass
"""


def test_every_test_of_the_suite_is_checked(tmp_path: Path) -> None:
    """With the suite's own conftest, in a process of its own."""
    (tmp_path / "test_cases.py").write_text(CASES)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(tmp_path), "-rA"]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    ends = [
        line.split("::")[1].split(" ")[0]
        for line in done.stdout.splitlines()
        if line.startswith("ERROR ") and "::" in line
    ]
    assert sorted(ends) == ["test_expects_an_error_that_does_not_come", "test_logs_an_error"], (
        done.stdout + done.stderr
    )
    assert "4 passed, 2 errors" in done.stdout
