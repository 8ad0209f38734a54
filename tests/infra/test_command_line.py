"""The command around its commands: version, help, completion of a shell."""

from importlib import metadata

import pytest

from tests.conftest import Cli

COMPLETE = "_REELWRIGHT_COMPLETE"
BY_NAME = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"


def test_the_version_is_that_of_the_package_and_nothing_is_started(embedded_cli: Cli) -> None:
    result = embedded_cli("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"reelwright {metadata.version('reelwright')}\n"
    assert not embedded_cli.data.exists()


def test_help_names_the_version_and_the_completion(embedded_cli: Cli) -> None:
    result = embedded_cli("--help")
    assert result.code == 0
    assert all(name in result.out for name in ("--version", "--install-completion"))


def test_the_version_is_told_where_settings_are_wrong(embedded_cli: Cli) -> None:
    result = embedded_cli("--version", REELWRIGHT_BACKENDS="/nowhere/backends.yaml")
    assert result.code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(embedded_cli: Cli, shell: str) -> None:
    # Else typer looks which shell started the command, and `make` starts it with sh.
    result = embedded_cli("--show-completion", shell, **{BY_NAME: "1"})
    assert result.code == 0
    assert COMPLETE in result.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("reelwright ca", ["calendar"]),
        ("reelwright models do", ["download"]),
        ("reelwright make --pre", ["--preset"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    embedded_cli: Cli, words: str, offered: list[str]
) -> None:
    last = str(len(words.split()) - 1)
    result = embedded_cli(**{COMPLETE: "complete_bash", "COMP_WORDS": words, "COMP_CWORD": last})
    assert (result.code, result.out.split()) == (0, offered)
