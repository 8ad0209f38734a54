"""What the router learns of this host: models, device, services, costs. It loads nothing."""

import dataclasses
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from examples.gradient_backend import GRADIENT, GradientBackend
from infra.adapters.availability import FRESH, RemoteLooks
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings, StoreSettings
from pipelines.backends.registry import definitions, presets, registered
from pipelines.documents.brief import Brief
from pipelines.errors import SettingsError, UnavailableError, WeightsError
from pipelines.retention import Ages, Item, Marks, decide
from pipelines.routing.router import find_route
from pipelines.schema.availability import Availability
from pipelines.schema.keys import ObjectKey
from tasks.hosts import FRESH as HOST_FRESH
from tasks.hosts import gpu_host, report_of, tell
from tasks.surroundings import HostSurroundings
from tests.conftest import slow
from tests.e2e.tiny_studio import install_tiny
from tests.support.routing import built_in

CODE = """
import json, sys
from infra.adapters.settings import Settings
from pipelines.documents.brief import Brief
from tasks.surroundings import HostSurroundings
here = HostSurroundings(Settings.load())
found = {}
for name in sys.argv[1:]:
    brief = Brief(prompt="a fox", preset=name, enhance=False)
    assert here.availability(brief).available, here.availability(brief)
    found[name] = here.forecast(brief).model_dump()
print(json.dumps([found, "torch" in sys.modules]))
"""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, demo_models: Path, tmp_path: Path) -> Settings:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(demo_models))
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cpu")
    return Settings.load()


@pytest.mark.parametrize(
    ("wanted", "needed"),
    [
        (("demo",), ()),
        slow(
            ("demo", "video_fast", "animatediff_draft", "ltx2_sound"),
            ("sd15", "animatediff-adapter", "ltx-2.5", "t2v-1.3B"),
        ),
    ],
    ids=["demo", "all"],
)
def test_estimates_of_every_kind_of_backend_load_no_torch(
    tmp_path: Path, models: Path, wanted: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    install_tiny(models, *needed)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *wanted],
        env={"REELWRIGHT_MODELS_DIR": str(models), "REELWRIGHT_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, has_torch = json.loads(done.stdout)
    assert not has_torch
    assert list(found) == list(wanted)
    assert all(item["seconds"] > 0 and item["memory_bytes"] > 0 for item in found.values())
    assert all(item["price"] is None for item in found.values())


def test_a_model_that_is_not_installed_is_named_with_the_command(settings: Settings) -> None:
    here = HostSurroundings(settings)
    brief = Brief(prompt="a fox", preset="video_14b", enhance=False)
    found = here.availability(brief)
    assert found == Availability(
        available=False, reason="t2v-14B is not installed: reelwright models download t2v-14B"
    )
    with pytest.raises(WeightsError, match="t2v-14B"):
        here.forecast(brief)
    assert here.availability(Brief(prompt="a fox", enhance=False)).available


def test_a_gpu_that_is_demanded_and_missing_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    del settings
    monkeypatch.setenv("REELWRIGHT_DEVICE", "cuda")
    monkeypatch.setattr("infra.adapters.device.nvml.load", lambda: None)
    monkeypatch.setattr("infra.adapters.availability._DRIVER", Path("/nowhere"))
    found = HostSurroundings(Settings.load()).availability(Brief(prompt="a fox"))
    assert "REELWRIGHT_DEVICE=cuda" in found.reason


class Answering(GradientBackend):
    """The example's backend, which counts how often it is asked."""

    asked = 0
    answer = Availability(available=True)

    def availability(self) -> Availability:
        type(self).asked += 1
        return self.answer


def test_a_service_is_asked_once_for_some_seconds(settings: Settings) -> None:
    now = [0.0]
    here = HostSurroundings(settings, RemoteLooks(lambda: now[0]))
    definition = dataclasses.replace(GRADIENT, create=lambda *_: Answering(GRADIENT))
    with registered(definition):
        brief = Brief(prompt="a fox", preset="gradient", enhance=False)
        for when, asked in ((0.0, 1), (FRESH - 1, 1), (FRESH, 2)):
            now[0] = when
            assert here.availability(brief).available
            assert Answering.asked == asked
        assert here.forecast(brief).memory_bytes == 0


def test_a_service_whose_key_is_missing_cannot_be_used(settings: Settings) -> None:
    def fail(*_: object) -> GradientBackend:
        raise SettingsError("the variable BOX_KEY is not set")

    with registered(dataclasses.replace(GRADIENT, create=fail)):
        brief = Brief(prompt="a fox", preset="gradient", enhance=False)
        found = HostSurroundings(settings, RemoteLooks()).availability(brief)
    assert found == Availability(available=False, reason="the variable BOX_KEY is not set")


def test_a_host_without_models_learns_from_the_bucket_what_the_gpu_host_has(
    settings: Settings,
    store: ObjectStore,
    store_settings: StoreSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    there, settings.store = settings, store_settings
    monkeypatch.delenv("REELWRIGHT_MODELS_DIR")
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "studio"))
    here = Settings.load()
    brief = Brief(prompt="a fox", preset="auto", seconds=8, enhance=False)
    assert gpu_host(store) is None
    with pytest.raises(UnavailableError, match="not installed"):
        find_route(brief, built_in(), HostSurroundings(here))
    tell(there, "rtx-5090-far away/1")
    assert store.list_keys("hosts/") == ["hosts/rtx-5090-far-away-1.json"]
    assert not here.paths.models.exists()  # the two data directories share nothing
    report = gpu_host(store)
    assert report is not None
    route = find_route(brief, built_in(), HostSurroundings(here, reported=report))
    assert route.chosen.preset == "demo"
    assert route.chosen.forecast is not None
    # Twice as long as the video that the report is about.
    wanted = 8 / report.usual_seconds * report.forecasts["demo"].seconds
    assert route.chosen.forecast.seconds == pytest.approx(wanted)
    reasons = {item.preset: item.reason for item in route.alternatives}
    assert reasons["video_14b"] == (
        "the GPU host rtx-5090-far away/1 lacks t2v-14B; there: reelwright models download t2v-14B"
    )


def test_a_report_that_is_old_or_of_another_version_does_not_count(
    settings: Settings, store: ObjectStore
) -> None:
    report = report_of(settings, "old")
    old = report.model_copy(update={"written": datetime.now(UTC) - HOST_FRESH})
    store.put_bytes(ObjectKey.host("old"), old.model_dump_json().encode(), "application/json")
    store.put_bytes(ObjectKey.host("odd"), b"{}", "application/json")
    assert gpu_host(store) is None
    marks, long_ago = Marks(), datetime(2020, 1, 1, tzinfo=UTC)
    item = Item(ObjectKey.host("old"), 1, long_ago)
    assert decide(item, marks, Ages(), datetime.now(UTC)) is None
    cards = report.model_copy(update={"device": "cuda", "name": "with a card"})
    for name, found in (("card", cards), ("plain", report_of(settings, "plain"))):
        store.put_bytes(ObjectKey.host(name), found.model_dump_json().encode(), "application/json")
    newest = gpu_host(store)
    assert newest is not None
    assert newest.name == "with a card"


def test_every_preset_is_available_or_says_why_not(settings: Settings) -> None:
    here = HostSurroundings(settings)
    for name, preset in presets().items():
        required = definitions()[preset.backend].capabilities.required
        if required:
            continue
        found = here.availability(Brief(prompt="a fox", preset=name))
        assert found.available != bool(found.reason)
