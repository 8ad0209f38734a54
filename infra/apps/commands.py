"""Groups of commands: `reelwright keys …`, `reelwright calendar …`, `reelwright hooks …`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from infra.adapters.settings import Settings
from infra.apps.console import plain

keys_app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)
calendar_app = typer.Typer(help="The content calendar.", no_args_is_help=True)
hooks_app = typer.Typer(help="Webhooks in and out.", no_args_is_help=True)


def adopt_studio() -> Settings:
    """`environment.adopted`, imported only by the commands that need it."""
    from infra.apps import environment

    return environment.adopted()


def reach_studio() -> Settings:
    """As `adopt_studio`, for a command that asks the Prefect server.

    Raises SettingsError if no server is named, ServerError if it does not answer.
    """
    from infra.apps import environment

    settings = adopt_studio()
    environment.require_server()
    environment.require_healthy_server()
    return settings


def reach_store() -> Settings:
    """As `adopt_studio`, for a command that reads or writes the bucket.

    Raises SettingsError if no object store is named.
    """
    from infra.apps import environment

    settings = adopt_studio()
    environment.require_store(settings)
    return settings


def show(lines: Iterable[object]) -> None:
    """Print each item as a line on standard output."""
    for line in lines:
        sys.stdout.write(plain(str(line)) + "\n")


@keys_app.command("add")
def keys_add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="read, make, approve, review, manage, metrics; repeatable."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=0, max=36_500, help="How long it is valid; 0: until it is revoked.")
    ] = 0,
    user: Annotated[
        str, typer.Option(help="The user as whom it acts, with at most their scopes.")
    ] = "",
) -> None:
    """Make an API key and print it; it is shown this once."""
    from infra.apps.gateway import keys, users
    from infra.apps.recorded import opened_by_operator, record

    scopes = scope or ["read", "make"]
    with opened_by_operator() as database:
        owner = users.allowed(database, user).id if user else ""
        key = keys.add(database, name, scopes, days=days, user_id=owner)
        until = f" for {days} days" if days else ""
        record(database, "key.added", name, f"{' '.join(scopes)}{until}{user and f' of {user}'}")
    show([key])


@keys_app.command("list")
def keys_list() -> None:
    """Names, scopes, users, and when each key was made, expires and was last used."""
    from infra.apps.gateway import keys
    from infra.apps.gateway.database import opened

    with opened(Settings.load().paths.data_dir) as database:
        show(
            f"{key.name:<20} {key.scopes:<28} {key.user or '-':<16} made {key.created[:10]}, "
            f"expires {key.expires[:16] or 'never'}, last used {key.last_used[:16] or 'never'}"
            for key in keys.listed(database)
        )


@keys_app.command("revoke")
def keys_revoke(name: Annotated[str, typer.Argument(help="Whose key.")]) -> None:
    """Make a key useless at once; `operator`: end the sessions that login links began."""
    from infra.apps.gateway import keys, sessions
    from infra.apps.recorded import opened_by_operator, record

    with opened_by_operator() as database:
        if name != keys.OPERATOR.name:
            keys.revoke(database, name)
            record(database, "key.revoked", name)
            show([f"the key {name!r} is revoked: requests with it are refused from now on"])
            return
        record(database, "session.ended", name, "all sessions and links")
        count = sessions.end_all_of_operator(database)
        if name in [known.name for known in keys.listed(database)]:  # 0.1.0 let a key have it
            keys.revoke(database, name)
            show(["the key of that name, which an older version allowed, is revoked"])
    show([f"{count} sessions and unused links of the operator are ended"])
    show(["the token stays: for a new one, delete its line in studio.env and start `up` again"])


@calendar_app.command("check")
def calendar_check(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A file; the calendar in use if left out.", exists=True, dir_okay=False
        ),
    ] = None,
) -> None:
    """Name every entry and what is wrong with it; exit 1 if something is."""
    settings = adopt_studio() if file else reach_store()
    from infra.apps import calendar

    lines, good = calendar.check(settings, file)
    show(lines)
    if not good:
        raise typer.Exit(1)


@calendar_app.command("next")
def calendar_next(
    name: Annotated[str, typer.Argument(help="The entry.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 5,
) -> None:
    """What was started or skipped, what is due, and what comes, each with its reason."""
    settings = reach_store()
    from infra.apps import calendar

    show(calendar.following(settings, name, count))


@calendar_app.command("run")
def calendar_run(name: Annotated[str, typer.Argument(help="The entry.")]) -> None:
    """Start an entry now."""
    settings = reach_studio()
    from infra.apps import calendar

    show([calendar.run(settings, name)])


@calendar_app.command("put")
def calendar_put(
    file: Annotated[Path, typer.Argument(help="YAML.", exists=True, dir_okay=False)],
) -> None:
    """Make a file the calendar, if every entry of it is good."""
    settings = adopt_studio()
    from infra.apps import calendar

    entries = calendar.put(settings, file).entries
    show([f"{len(entries)} entries: {', '.join(entry.name for entry in entries)}"])


@hooks_app.command("check")
def hooks_check() -> None:
    """Say which sources and endpoints the gateway would use, or what is wrong with them."""
    from infra.apps.gateway.hooks import read_hooks

    hooks = read_hooks(Settings.load().gateway.hooks)
    if not (hooks.sources or hooks.endpoints):
        show(["no webhooks are declared; REELWRIGHT_GATEWAY_HOOKS names the file"])
    show(f"from {item.name}: {item.proof()}" for item in hooks.sources.values())
    show(f"to {item.name}: {item.url}: {', '.join(item.events)}" for item in hooks.endpoints)
    if hooks.sources or hooks.endpoints:
        count = f"{len(hooks.sources)} sources and {len(hooks.endpoints)} endpoints"
        show(
            [f"checked: {count} can be used; a gateway that runs reads the file at its next start"]
        )


@hooks_app.command("try")
def hooks_try(
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    payload: Annotated[Path, typer.Argument(help="A body, as JSON.", exists=True, dir_okay=False)],
    event: Annotated[
        str | None, typer.Option(help="Of a source of the scheme github: X-GitHub-Event.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="'NAME: VALUE' of a real delivery, to check its signature; repeatable."),
    ] = None,
) -> None:
    """Print the brief that the gateway would start for a delivery; starts nothing.

    Without --header the body is signed here with the source's own secret. Ends with 1 if the source
    does not ask for the event.
    """
    from infra.apps.hook_trial import try_delivery

    brief = try_delivery(Settings.load().gateway.hooks, source, payload, event, header or [])
    sys.stdout.write(brief.model_dump_json(indent=1) + "\n")


@hooks_app.command("send-test")
def hooks_send_test(endpoint: Annotated[str, typer.Argument(help="Name of the endpoint.")]) -> None:
    """Send a test event to an endpoint and say what it answered; exit 1 if it did not take it."""
    import asyncio

    from infra.apps.gateway.hooks import read_hooks
    from infra.apps.gateway.outbox import send_test
    from pipelines.errors import BriefError

    settings = Settings.load().gateway
    endpoints = {item.name: item for item in read_hooks(settings.hooks).endpoints}
    if endpoint not in endpoints:
        raise BriefError(
            f"there is no endpoint {endpoint!r}; there are: {', '.join(endpoints) or 'none'}"
        )
    found = endpoints[endpoint]
    sent = asyncio.run(send_test(found, settings.base_url))
    if sent.status:
        show([f"{found.url} answered {sent.status} after {sent.seconds:.2f} s", sent.answer])
    if sent.error:
        show([f"not taken: {sent.error}"])
        raise typer.Exit(1)
    show([f"{endpoint} took the event"])


@hooks_app.command("dead")
def hooks_dead() -> None:
    """List events that were given up."""
    from infra.apps.gateway.database import opened
    from infra.apps.gateway.outbox import dead

    with opened(Settings.load().paths.data_dir) as database:
        show(f"{name}  to {to}, {tries} tries: {why}" for name, to, tries, why in dead(database))


@hooks_app.command("retry")
def hooks_retry(event: Annotated[str, typer.Argument(help="Its id.")]) -> None:
    """Send an event again that was given up; it keeps its id."""
    from infra.apps.gateway.database import opened
    from infra.apps.gateway.outbox import revive

    with opened(Settings.load().paths.data_dir) as database:
        revive(database, event)
