"""`reelwright logs`, `reelwright videos …` and `reelwright runs …`."""

import json
import signal
import sys
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

import typer

from infra.apps.commands import adopt_studio, reach_studio, show
from infra.apps.console import plain
from pipelines.errors import BriefError

videos_app = typer.Typer(help="Published videos.", no_args_is_help=True)
runs_app = typer.Typer(help="Briefs at work, and what became of them.", no_args_is_help=True)
_ID = 64
"""Hexadecimal digits of a video's id."""
_PAGE = 100
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def logs(
    service: Annotated[
        str,
        typer.Argument(
            help="store, database, server, studio, rtx-5090, gateway or make; all if left out."
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    run: Annotated[str, typer.Option(help="Id or name of a run: what it logged.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Of each log.")] = 20,
) -> None:
    """Show the logs of the studio's parts, or of one run."""
    if service and run:
        raise BriefError("give a part or --run, not both: a run is on several parts")
    if follow:
        # Ctrl-C is how it ends, and no reason to speak of chunks that are kept.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if run:
        reach_studio()
        from infra.apps.studio.run_logs import show_run

        show_run(run, lines, _put, follow=follow, stop=_never)
        return
    settings = adopt_studio()
    from infra.apps.studio.logs import files_of, show_files

    files = files_of(settings.paths.data_dir, service)
    show_files(files, lines, _put, follow=follow, stop=_never)


@videos_app.command("list")
def videos_list(
    campaign: Annotated[str, typer.Option(help="Only of this campaign.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Published videos, the newest first."""
    from infra.apps.ask_gateway import ask

    settings, cursor = adopt_studio(), ""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        size = min(_PAGE, limit - len(found))
        answer = ask(settings, "GET", "/videos", limit=size, campaign=campaign, cursor=cursor)
        found += answer.json()
        older = urlsplit(answer.links.get("next", {}).get("url", ""))
        cursor = "".join(parse_qs(older.query).get("cursor", ()))
        if not cursor:
            break
    if as_json:
        _put(json.dumps(found, indent=1, ensure_ascii=False))
        return
    show(map(_video, found) if found else ["no videos"])


@videos_app.command("delete")
def videos_delete(
    names: Annotated[list[str], typer.Argument(help="Ids, as `videos list` shows them.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Delete videos for good. What they were made of stays for a while."""
    from infra.apps.ask_gateway import ask

    ids = [_video_id(name) for name in names]
    settings = adopt_studio()
    _confirm(f"Delete {len(ids)} videos for good?", yes=yes)
    answers = {}
    for cid in ids:
        answers[cid] = ask(settings, "DELETE", f"/videos/{cid}.mp4").json()
        if not as_json:
            kept = ", ".join(f"{item['objects']} {item['kind']}" for item in answers[cid]["kept"])
            show([f"deleted {cid}" + (f"; kept for now: {kept}" if kept else "")])
    if as_json:
        _put(json.dumps(answers, indent=1))


@runs_app.command("list")
def runs_list(
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Briefs at work and those that ended, the newest first."""
    from infra.apps.ask_gateway import ask

    found = ask(adopt_studio(), "GET", "/runs", limit=limit).json()
    if as_json:
        _put(json.dumps(found, indent=1, ensure_ascii=False))
        return
    show(map(_run, found) if found else ["no runs"])


@runs_app.command("cancel")
def runs_cancel(
    ids: Annotated[list[str], typer.Argument(help="Ids, as `runs list` shows them.")],
    as_json: Json = False,
) -> None:
    """Stop briefs; their work on the GPU ends too, and what is finished is kept."""
    from infra.apps.ask_gateway import ask

    settings, answers = adopt_studio(), []
    for run in ids:
        found = ask(settings, "DELETE", f"/runs/{run}").json()
        answers.append(found)
        if not as_json:
            show([f"asked to stop: {found['name']} ({run}), now {found['state']}"])
    if as_json:
        _put(json.dumps(answers, indent=1, ensure_ascii=False))


def _video(item: dict[str, Any]) -> str:
    size = f"{item['width']}x{item['height']}"
    words = " ".join(str(item["prompt"]).split())[:60]
    return f"{item['id']}  {item['created'][:16]}  {item['seconds']:>5.1f} s  {size:>9}  {words}"


def _run(item: dict[str, Any]) -> str:
    state = f"{item['state']} {item['percent']:.0f} %" if item["state"] == "running" else ""
    words = f"{item['name']}: {item['detail']}" if item["detail"] else item["name"]
    return f"{item['id']}  {state or item['state']:<17}  {words}"


def _video_id(name: str) -> str:
    cid = name.removesuffix(".mp4")
    if len(cid) != _ID or not set(cid) <= set("0123456789abcdef"):
        raise BriefError(
            f"{name!r:.80} is no id of a video: it has {_ID} digits of 0-9 and a-f; see: "
            "reelwright videos list"
        )
    return cid


def _confirm(question: str, *, yes: bool) -> None:
    """Raises BriefError where nobody can be asked, and typer.Abort if the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BriefError(f"{question} Nobody can be asked here; add --yes. Nothing was deleted")
    typer.confirm(question, abort=True)


def _put(text: str) -> None:
    sys.stdout.write(plain(text) + "\n")
    sys.stdout.flush()  # a reader at a pipe waits for the line


def _never() -> bool:
    return False
