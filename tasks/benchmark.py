"""The stages of a comparison of backends: what is still to make, each video's outcome, the report.

Everything lies in the bucket below `benchmarks/<name>/`, one object for each video. A run that was
interrupted goes on there, and a second run makes nothing. A failure is an outcome like any other:
it is not tried again, because a success rate from second attempts would be another figure.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from importlib import metadata
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact

from infra.adapters import disk
from infra.adapters.ledger.ledger import log_of
from infra.adapters.manifests import read_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.library import installed_model
from pipelines.benchmark import measures
from pipelines.benchmark.filmed import cost_of, film_of
from pipelines.benchmark.page import html_of
from pipelines.benchmark.report import HTML, JSON, Report, make_report
from pipelines.benchmark.request import (
    Benchmark,
    Case,
    cases_of,
    parse_candidates,
)
from pipelines.benchmark.samples import Film, Outcome, Sample, sample_file
from pipelines.benchmark.siglip import MODEL, SiglipScorer
from pipelines.costs.book import lines_of
from pipelines.documents.manifest import Manifest
from pipelines.errors import (
    BriefError,
    BudgetError,
    CorruptObjectError,
    DiskFullError,
    RefusedError,
    ServerError,
    SettingsError,
    StoreError,
    UnavailableError,
    WeightsError,
)
from pipelines.media.codec import read_frames
from pipelines.media.ffmpeg import find_ffmpeg
from pipelines.planning.plan import timeline
from pipelines.progress import Progress
from pipelines.schema.money import Money
from pipelines.schema.sizes import Size
from tasks.benchmark_store import (
    GATES,
    BenchmarkRun,
    keep_clip,
    keep_measured,
    put,
    read_gates,
    read_ratings,
    read_samples,
    store_request,
)
from tasks.context import check_surroundings
from tasks.dispatch import is_deployed
from tasks.options import STAGE
from tasks.progress import report

_log = logging.getLogger("reelwright.benchmark")
_RECIPE = "measures/1"
"""Raised when the measures change, so that videos are measured again."""
_LONGEST = 500
"""Characters of a problem that are kept."""
_NOT_THE_BACKENDS = (
    BriefError,
    BudgetError,
    DiskFullError,
    ServerError,
    SettingsError,
    StoreError,
    WeightsError,
)
"""Errors that say nothing about a backend: the comparison stops, and goes on after the remedy."""


class Trial:
    """The attempt to make one video."""

    def __init__(self) -> None:
        self.manifest: Manifest | None = None

    def made(self, manifest: Manifest) -> None:
        """The video was published."""
        self.manifest = manifest


@task(name="open-benchmark", **STAGE)
def open_benchmark(benchmark: Benchmark, gates: str) -> BenchmarkRun:
    """Check everything that can be checked before the first video, and store the request.

    Raises BriefError if a candidate cannot make the videos, or another comparison has this name;
    SettingsError if the gates are invalid; WeightsError or SettingsError if a candidate's models
    are missing.
    """
    settings = Settings.load()
    store = ObjectStore(settings.store)
    store.ensure_bucket()
    run = BenchmarkRun(
        benchmark=benchmark,
        candidates=parse_candidates(benchmark.candidates),
        cases=tuple(cases_of(benchmark)),
        gates=read_gates(store, benchmark.name, gates),
        settings=settings,
        store=store,
    )
    first: dict[str, Case] = {}
    for case in run.cases:
        timeline(case.brief)
        if store.head(run.key(sample_file(case.candidate.slug, case.number))) is None:
            first.setdefault(case.candidate.slug, case)
    for case in first.values():
        check_surroundings(case.brief, settings)
    store_request(run)
    if gates:
        store.put_bytes(run.key(GATES), gates.encode(), "application/yaml")
    return run


def open_cases(run: BenchmarkRun) -> Iterator[Case]:
    """The videos that have no outcome yet, in order."""
    for index, case in enumerate(run.cases):
        if run.store.head(run.key(sample_file(case.candidate.slug, case.number))) is None:
            words = f"video {index + 1} of {len(run.cases)}: {case.candidate.label}: {case.prompt}"
            report(Progress("check", index, len(run.cases), words))
            yield case


@contextmanager
def trial(case: Case, run: BenchmarkRun) -> Iterator[Trial]:
    """Store what comes of a video: its film, or why there is none.

    An error that is not the backend's passes on, and nothing is stored.
    """
    attempt, outcome, problem, before = Trial(), _made(), "", _spent(case, run)
    try:
        yield attempt
    except _NOT_THE_BACKENDS:
        raise
    except Exception as error:
        outcome, problem = _outcome_of(error), f"{type(error).__name__}: {error}"[:_LONGEST]
        _log.warning("%s, video %s: %s", case.candidate.label, case.number, problem)
    sample = Sample(
        candidate=case.candidate.slug,
        number=case.number,
        prompt=case.prompt,
        seed=case.seed,
        outcome=outcome,
        problem=problem,
    )
    if attempt.manifest and not problem:
        cost, basis = cost_of(attempt.manifest)
        film = film_of(attempt.manifest)
        sample = sample.model_copy(update={"film": film, "cost": cost, "cost_basis": basis})
    elif lost := _spent(case, run) - before:
        cost = Money.of(lost, run.settings.costs.currency)
        sample = sample.model_copy(update={"cost": cost, "cost_basis": "estimated"})
    put(run, sample.file, sample)


@task(name="measure-films", **STAGE)
def measure_films(run: BenchmarkRun) -> None:
    """Copy every video into the comparison's folder, and measure what was not measured yet.

    A video that was deleted or damaged since is logged and stays as it was. Raises StoreError if
    the store fails, MediaError if ffmpeg does.
    """
    scorer, names = _prompt_scorer(run)
    with disk.scratch(run.settings.paths.data_dir / "scratch") as folder:
        for sample in read_samples(run.store, run.benchmark.name):
            if sample.film is None:
                continue
            try:
                keep_clip(run, sample, sample.film, folder)
                if sample.scorers != names:
                    _measure(run, sample, sample.film, scorer, names, folder)
            except CorruptObjectError as error:
                _log.warning("%s was not measured: %s", sample.clip, error)


@task(name="write-report", **STAGE)
def write_report(run: BenchmarkRun) -> Report:
    """Write the report of what there is now, and the newest measured values of its presets.

    Raises StoreError if the store fails.
    """
    found = make_report(
        run.benchmark,
        run.candidates,
        read_samples(run.store, run.benchmark.name),
        read_ratings(run.store, run.benchmark.name),
        run.gates,
        not_scored=_not_scored(run),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=f"reelwright {metadata.version('reelwright')}",
    )
    put(run, JSON, found)
    run.store.put_bytes(run.key(HTML), html_of(found).encode(), "text/html; charset=utf-8")
    keep_measured(run.store, found)
    _show(found)
    return found


def _made() -> Outcome:
    return "made"


def _spent(case: Case, run: BenchmarkRun) -> Decimal:
    """What the ledger has for this comparison so far, in the studio's currency: of a failed video
    nobody knows the content id. Videos are made one after the other, so a difference is one's."""
    log = log_of(run.store, run.settings)
    lines = lines_of([log.book(month) for month in log.months()])
    own = [line for line in lines if line.spender.campaign == case.brief.campaign]
    return sum((line.counted for line in own), Decimal(0))


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, RefusedError):
        return "refused"
    return "unavailable" if isinstance(error, UnavailableError) else "failed"


