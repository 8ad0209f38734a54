"""Files of backends, policy and caps: they hold for later starts and in other shells."""

from pathlib import Path

import pytest

from infra.adapters.disk import exclusive, make_directory
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.doctor_files import examine_files
from infra.apps.studio.up import PARTS, up
from pipelines.backends import registry
from pipelines.errors import SettingsError
from tests.conftest import Cli

BACKENDS = """
backends:
  - name: box-2
    kind: lightx2v
    address: http://127.0.0.1:9
    model: m
    fps: 16
    sizes: [128x64]
    frames: 33
    max_frames: 81
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path / "data"))
    return Settings.load()


def test_what_a_start_does_not_name_is_as_at_the_last_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REELWRIGHT_COSTS_FILE", "caps.yaml")
    monkeypatch.setenv("REELWRIGHT_COSTS_VIDEO_CAP", "")  # no cap
    monkeypatch.setenv("REELWRIGHT_BACKENDS", "")  # no file any more
    known = {
        "REELWRIGHT_BACKENDS": "/etc/b.yaml",
        "REELWRIGHT_ROUTING_POLICY": "/etc/p.yaml",
        "REELWRIGHT_COSTS_VIDEO_CAP": "2",
        "REELWRIGHT_S3_ENDPOINT": "127.0.0.1:1",
    }
    assert environment.chosen(known) == {
        "REELWRIGHT_BACKENDS": "",
        "REELWRIGHT_ROUTING_POLICY": "/etc/p.yaml",
        "REELWRIGHT_COSTS_FILE": str(tmp_path / "caps.yaml"),
        "REELWRIGHT_COSTS_VIDEO_CAP": "",
    }


def test_an_empty_variable_names_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.FILES:
        monkeypatch.setenv(name, "")
    found = Settings.load()
    assert found.remote.backends is None
    assert found.routing.policy is None
    assert found.costs.file is None
    assert found.calendar.file is None
    assert found.gateway.hooks is None


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("REELWRIGHT_BACKENDS", "backends: [{name: x, kind: telepathy}]", "line 1: kind"),
        ("REELWRIGHT_ROUTING_POLICY", "local: maybe", "line 1: local"),
        ("REELWRIGHT_COSTS_FILE", "month: -1", "line 1: month"),
    ],
)
def test_a_studio_does_not_start_with_a_file_of_the_last_start_that_has_a_mistake(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    text: str,
    says: str,
) -> None:
    (tmp_path / "file.yaml").write_text(text)
    environment.write(settings, {variable: str(tmp_path / "file.yaml")})
    monkeypatch.setenv(variable, "before")  # so that it is put back
    monkeypatch.delenv(variable)
    with pytest.raises(SettingsError, match=says):
        up(settings, PARTS)
    assert not (settings.paths.data_dir / "store").exists()


def test_a_command_in_another_shell_knows_the_backends_of_the_studio_that_runs(
    bare_cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "backends.yaml").write_text(BACKENDS)
    folder = make_directory(bare_cli.data / "studio", private=True)
    (folder / "studio.env").write_text(f"REELWRIGHT_BACKENDS={tmp_path / 'backends.yaml'}\n")
    asked = "route", "a fox", "--preset", "box_2"
    assert "'box_2' is unknown" in bare_cli(*asked).err  # nothing runs
    with exclusive(folder / "lock", lambda: None):
        result = bare_cli(*asked)
    assert result.out.startswith("box_2 "), result.err


def test_a_mistake_in_the_backends_file_stops_no_command_that_needs_none(
    bare_cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "backends.yaml").write_text("backends: [{name: x, kind: telepathy}]")
    bare_cli.env["REELWRIGHT_BACKENDS"] = str(tmp_path / "backends.yaml")
    listed = bare_cli("keys", "list")
    assert listed.code == 0
    assert "there are no remote backends: " in listed.err
    routed = bare_cli("route", "a fox")
    assert routed.code == 1
    assert "kind 'telepathy' is unknown" in routed.err


def test_doctor_says_which_remote_backends_answer(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backends.yaml").write_text(BACKENDS)
    (tmp_path / "caps.yaml").write_text("month: 100")
    monkeypatch.setenv("REELWRIGHT_BACKENDS", str(tmp_path / "backends.yaml"))
    monkeypatch.setenv("REELWRIGHT_COSTS_FILE", str(tmp_path / "caps.yaml"))
    try:
        found = {item.name: item for item in examine_files(Settings.load())}
    finally:
        registry.configure(())
    assert "1 enabled" in found["backends file"].text
    assert "month 100 USD" in found["spending caps"].text
    assert not found["remote box-2"].good
    assert not found["remote box-2"].needed
    assert "cannot be reached" in found["remote box-2"].text
