"""`reelwright bench` and its flow: three backends by one command, resumable, and free again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from examples.gradient_backend import GRADIENT
from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.index import write_index
from infra.apps.bench import bench, read_prompts, summary
from pipelines.backends import registry
from pipelines.backends.registry import registered
from pipelines.benchmark.blind import pairs_of, rating_file
from pipelines.benchmark.measured import MeasuredPresets
from pipelines.benchmark.measures import EXACT
from pipelines.benchmark.report import HTML, JSON, Report
from pipelines.benchmark.request import Benchmark
from pipelines.benchmark.siglip import MODEL as SIGLIP
from pipelines.errors import BriefError, QuotaError, RefusedError, StoreError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.keys import ObjectKey
from pipelines.schema.request import ClipRequest
from tasks.benchmark_store import copy_report, read_benchmark, read_samples
from tasks.remote_backends import configure_backends
from tests.conftest import Cli
from tests.e2e.tiny_studio import install_tiny
from tests.remote.google import OMNI_KEY
from tests.remote.test_google_film import clip_of
from tests.support.compared import rated
from tests.support.fake_google import KEY, FakeGoogle, fake_google
from tests.tiny.siglip import write_siglip

DEMO = "demo:steps=1:frames=17"
TINY = "animatediff_draft:size=64*64:steps=2:frames=8"
RED = "a red ball moves right over a black background"
Run = Callable[..., Report]


@pytest.fixture
def run(in_process: object, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Iterator[Run]:
    """The flow in this process."""
    from prefect.settings import PREFECT_API_URL, temporary_settings
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY as HEARTBEAT

    from flows.benchmark_backends import benchmark_backends

    def made(*candidates: str, gates: str = "", **values: Any) -> Report:
        asked = {"name": "tried", "prompts": (RED,), "videos": 1, "seconds": 1.0} | values
        url = cli.env["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url, HEARTBEAT: None}):
            found = benchmark_backends(Benchmark(candidates=candidates, **asked), gates)
        assert isinstance(found, Report)
        return found

    yield made
    release_all()


@pytest.fixture
def gradient() -> Iterator[None]:
    with registered(GRADIENT):
        yield


class Failing:
    """The example backend, where the words of the prompt decide what goes wrong."""

    def __init__(self, backend: Any, calls: list[str]) -> None:
        self._backend, self._calls = backend, calls
        self.definition = backend.definition

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def open(self) -> Any:
        from contextlib import contextmanager

        calls = self._calls

        @contextmanager
        def opened() -> Iterator[Any]:
            with self._backend.open() as session:
                generate = session.generate

                def failing(request: ClipRequest, *more: Any) -> Any:
                    calls.append(request.prompt)
                    errors = {
                        "forbidden": RefusedError("the content was refused"),
                        "too many": QuotaError("no more today"),
                        "broken": RuntimeError("a bug of the backend"),
                        "offline": StoreError("the store is down"),
                    }
                    for words, error in errors.items():
                        if words in request.prompt:
                            raise error
                    return generate(request, *more)

                session.generate = failing
                yield session

        return opened()


@pytest.fixture
def failing() -> Iterator[list[str]]:
    """Prompts that reached the failing backend, in order."""
    calls: list[str] = []
    create = GRADIENT.create
    wrapped = replace(GRADIENT, create=lambda *of: Failing(create(*of), calls))
    with registered(wrapped):
        yield calls


def test_three_backends_give_one_report_with_their_videos_beside_it(
    run: Run,
    store: ObjectStore,
    models: Path,
    gradient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install_tiny(models, "sd15", "animatediff-adapter")
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(models))
    found = run(DEMO, TINY, "gradient")

    assert [row.outcomes["made"] for row in found.rows] == [1, 1, 1]
    assert [row.devices for row in found.rows] == [("cpu",), ("cpu",), ("remote",)]
    assert {row.sizes for row in found.rows} == {("96*96",), ("64*64",), ("128*128",)}
    assert all(row.seconds for row in found.rows)
    quality = [item for item in found.findings if item.gate == "quality"]
    assert {item.verdict for item in quality} == {"not enough data"}
    scorers = {item.scorer for row in found.rows for item in row.measures}
    assert EXACT in scorers
    assert all("reelwright models download siglip2-base" in row.not_scored[0] for row in found.rows)

    page = copy_report(store, "tried", tmp_path / "report")
    clips = {sample.clip for sample in found.samples}
    assert {path.name for path in page.parent.iterdir()} == {
        HTML,
        JSON,
        "request.json",
        *clips,
        *(sample.poster for sample in found.samples),
    }
    assert Report.model_validate_json((page.parent / JSON).read_text()) == found
    assert all(clip in page.read_text() for clip in clips)
    assert summary(found).startswith(f"{DEMO}: not enough data (1 of 1 made)")

    measured = store.get_bytes(ObjectKey.benchmark("latest", "measured.json"))
    assert measured is not None
    # The other two have settings of their own, so their figures are not those of their presets.
    assert set(MeasuredPresets.model_validate_json(measured).presets) == {"gradient"}


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGoogle]:
    monkeypatch.setenv(OMNI_KEY, KEY)
    with fake_google() as google:
        yield google


@pytest.mark.slow
@pytest.mark.allows_errors("refuse")
def test_a_paid_backend_costs_what_it_bills_failures_included(
    run: Run,
    store: ObjectStore,
    models: Path,
    google: FakeGoogle,
    ffmpeg: Ffmpeg,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our small Wan, a tiny AnimateDiff and a fake of Google's Omni: one report."""
    install_tiny(models, "sd15", "animatediff-adapter")
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(models))
    google.clip = lambda resolution, aspect, seconds: clip_of(
        ffmpeg.executable, resolution, aspect, seconds
    )
    google.modes = ["ok", "refused"]
    entries = tmp_path / "backends.yaml"
    entry = {"name": "cloud", "kind": "google-omni", "address": google.url}
    entry |= {"key": f"env:{OMNI_KEY}", "resolutions": ["360p"]}
    entries.write_text(yaml.safe_dump({"backends": [entry]}))
    monkeypatch.setenv("REELWRIGHT_BACKENDS", str(entries))
    configure_backends()
    try:
        found = run(DEMO, TINY, "cloud", prompts=(RED, "a stone"), videos=2, seconds=3.0)
    finally:
        registry.configure(())
    ours, theirs, cloud = found.rows
    assert [row.outcomes["made"] for row in found.rows] == [2, 2, 1]
    assert cloud.outcomes["refused"] == 1
    assert cloud.spent is not None
    assert cloud.spent.amount == google.bill > 0
    compared = [item for item in found.findings if item.against == cloud.slug]
    assert {item.candidate for item in compared} == {ours.slug}
    assert {item.gate for item in compared} == {
        *("cost-under-cloud", "time-to-cloud", "preference-to-cloud")
    }
    page = copy_report(store, "tried", tmp_path / "report")
    clips = {sample.clip for sample in found.samples if sample.film}
    assert len(clips) == 5
    assert clips <= {path.name for path in page.parent.iterdir()}
    assert "RefusedError" in page.read_text()
    assert theirs.devices == ("cpu",)
    assert cloud.devices == ("remote",)


