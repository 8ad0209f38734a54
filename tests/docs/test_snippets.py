"""What the documents print as commands and files can be given as it is printed."""

import json
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.main import get_command

from infra.adapters.settings import SECTIONS, variable_of
from infra.apps.cli import app
from pipelines.training import __main__ as training
from pipelines.training import scorecard
from tests.conftest import REPOSITORY
from tests.docs.test_links import PAGES, inline, tokens_of

COMMAND = get_command(app)
SHELL = ("sh", "bash", "console", "")
SKIPPED = {"docs/reference/cli.md", "CHANGELOG.md"}
"""Written from the code; about versions that are over."""
HAND_WRITTEN = [page for page in PAGES if str(page.relative_to(REPOSITORY)) not in SKIPPED]
SET_BY_OTHERS = {"REELWRIGHT_STUDIO_ENV"}
"""Variables of ours that are no settings of the program."""


def by_name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def blocks_of(path: Path) -> Iterator[tuple[str, str]]:
    """Language and text of every block of code."""
    for token in inline(tokens_of(path)):
        if token.type in ("fence", "code_block"):
            yield token.info.strip(), token.content


def lines_of(path: Path) -> Iterator[str]:
    """The lines of all shell blocks, continued ones joined."""
    for language, text in blocks_of(path):
        if language in SHELL:
            yield from re.sub(r"\\\n\s*", "", text).splitlines()


def commands_of(path: Path) -> Iterator[list[str]]:
    """Arguments of each `reelwright …` in a shell block, those in `$( … )` included."""
    for line in lines_of(path):
        for inner in re.findall(r"\$\((reelwright [^)]*)\)", line):
            yield inner.split()[1:]
        plain = re.sub(r"\$\([^)]*\)", "1", line)
        plain = re.sub(r"\$\w+", "1", plain)
        match = re.match(r"(?:[A-Z_]+=\S+ |sudo -E -u \w+ )*reelwright (.*)$", plain.strip())
        if match and not match[1].startswith(": "):
            yield shlex.split(re.split(r" \|\|? | > ", match[1])[0], comments=True)


def check(arguments: list[str], folder: Path) -> None:
    """Parse a command line without running it; files that it reads are made. Raises what Typer
    raises for a command or option that does not exist, and for a value that breaks a rule."""
    command: Any = COMMAND
    names = []
    while getattr(command, "commands", None):
        word = arguments[0]
        assert word in command.commands, f"there is no command {' '.join([*names, word])!r}"
        command, arguments = command.commands[word], arguments[1:]
        names.append(word)
    for word in arguments:
        if re.fullmatch(r"[\w/-]+\.(yaml|json|txt|png|zip)", word):
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    command.make_context(" ".join(names), list(arguments))


def test_a_wrong_command_is_found(tmp_path: Path) -> None:
    check(["route", "a fox", "--seconds", "8"], tmp_path)
    with pytest.raises(AssertionError, match="no command 'rout'"):
        check(["rout", "a fox"], tmp_path)
    with pytest.raises(typer.TyperException, match="--secnds"):
        check(["route", "a fox", "--secnds", "8"], tmp_path)


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=by_name)
def test_every_printed_command_can_be_given(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in commands_of(page):
        try:
            check(arguments, tmp_path)
        except typer.TyperException as error:
            pytest.fail(f"reelwright {shlex.join(arguments)}: {error}")


def mentioned(path: Path) -> Iterator[list[str]]:
    """Words of each `reelwright …` within a sentence, as far as they are no placeholders."""
    for token in inline(tokens_of(path)):
        if token.type == "code_inline" and token.content.startswith("reelwright "):
            text = " ".join(token.content.split())
            yield re.split(r"[\"…|]| [A-Z]{2,}| -- ", text)[0].split()[1:]


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=by_name)
def test_every_mentioned_command_and_option_exists(page: Path) -> None:
    for words in mentioned(page):
        command: Any = COMMAND
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        is_group = bool(getattr(command, "commands", {}))
        assert not (is_group and words), f"there is no command {words[0]!r}"
        options = {name for parameter in command.params for name in parameter.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given - options - {"--help"} == set()


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=by_name)
def test_every_printed_target_and_module_exists(page: Path) -> None:
    rules = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", rules, re.MULTILINE), f"make {target}"
    for module in re.findall(r"python -m ((?:tests|infra|pipelines)[\w.]*)", text):
        assert find_spec(module) is not None, module


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=by_name)
def test_every_printed_variable_is_a_setting(page: Path) -> None:
    known = {variable_of(section, name) for section in SECTIONS for name in section.model_fields}
    printed = re.findall(r"REELWRIGHT_[A-Z0-9_]*[A-Z0-9]\b(?!_?…)", page.read_text("utf-8"))
    assert set(printed) - known - SET_BY_OTHERS == set()


@pytest.mark.parametrize("page", HAND_WRITTEN, ids=by_name)
def test_every_printed_file_can_be_read(page: Path) -> None:
    for language, text in blocks_of(page):
        if language == "json":
            json.loads(text)
        elif language in ("yaml", "yml"):
            yaml.safe_load(text)
        elif language == "python":
            compile(text, str(page), "exec")


def test_pages_print_commands() -> None:
    """Or the tests above would check nothing."""
    found = [arguments for page in HAND_WRITTEN for arguments in commands_of(page)]
    assert len(found) > 60


@pytest.mark.parametrize("command", [training.parser, scorecard.parser])
def test_every_option_of_the_training_is_in_its_page(
    command: Callable[[], ArgumentParser],
) -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text("utf-8")
    options = {name for action in command()._actions for name in action.option_strings}
    options -= {"-h", "--help"}
    assert len(options) >= 4
    assert {name for name in options if f"`{name}" not in page} == set()