def _prompt_scorer(run: BenchmarkRun) -> tuple[SiglipScorer | None, tuple[str, ...]]:
    """The installed model that compares pictures with texts, and the names of all scorers."""
    if _not_scored(run):
        return None, (_RECIPE,)
    folder = installed_model(run.settings.paths.models, MODEL, "float32")
    return SiglipScorer(folder.path, folder.title), (_RECIPE, folder.title)


def _not_scored(run: BenchmarkRun) -> tuple[str, ...]:
    try:
        installed_model(run.settings.paths.models, MODEL, "float32")
    except WeightsError as error:
        return (f"prompt match: not scored: {error}",)
    return ()


def _measure(
    run: BenchmarkRun,
    sample: Sample,
    film: Film,
    scorer: SiglipScorer | None,
    names: tuple[str, ...],
    folder: Path,
) -> None:
    manifest = read_manifest(run.store, film.content_id).manifest
    found = run.store.head(run.key(sample.clip))
    if manifest is None or found is None:
        raise CorruptObjectError(f"the manifest of {sample.clip} is not in the bucket any more")
    path, clip = folder / sample.clip, manifest.clip
    run.store.get_file(found, path)
    tool = find_ffmpeg(run.settings.paths.ffmpeg)
    size = Size(clip.width, clip.height)
    frames = read_frames(tool, path, size, fps=clip.fps, frames=clip.frames)
    try:
        values = measures.measures_of(
            sample.prompt, frames, clip.frames, manifest.transitions, scorer
        )
    finally:
        frames.close()
        path.unlink()
    put(run, sample.file, sample.model_copy(update={"measures": values, "scorers": names}))


def _show(found: Report) -> None:
    """A table of the verdicts on the page of a deployed run; a page that fails costs nothing."""
    if not is_deployed():
        return
    lines = ["| candidate | criterion | verdict | figures |", "|---|---|---|---|"]
    lines += [
        f"| {item.candidate} | {item.title} | **{item.verdict}** | {item.words} |"
        for item in found.findings
    ]
    try:
        create_markdown_artifact("\n".join(lines), key="go-or-no-go")
    except Exception:
        _log.warning("the verdicts could not be shown", exc_info=True)