def test_a_second_run_makes_nothing_and_a_later_one_goes_on(
    run: Run, store: ObjectStore, failing: list[str]
) -> None:
    prompts = ("a stone", "a tree")
    first = run("gradient", prompts=prompts, videos=2)
    made = len(failing)
    assert made
    again = run("gradient", prompts=prompts, videos=2)
    assert len(failing) == made
    assert again.samples == first.samples
    assert again.findings == first.findings

    store.delete(ObjectKey.benchmark("tried", first.samples[1].file))
    resumed = run("gradient", prompts=prompts, videos=2)
    # The video is still in the bucket: it is found there, with the time of the run that made it.
    assert len(failing) == made
    assert resumed.samples == first.samples
    assert read_benchmark(store, "tried").prompts == prompts


@pytest.mark.slow
def test_ratings_that_came_meanwhile_are_in_the_next_report(
    run: Run, store: ObjectStore, failing: list[str]
) -> None:
    first, calls = run("gradient", "gradient:size=64*64"), len(failing)
    assert first.ratings.ratings == 0
    names = [row.slug for row in first.rows]
    (pair,) = pairs_of("tried", sorted(names), first.samples)
    rating = rated(pair, "สมชาย", {names[0]: 5, names[1]: 3}, names[0])
    key = ObjectKey.benchmark("tried", rating_file(pair.id, rating.rater))
    store.put_bytes(key, rating.model_dump_json().encode(), "application/json")
    second = run("gradient", "gradient:size=64*64")
    assert len(failing) == calls
    assert second.ratings.raters == ("สมชาย",)
    assert [row.rating and row.rating.value for row in second.rows] == [5.0, 3.0]


@pytest.mark.allows_errors("the content was refused|no more today|a bug of the backend")
def test_a_failure_is_an_outcome_and_is_not_tried_again(run: Run, failing: list[str]) -> None:
    prompts = ("a stone", "something forbidden", "too many stones", "a broken stone")
    found = run("gradient", prompts=prompts, videos=4)
    (row,) = found.rows
    assert row.outcomes == {"made": 1, "refused": 1, "unavailable": 1, "failed": 1}
    assert row.success is not None
    assert row.success.value == 0.25
    problems = {sample.outcome: sample.problem for sample in found.samples}
    assert problems["failed"] == "RuntimeError: a bug of the backend"
    calls = len(failing)
    assert run("gradient", prompts=prompts, videos=4).samples == found.samples
    assert len(failing) == calls


