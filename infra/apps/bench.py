"""`reelwright bench`: the same prompts through several backends, and the go/no-go report."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.apps.console import plain, say
from pipelines.errors import BriefError

if TYPE_CHECKING:
    from pipelines.benchmark.report import Report
    from pipelines.benchmark.request import Benchmark

_COMMENT = "#"

Backends = Annotated[
    str,
    typer.Option(
        help="Presets or backends, separated by commas; a preset may have settings: "
        "demo,video_fast:steps=30."
    ),
]
Prompts = Annotated[Path | None, typer.Option(help="A text file with one prompt a line.")]
Videos = Annotated[int, typer.Option("--n", help="Videos of each candidate.")]
Seconds = Annotated[float, typer.Option(help="Length of every video.")]
Name = Annotated[str, typer.Option(help="Name of the comparison; made of the request if left out.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the comparison --name, as it was asked for.")
]
GateFile = Annotated[Path | None, typer.Option("--gates", help="YAML with criteria of your own.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the report; its name if left out.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


@dataclass(frozen=True)
class Asked:
    """What the command was asked for, checked as far as it can be without a store."""

    name: str
    new: "Benchmark | None"
    """None: go on with the one of that name."""
    gates: str
    """YAML; empty for those of before, or the mission's."""
    out: Path


def bench(
    backends: Backends = "",
    prompts: Prompts = None,
    videos: Videos = 30,
    seconds: Seconds = 4.0,
    name: Name = "",
    resume: Resume = False,
    gates: GateFile = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare backends by the same prompts, and say go, no-go or not enough data.

    What was made before is found again: a second run with the same options makes nothing, and
    takes in the ratings that came meanwhile.
    """
    if resume:
        if backends or prompts or not name:
            raise BriefError(
                "--resume goes on with what was asked for before: give --name, and neither "
                "--backends nor --prompts"
            )
        new = None
    else:
        new = _new(backends, prompts, videos, seconds, name)
        name = new.name
    found = _run(Asked(name, new, _gates(gates), out or Path(name)))
    text = found.model_dump_json(indent=1) if as_json else plain(summary(found))
    sys.stdout.write(text + "\n")


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a text file; empty lines and those that begin with # are none.

    Raises BriefError, which names the line, for one that is given twice, and for a file without
    any; SettingsError if it cannot be read.
    """
    from infra.adapters.disk import read_text

    lines: dict[str, int] = {}
    for number, line in enumerate(read_text(path, str(path)).splitlines(), start=1):
        text = " ".join(line.split())
        if not text or text.startswith(_COMMENT):
            continue
        if text in lines:
            raise BriefError(
                f"{path}, line {number}: {text!r:.80} is the prompt of line {lines[text]} again; "
                "write each once, --n repeats them with other seeds"
            )
        lines[text] = number
    if not lines:
        raise BriefError(f"{path} has no prompt; write one a line")
    return tuple(lines)


def summary(report: "Report") -> str:
    """The verdicts in a few lines."""
    lines = []
    for row in report.rows:
        lines.append(f"{row.label}: {row.verdict} ({row.outcomes['made']} of {row.tried} made)")
        for item in report.findings_for(row.slug):
            against = f" ({item.against})" if item.against else ""
            lines.append(f"  {item.verdict:<16} {item.title}{against}: {item.words}")
    rated = report.ratings
    lines.append(f"ratings: {rated.ratings} by {len(rated.raters)} people")
    return "\n".join([*lines, *(f"note: {note}" for note in report.notes)])


def _new(
    backends: str, prompts: Path | None, videos: int, seconds: float, name: str
) -> "Benchmark":
    """Raises BriefError for a request that breaks a rule; every brief is checked."""
    from pydantic import ValidationError

    from pipelines.benchmark.request import Benchmark, cases_of, default_name, parse_candidates
    from pipelines.planning.plan import timeline

    if not backends or prompts is None:
        raise BriefError("--backends and --prompts are needed, or --resume with --name")
    labels = tuple(label.strip() for label in backends.split(",") if label.strip())
    parse_candidates(labels)
    texts = read_prompts(prompts)
    try:
        found = Benchmark(
            name=name or default_name(labels, texts, videos, seconds),
            candidates=labels,
            prompts=texts,
            videos=videos,
            seconds=seconds,
        )
    except ValidationError as error:
        words = [str(item["msg"]).removeprefix("Value error, ") for item in error.errors()]
        raise BriefError("; ".join(words)) from error
    for case in cases_of(found):
        timeline(case.brief)
    return found


def _gates(path: Path | None) -> str:
    """The text of a file of criteria. Raises SettingsError if it is invalid."""
    if path is None:
        return ""
    from infra.adapters.disk import read_text
    from pipelines.benchmark.gates import parse_gates

    text = read_text(path, str(path))
    parse_gates(text, str(path))
    return text


def _run(asked: Asked) -> "Report":
    from infra.apps import environment
    from infra.apps.console import ProgressBars
    from infra.apps.session import session

    settings = environment.adopted()
    with ProgressBars() as bars, session(settings, bars.note):
        from flows.benchmark_backends import benchmark_backends
        from infra.adapters.object_store import ObjectStore
        from infra.adapters.settings import Settings
        from pipelines.benchmark.report import Report
        from tasks.benchmark_store import copy_report, read_benchmark
        from tasks.progress import ProgressLog, listening

        store = ObjectStore(Settings.load().store)
        benchmark = asked.new or read_benchmark(store, asked.name)
        with listening(bars), listening(ProgressLog()):
            found = benchmark_backends(benchmark, asked.gates)
            assert isinstance(found, Report)
        page = copy_report(store, asked.name, asked.out.absolute())
    say(f"report {page}")
    if any(row.outcomes["made"] for row in found.rows) and len(found.rows) > 1:
        address = environment.gateway_address(settings)
        say(f"people rate the videos at {address}/benchmarks/{asked.name}; then run this again")
    return found
