"""Commands that stand below a word: `reelwright keys …`, `calendar …`, `hooks …`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.adapters.settings import Settings
from infra.apps.console import plain

keys_app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)
calendar_app = typer.Typer(help="The content calendar.", no_args_is_help=True)
hooks_app = typer.Typer(help="Webhooks in and out.", no_args_is_help=True)


def adopt_studio() -> Settings:
    """Reach the studio of this machine, unless the environment names another."""
    from infra.apps.studio import environment

    environment.adopt(Settings.load())
    return Settings.load()


def show(lines: object) -> None:
    """Each as a line of its own on standard output."""
    for line in lines:  # type: ignore[attr-defined]
        sys.stdout.write(plain(str(line)) + "\n")


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="read, make, approve, manage; repeatable.")
    ] = None,
) -> None:
    """Make an API key and print it; it is shown this once."""
    from infra.apps.gateway import keys
    from infra.apps.gateway.database import opened

    with opened(Settings.load().paths.data_dir) as database:
        show([keys.add(database, name, scope or ["read", "make"])])


@keys_app.command("list")
def keys_list() -> None:
    """Names, scopes and dates of all keys."""
    from infra.apps.gateway import keys
    from infra.apps.gateway.database import opened

    with opened(Settings.load().paths.data_dir) as database:
        show(f"{name:<20} {scopes:<28} {made[:10]}" for name, scopes, made in keys.listed(database))


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="Whose key.")]) -> None:
    """Make a key useless at once."""
    from infra.apps.gateway import keys
    from infra.apps.gateway.database import opened

    with opened(Settings.load().paths.data_dir) as database:
        keys.revoke(database, name)


@calendar_app.command("check")
def calendar_check(
    file: Annotated[
        Path | None, typer.Argument(help="A file; the calendar in use if left out.", exists=True)
    ] = None,
) -> None:
    """Name every entry and what is wrong with it; exit 1 if something is."""
    from infra.apps import calendar

    lines, good = calendar.check(adopt_studio(), file)
    show(lines)
    if not good:
        raise typer.Exit(1)


@calendar_app.command("next")
def calendar_next(
    name: Annotated[str, typer.Argument(help="The entry.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 5,
) -> None:
    """What was started or skipped, what is due, and what comes, each with its reason."""
    from infra.apps import calendar

    show(calendar.following(adopt_studio(), name, count))


@calendar_app.command("run")
def calendar_run(name: Annotated[str, typer.Argument(help="The entry.")]) -> None:
    """Start an entry now."""
    from infra.apps import calendar

    show([calendar.run(adopt_studio(), name)])


@calendar_app.command("put")
def calendar_put(
    file: Annotated[Path, typer.Argument(help="YAML.", exists=True, dir_okay=False)],
) -> None:
    """Make a file the calendar, if every entry of it is good."""
    from infra.apps import calendar

    entries = calendar.put(adopt_studio(), file).entries
    show([f"{len(entries)} entries: {', '.join(entry.name for entry in entries)}"])
