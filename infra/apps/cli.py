"""The command `reelwright`. Heavy libraries load only in the command that needs them."""

import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from infra.adapters.quiet import set_quiet
from infra.adapters.settings import Settings
from infra.apps.backup.commands import backup, restore
from infra.apps.bench import bench
from infra.apps.cli_errors import run_command
from infra.apps.commands import adopt_studio, calendar_app, hooks_app, keys_app, reach_studio
from infra.apps.console import plain, say
from infra.apps.make_command import make
from infra.apps.models import models_app
from infra.apps.operator_commands import logs, runs_app, videos_app
from infra.apps.people import audit, sessions_app, users_app
from infra.apps.routing import route
from infra.apps.upkeep import retention_app, verify
from pipelines.errors import BriefError, SettingsError
from tasks.remote_backends import configure_backends

app = typer.Typer(
    help="Turns a brief into a finished short video on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_WITHOUT_BACKENDS = {
    *("audit", "backup", "costs", "doctor", "gateway", "hooks", "keys", "login", "logs", "models"),
    *("restore", "retention", "runs", "sessions", "status", "users", "verify", "videos", "worker"),
}
"""Commands that work on although the backends file has a mistake: they say it and use none."""
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(sessions_app, name="sessions")
app.command()(audit)
app.add_typer(calendar_app, name="calendar")
app.add_typer(hooks_app, name="hooks")
app.add_typer(retention_app, name="retention")
app.add_typer(videos_app, name="videos")
app.add_typer(runs_app, name="runs")
app.command()(logs)
app.command()(make)
app.command()(bench)
app.command()(route)
app.command()(verify)
app.command()(backup)
app.command()(restore)


def _show_version(wanted: bool) -> None:
    """Print the installed version and end, before anything is read or configured."""
    if wanted:
        sys.stdout.write(f"reelwright {metadata.version('reelwright')}\n")
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Turns a brief into a finished short video on your own machine."""
    from infra.apps.environment import adopt_backends

    try:
        adopt_backends()
        configure_backends()
    except SettingsError as error:
        if context.invoked_subcommand not in _WITHOUT_BACKENDS:
            raise
        say(f"there are no remote backends: {error}")


@app.command()
def doctor(
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu",
            help="Measure on the GPU which presets fit and how long they take; some minutes.",
        ),
    ] = False,
) -> None:
    """Check what a run needs and say what to do about what is missing."""
    from infra.apps.doctor import examine

    settings, failed = adopt_studio(), False
    if gpu:
        from infra.apps.gpu.report import examine_gpu
        from pipelines.backends.registry import definitions

        found = examine_gpu(settings, definitions(), say)
    else:
        found = examine(settings)
    for finding in found:
        mark = "ok  " if finding.good else ("FAIL" if finding.needed else "--  ")
        sys.stdout.write(plain(f"{mark} {finding.name:<14} {finding.text}") + "\n")
        failed |= finding.needed and not finding.good
    if failed:
        raise typer.Exit(1)


@app.command()
def up(
    parts: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="Only this part, repeatable: store, database, server, studio, rtx-5090, gateway. "
            "What is left out runs elsewhere and is named by its setting.",
        ),
    ] = None,
    cold: Annotated[bool, typer.Option(help="A new process for each run on the GPU.")] = False,
) -> None:
    """Run the whole studio on this machine until Ctrl-C."""
    from infra.apps.studio.up import PARTS
    from infra.apps.studio.up import up as start

    for part in parts or ():
        if part not in PARTS:
            raise BriefError(f"--with {part!r} is unknown; choose of {', '.join(PARTS)}")
    start(Settings.load(), parts or PARTS, cold=cold)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show pools, queues, the run on the GPU and the last errors."""
    reach_studio()
    from infra.apps.studio.status import status as look

    found = look(Settings.load())
    sys.stdout.write((found.as_json() if as_json else plain(found.as_text())) + "\n")


@app.command()
def costs(
    month: Annotated[str, typer.Option(help="As 2026-11; the present one if left out.")] = "",
    by: Annotated[str, typer.Option(help="campaign, backend, video or day.")] = "campaign",
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write every job and use of the GPU there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what was spent in a month, and what is reserved."""
    from infra.apps.costs import costs as show_costs

    show_costs(month, by, csv, as_json=as_json)


@app.command()
def deploy() -> None:
    """Bring the Prefect server to what this version needs: pools, limits, deployments."""
    reach_studio()
    from infra.apps.studio.deploy import deploy as bring

    sys.stdout.write("\n".join(bring()) + "\n")


@app.command()
def worker(
    pool: Annotated[str, typer.Argument(help="studio or rtx-5090")],
    cold: Annotated[bool, typer.Option(help="A new process for each run.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="Runs at once in the studio pool; 0: as its queues have.")
    ] = 0,
    name: Annotated[str, typer.Option(help="Of this worker; it mends what it left.")] = "",
    gpu: Annotated[
        int, typer.Option(min=-1, help="Card, as nvidia-smi counts; -1: REELWRIGHT_GPU, else 0.")
    ] = -1,
) -> None:
    """Serve a pool until SIGTERM or Ctrl-C."""
    from infra.apps.worker.main import serve
    from pipelines.schema.names import GPU_POOL, STUDIO_POOL

    if pool not in (GPU_POOL, STUDIO_POOL):
        raise BriefError(f"pool {pool!r} is unknown; choose {STUDIO_POOL} or {GPU_POOL}")
    if gpu >= 0:
        if pool != GPU_POOL:
            raise BriefError(f"--gpu is for the pool {GPU_POOL}; leave it out for {pool}")
        os.environ["REELWRIGHT_GPU"] = str(gpu)  # the runs' processes read it too
    adopt_studio()
    serve(pool, cold=cold, limit=limit, name=name)


@app.command()
def gateway() -> None:
    """Serve the REST API, the webhooks and the page to watch until Ctrl-C."""
    adopt_studio()
    from infra.apps.gateway.main import serve

    serve(Settings.load())


@app.command()
def login(
    token: Annotated[
        bool, typer.Option("--token", help="Print the operator's key instead, for curl.")
    ] = False,
    user: Annotated[
        str, typer.Option("--user", help="The link logs in as this user, not as the operator.")
    ] = "",
    prefect: Annotated[
        bool, typer.Option("--prefect", help="Print what Prefect's login page asks for instead.")
    ] = False,
) -> None:
    """Print a link that logs a browser in to the gateway as its operator, once."""
    from infra.apps import environment
    from infra.apps.gateway import users
    from infra.apps.gateway.database import opened
    from infra.apps.gateway.keys import OPERATOR
    from infra.apps.gateway.sessions import new_link

    settings = adopt_studio()
    if token:
        from infra.apps.ask_gateway import token_of

        sys.stdout.write(f"{token_of(settings)}\n")
        return
    if prefect:
        sys.stdout.write(f"{environment.prefect_password(settings)}\n")
        say(f"paste this whole line into the field of {environment.prefect_pages() or 'its page'}")
        say("whoever has it can run code on the workers: give it to editors who need that form")
        return
    with opened(settings.paths.data_dir) as database:
        client = users.allowed(database, user).client if user else OPERATOR
        link = new_link(database, environment.gateway_address(settings), client)
        sys.stdout.write(f"{link}\n")
    say("it works once, within 15 minutes, and keeps a browser logged in for seven days")


def main() -> None:
    """Entry point of the command `reelwright`."""
    set_quiet()
    run_command(app)


if __name__ == "__main__":
    main()
