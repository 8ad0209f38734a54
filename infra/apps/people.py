"""Commands about people: `reelwright users …`, `reelwright sessions …`, `reelwright audit`.

They write into the gateway's database directly, also while no gateway runs, and what they change
stands in the audit log under the name of the machine's user.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from infra.apps.commands import show
from infra.apps.console import say
from infra.apps.recorded import opened_by_operator, record
from pipelines.errors import BriefError

users_app = typer.Typer(help="People and machines that may use the gateway.", no_args_is_help=True)
sessions_app = typer.Typer(help="Browsers that are logged in.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The user.")]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", help="editor, approver, operator or machine; repeatable."),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="File that holds the password in its first line; -: standard input."
    ),
]
_NEWLINE = "\r\n"


@users_app.command("add")
def users_add(
    name: Name,
    role: Roles = None,
    password_file: PasswordFile = None,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password", help="They log in by single sign-on, a link or a key instead."
        ),
    ] = False,
) -> None:
    """Let a person or a machine in. On a terminal it asks for a password."""
    from infra.apps.gateway import users

    roles = role or ["editor"]
    secret = "" if no_password or "machine" in roles else _password(password_file)
    with opened_by_operator() as database:
        user = users.add(database, name, roles, secret)
        record(database, "user.added", user.name, ", ".join(user.roles))
    show([f"{user.name} is {' and '.join(user.roles)}"])
    if not secret:
        say(
            f"without a password; `reelwright login --user {name!r}` prints a link that logs in "
            f"once, `reelwright keys add NAME --user {name!r}` a key"
        )


@users_app.command("list")
def users_list(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Names, roles, and when each user was last seen."""
    from infra.apps.gateway import users

    with opened_by_operator() as database:
        found = users.everybody(database)
    if as_json:
        listed = [
            {
                "name": user.name,
                "roles": user.roles,
                "password": user.has_password,
                "created": user.created,
                "last_seen": user.last_seen or None,
                "disabled": user.disabled or None,
            }
            for user in found
        ]
        sys.stdout.write(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
        return
    show(
        f"{user.name:<24} {', '.join(user.roles):<20} "
        f"{'password' if user.has_password else '-':<9} last seen {user.last_seen[:16] or 'never'}"
        + (f"  disabled since {user.disabled[:10]}" if user.disabled else "")
        for user in found
    )


@users_app.command("roles")
def users_roles(name: Name, role: Roles = None) -> None:
    """Give a user these roles and no others; it holds at once."""
    from infra.apps.gateway import users

    with opened_by_operator() as database:
        user = users.set_roles(database, name, role or [])
        record(database, "user.roles", user.name, ", ".join(user.roles))
    show([f"{user.name} is {' and '.join(user.roles)}"])


@users_app.command("password")
def users_password(name: Name, password_file: PasswordFile = None) -> None:
    """Give a user another password and end their sessions."""
    from infra.apps.gateway import users

    with opened_by_operator() as database:
        users.named(database, name)
        user = users.set_password(database, name, _password(password_file))
        record(database, "user.password", user.name)
    show([f"{user.name} has a new password, and no session"])


@users_app.command("disable")
def users_disable(name: Name) -> None:
    """Keep a user out at once: sessions end, keys are refused. What they made stays."""
    from infra.apps.gateway import users

    with opened_by_operator() as database:
        user = users.disable(database, name)
        record(database, "user.disabled", user.name)
    show([f"{user.name} is disabled; to let them in again: reelwright users enable {name!r}"])


@users_app.command("enable")
def users_enable(name: Name) -> None:
    """Let a disabled user in again; they log in anew."""
    from infra.apps.gateway import users

    with opened_by_operator() as database:
        user = users.enable(database, name)
        record(database, "user.enabled", user.name)
    show([f"{user.name} may log in"])


@sessions_app.command("list")
def sessions_list() -> None:
    """Who is logged in, since when, from where, and when they were last seen."""
    from infra.apps.gateway import sessions

    with opened_by_operator() as database:
        found = sessions.listed(database)
    show(
        f"{item.id}  {item.client or '(shut out)':<24} {item.way or '-':<9} "
        f"{item.address or '-':<16} since {_when(item.created)}, last seen {_when(item.last_seen)}"
        for item in found
    )


@sessions_app.command("end")
def sessions_end(
    session: Annotated[str, typer.Argument(help="Its id in `sessions list`.")] = "",
    of: Annotated[str, typer.Option("--of", help="All of this user, key or `operator`.")] = "",
) -> None:
    """End a session, or all of one user."""
    from infra.apps.gateway import sessions

    if bool(session) == bool(of):
        raise BriefError("name one session, or whose sessions with --of NAME")
    with opened_by_operator() as database:
        if session:
            sessions.end(database, session)
            count = 1
        else:
            count = sessions.end_all_of(database, of)
        record(database, "session.ended", of or session, f"{count} sessions")
    show([f"{count} session{'' if count == 1 else 's'} ended"])


def audit(
    who: Annotated[str, typer.Option(help="Only of this name.")] = "",
    action: Annotated[
        str, typer.Option(help="Such as run.started, or `run` for all about runs.")
    ] = "",
    subject: Annotated[str, typer.Option(help="Such as the id of a run or video.")] = "",
    since: Annotated[str, typer.Option(help="A date, or so many days ago, as in 7d.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Lines at most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="For programs, a line an entry.")] = False,
) -> None:
    """Show who did what through the gateway and these commands, the newest first."""
    from infra.apps.gateway import audit as log

    wanted = log.Wanted(who, action, subject, _since(since), limit=limit)
    with opened_by_operator() as database:
        found = log.entries(database, wanted)
    if as_json:
        lines = (json.dumps(entry.as_dict(), ensure_ascii=False) for entry in found)
        sys.stdout.writelines(f"{line}\n" for line in lines)
        return
    show(
        f"{entry.at[:19]}  {entry.who or 'a stranger':<24} {entry.action:<16} "
        f"{entry.subject} {entry.detail}".rstrip()
        for entry in found
    )


def _password(file: Path | None) -> str:
    """From the file, or asked for twice on a terminal. Raises BriefError if there is neither."""
    if file is not None:
        text = sys.stdin.readline() if str(file) == "-" else _first_line(file)
        if not text.strip(_NEWLINE):
            raise BriefError(f"{file} holds no password in its first line")
        return text.strip(_NEWLINE)
    if not sys.stdin.isatty():
        raise BriefError(
            "there is no terminal to ask for a password; name a file with --password-file, or - "
            "for standard input"
        )
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"the password cannot be read: {error}") from error


def _when(seconds: float) -> str:
    if not seconds:
        return "?"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M")


def _since(text: str) -> str:
    """A date or a number of days as the beginning in UTC. Raises BriefError for any other text."""
    if not text:
        return ""
    try:
        if text.endswith("d"):
            then = datetime.now(UTC) - timedelta(days=float(text[:-1]))
        else:
            then = datetime.fromisoformat(text)
            then = then.replace(tzinfo=UTC) if then.tzinfo is None else then.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BriefError(
            f"--since {text!r:.40} is neither a date nor a number of days; take 2026-11-01, or 7d"
        ) from error
    return then.isoformat(timespec="seconds")
