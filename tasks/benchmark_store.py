"""What lies in the bucket about a comparison: request, gates, outcomes, ratings, report, videos."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.benchmark.blind import Rating
from pipelines.benchmark.gates import Gates, default_gates, parse_gates
from pipelines.benchmark.measured import FILE as MEASURED
from pipelines.benchmark.measured import MeasuredPresets
from pipelines.benchmark.report import HTML, REQUEST, Report
from pipelines.benchmark.request import LATEST, Benchmark, Candidate, Case
from pipelines.benchmark.samples import Film, Sample
from pipelines.errors import BriefError, CorruptObjectError
from pipelines.schema.keys import ObjectKey

GATES = "gates.yaml"
_COPIED = (".html", ".json", ".mp4", ".jpg", ".yaml")
_log = logging.getLogger("reelwright.benchmark")
Kind = TypeVar("Kind", bound=BaseModel)


@dataclass(frozen=True)
class BenchmarkRun:
    """One comparison, as it is worked on."""

    benchmark: Benchmark
    candidates: tuple[Candidate, ...]
    cases: tuple[Case, ...]
    gates: Gates
    settings: Settings
    store: ObjectStore

    def key(self, file: str) -> ObjectKey:
        """The key of a file of this comparison."""
        return ObjectKey.benchmark(self.benchmark.name, file)


def read_benchmark(store: ObjectStore, name: str) -> Benchmark:
    """The stored request of a comparison.

    Raises BriefError if there is none of that name, or another version wrote it.
    """
    found = _read(store, ObjectKey.benchmark(name, REQUEST), Benchmark)
    if found is None:
        known = ", ".join(folder for folder in store.folders("benchmarks/") if folder != LATEST)
        raise BriefError(
            f"there is no comparison {name!r} to go on with; there are: {known or '-'}"
        )
    return found


def read_samples(store: ObjectStore, name: str) -> list[Sample]:
    """The outcomes so far. One that cannot be read is logged and left out."""
    return _read_all(store, f"benchmarks/{name}/sample-", Sample)


def read_ratings(store: ObjectStore, name: str) -> list[Rating]:
    """The ratings so far. One that cannot be read is logged and left out."""
    return _read_all(store, f"benchmarks/{name}/rating-", Rating)


def read_gates(store: ObjectStore, name: str, text: str) -> Gates:
    """The gates in `text`; if it is empty, those that the comparison had, or the mission's.

    Raises SettingsError if they are invalid.
    """
    if text:
        return parse_gates(text, GATES)
    before = store.get_bytes(ObjectKey.benchmark(name, GATES))
    return parse_gates(before.decode(), f"{name}/{GATES}") if before else default_gates()


def store_request(run: BenchmarkRun) -> None:
    """Store what is compared. Raises BriefError if another comparison has this name."""
    data = run.benchmark.model_dump_json(indent=1).encode()
    if run.store.put_if_absent(run.key(REQUEST), data, "application/json"):
        return
    if read_benchmark(run.store, run.benchmark.name) != run.benchmark:
        raise BriefError(
            f"the comparison {run.benchmark.name!r} exists with other candidates, prompts, videos "
            "or seconds; go on with it (--resume), or take another name"
        )


def keep_clip(run: BenchmarkRun, sample: Sample, film: Film, folder: Path) -> None:
    """Copy video and poster beside the report, unless they are there."""
    for source, file in (
        (ObjectKey.video(film.content_id), sample.clip),
        (ObjectKey.poster(film.content_id), sample.poster),
    ):
        found, kept = run.store.head(source), run.store.head(run.key(file))
        if found is None:
            if kept is None:
                raise CorruptObjectError(f"{source} is not in the bucket any more")
            continue
        if kept and kept.sha256 == found.sha256:
            continue
        path = folder / file
        run.store.get_file(found, path)
        run.store.put_file(run.key(file), path, found.content_type)
        path.unlink()


def keep_measured(store: ObjectStore, found: Report) -> None:
    """Replace the newest measured values of the presets of a report."""
    key = ObjectKey.benchmark(LATEST, MEASURED)
    before = _read(store, key, MeasuredPresets) or MeasuredPresets()
    data = before.with_newer(found.measured()).model_dump_json(indent=1).encode()
    store.put_bytes(key, data, "application/json")


def copy_report(store: ObjectStore, name: str, folder: Path) -> Path:
    """Copy the report and its videos into `folder`, which is made. Returns the page's path.

    Raises StoreError if the store fails; CorruptObjectError names a damaged file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for key in store.list_keys(f"benchmarks/{name}/"):
        file = key.rpartition("/")[2]
        if not file.endswith(_COPIED) or file.startswith(("rating-", "sample-")):
            continue
        if found := store.head(key):
            store.get_file(found, folder / file)
    return folder / HTML


def put(run: BenchmarkRun, file: str, value: BaseModel) -> None:
    """Store a document of the comparison."""
    data = value.model_dump_json(indent=1).encode()
    run.store.put_bytes(run.key(file), data, "application/json")


def _read(store: ObjectStore, key: ObjectKey, kind: type[Kind]) -> Kind | None:
    data = store.get_bytes(key)
    try:
        return kind.model_validate_json(data) if data is not None else None
    except ValidationError as error:
        raise BriefError(f"{key} is of another version of Reelwright; delete it") from error


def _read_all(store: ObjectStore, prefix: str, kind: type[Kind]) -> list[Kind]:
    found = []
    for key in store.list_keys(prefix):
        try:
            item = _read(store, key, kind)
        except (BriefError, CorruptObjectError) as error:
            _log.warning("left out: %s", error)
            continue
        found += [item] if item is not None else []
    return found
