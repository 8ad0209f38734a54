"""Commands that look after the bucket: `reelwright verify` and `reelwright retention …`."""

import json
import sys
from typing import Annotated

import typer

from infra.apps.commands import show
from infra.apps.console import plain, say

retention_app = typer.Typer(help="What is kept, and for how long.", no_args_is_help=True)


def verify(
    repair: Annotated[
        bool, typer.Option(help="Restore, delete or make again what is damaged.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Read every byte of the bucket against the manifests; exit 1 if a fault is left."""
    from infra.apps import verify as verifying

    report = verifying.repair(say) if repair else verifying.verify(say)
    if as_json:
        sys.stdout.write(json.dumps(report.as_values(), indent=1) + "\n")
    else:
        show(["mended  " + words for words in report.repaired])
        show(["run     " + run for run in report.runs])
        show([f"FAULT   {fault}" for fault in report.faults])
        sys.stdout.write(plain(report.sentence()) + "\n")
    if not report.clean:
        raise typer.Exit(1)


@retention_app.command("plan")
def retention_plan(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what the next purge would remove; removes nothing."""
    from infra.apps import retention

    report = retention.plan(say)
    if as_json:
        sys.stdout.write(json.dumps(retention.as_values(report), indent=1) + "\n")
    else:
        show(retention.lines(report))


@retention_app.command("keep")
def retention_keep(
    campaign: Annotated[str, typer.Argument(help="The campaign of its briefs.")],
) -> None:
    """Never delete this campaign's videos by their age."""
    from infra.apps import retention

    show([retention.keep(campaign, say)])


@retention_app.command("release")
def retention_release(
    campaign: Annotated[str, typer.Argument(help="The campaign of its briefs.")],
) -> None:
    """Let this campaign's videos go by their age again."""
    from infra.apps import retention

    show([retention.keep(campaign, say, keeping=False)])