@pytest.mark.slow
@pytest.mark.allows_errors("the store is down")
def test_what_is_not_the_backends_fault_stops_and_counts_for_nothing(
    run: Run, store: ObjectStore, failing: list[str]
) -> None:
    with pytest.raises(StoreError):
        run("gradient", prompts=("a stone", "an offline stone"), videos=2)
    assert [sample.number for sample in read_samples(store, "tried")] == [1]


@pytest.mark.allows_errors("the comparison 'tried' exists", "are not installed")
def test_a_name_belongs_to_one_comparison_and_models_are_asked_for_first(
    run: Run, store: ObjectStore, failing: list[str]
) -> None:
    run("gradient")
    with pytest.raises(BriefError, match=r"the comparison 'tried' exists with other .*--resume"):
        run("gradient", videos=2)
    with pytest.raises(Exception, match="models download"):
        run("animatediff_draft", name="other")
    assert not store.list_keys("benchmarks/other/")
    with pytest.raises(BriefError, match="no comparison 'lost' to go on with; there are: tried"):
        read_benchmark(store, "lost")


@pytest.mark.slow
def test_gates_of_ones_own_stay_with_the_comparison(run: Run, gradient: None) -> None:
    """2 of 2 are 34 to 100 %."""
    gates = (
        "version: 1\ngates:\n"
        "- {id: most, title: Most, measure: success, at_least: 0.3, source: me}\n"
    )
    first = run("gradient", prompts=("a", "b"), videos=2, gates=gates)
    assert [(item.gate, item.verdict) for item in first.findings] == [("most", "go")]
    assert run("gradient", prompts=("a", "b"), videos=2).findings == first.findings
    strict = gates.replace("0.3", "0.4")
    changed = run("gradient", prompts=("a", "b"), videos=2, gates=strict)
    assert [item.verdict for item in changed.findings] == ["not enough data"]


@pytest.mark.slow
def test_a_scorer_that_is_installed_later_measures_what_was_made_before(
    run: Run, failing: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path / "models"))
    first, calls = run("gradient"), len(failing)
    (words,) = first.rows[0].not_scored
    assert words.startswith("prompt match: not scored: ")
    write_siglip(tmp_path / "models" / SIGLIP)
    write_index(tmp_path / "models" / SIGLIP, "test", "1")
    second = run("gradient")
    assert len(failing) == calls
    assert second.rows[0].not_scored == ()
    title = MODELS[SIGLIP].title
    before = first.rows[0].measures
    assert [item.scorer for item in second.rows[0].measures] == [
        *(item.scorer for item in before),
        title,
    ]


# The command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "--backends and --prompts are needed"),
        ({"resume": True}, "give --name"),
        ({"resume": True, "name": "x", "backends": "demo"}, "neither --backends nor --prompts"),
        ({"backends": "8k"}, "'8k' is neither a preset nor a backend"),
        ({"backends": "demo", "name": "No Name"}, "'No Name' cannot be used"),
        ({"backends": "demo", "videos": 0}, "0 videos of each candidate; choose 1 to"),
        ({"backends": "demo:frames=32"}, "candidate 'demo:frames=32': 32 frames"),
    ],
)
def test_a_request_that_breaks_a_rule_starts_nothing(
    values: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "prompts.txt"
    path.write_text("a fox\n")
    given = {"prompts": path} if values.get("backends") and not values.get("resume") else {}
    with pytest.raises(BriefError) as caught:
        bench(**(values | given))
    assert words in str(caught.value)
    assert not Settings.load().paths.data_dir.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no prompt"),
        ("# only a comment\n\n", "has no prompt"),
        ("a fox\n\n# x\n a  fox\n", "line 4: 'a fox' is the prompt of line 1 again"),
    ],
)
def test_a_file_of_prompts_is_refused_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text(text)
    with pytest.raises(BriefError) as caught:
        read_prompts(path)
    assert words in str(caught.value)


def test_prompts_are_lines_of_any_language(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("# a comment\nหมาจิ้งจอก\n\n  a   fox \n", encoding="utf-8")
    assert read_prompts(path) == ("หมาจิ้งจอก", "a fox")


@pytest.mark.slow
def test_the_command_leaves_a_folder_that_opens_from_disk(cli: Cli, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{RED}\n")
    out = tmp_path / "out"
    args = ["bench", "--name", "by-command", "--out", str(out)]
    more = ["--backends", f"{DEMO},demo:steps=2:frames=17", "--prompts", str(prompts)]
    first = cli(*args, *more, "--n", "1", "--seconds", "1")
    assert first.code == 0, first.err
    assert first.out.count("not enough data") > 2
    assert "/benchmarks/by-command" in first.err
    assert (out / HTML).is_file()
    assert len(list(out.glob("*.mp4"))) == 2
    again = cli(*args, "--resume", "--json")
    assert again.code == 0, again.err
    report = Report.model_validate_json(again.out)
    before = Report.model_validate_json((out / JSON).read_text())
    assert report == before
    unknown = cli("bench", "--name", "nobody", "--resume")
    assert unknown.code == 2
    assert "there are: by-command" in unknown.err
