"""The commands `reelwright backup` and `reelwright restore`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from infra.adapters.settings import Settings
from infra.apps.console import plain, say
from pipelines.errors import BackupError, BriefError

_VERIFY = "verify"


def backup(
    where: Annotated[
        list[str],
        typer.Argument(
            metavar="[verify] FOLDER", help="A folder of its own, on another disk if you can."
        ),
    ],
    passphrase_file: Annotated[
        Path | None,
        typer.Option(help="Its first line encrypts the secrets, which are left out without it."),
    ] = None,
    keep: Annotated[int, typer.Option(min=0, help="Snapshots that stay; 0: all.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Save the studio, running or not; what the folder has already is not copied again.

    `reelwright backup verify FOLDER` reads a whole backup and names what was altered.
    """
    if len(where) == 2 and where[0] == _VERIFY:
        _verify(Path(where[1]))
        return
    if len(where) != 1:
        raise BriefError("write: reelwright backup FOLDER, or: reelwright backup verify FOLDER")
    from infra.apps.backup.sealing import read_passphrase
    from infra.apps.backup.take import backup as save

    phrase = read_passphrase(passphrase_file) if passphrase_file else ""
    report = save(Settings.load(), Path(where[0]), passphrase=phrase, keep=keep, say=say)
    sys.stdout.write((report.as_json() if as_json else plain(report.as_text())) + "\n")
    if report.damaged:
        raise typer.Exit(1)


def restore(
    folder: Annotated[Path, typer.Argument(help="The folder of a backup.")],
    passphrase_file: Annotated[
        Path | None, typer.Option(help="That of the backup; without it, no secrets come back.")
    ] = None,
    snapshot: Annotated[str, typer.Option(help="Its name; the latest if left out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Fill an empty data directory from a backup; start the studio afterwards."""
    from infra.apps.backup.restore import restore as fill
    from infra.apps.backup.sealing import read_passphrase

    phrase = read_passphrase(passphrase_file) if passphrase_file else ""
    done = fill(Settings.load(), folder, snapshot=snapshot, passphrase=phrase, say=say)
    sys.stdout.write((done.as_json() if as_json else plain(done.as_text())) + "\n")


def _verify(folder: Path) -> None:
    from infra.apps.backup.vault import Vault

    vault = Vault.at(folder)
    with vault.reading(lambda: say(f"a backup writes to {folder}: waiting")):
        faults, names = list(vault.faults()), vault.names()
    if faults:
        raise BackupError(
            f"{folder} is not as it was: {'; '.join(faults)}; remove such a file, and the next "
            "backup copies it again if the studio still has it"
        )
    sys.stdout.write(f"{len(names)} snapshots are whole, the latest {names[-1]}\n")
