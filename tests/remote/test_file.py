"""The operator's file of remote backends."""

import re
from pathlib import Path

import pytest

from pipelines.backends import registry
from pipelines.backends.remote import file as backends_file
from pipelines.backends.remote.file import read_backends
from pipelines.documents.brief import Brief
from pipelines.errors import SettingsError
from pipelines.media.ffmpeg import find_ffmpeg
from tasks.remote_backends import configure_backends, configure_backends_of_flows
from tests.conftest import REPOSITORY
from tests.support.remote import Kills, World, kind_of

GOOD = """\
backends:
  - name: far-away
    kind: scripted
    address: https://far.example
    key: env:FAR_KEY
  - name: near
    kind: scripted
    address: http://127.0.0.1:8000
    enabled: false
"""


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = kind_of(World(), Kills(), find_ffmpeg())
    monkeypatch.setattr(backends_file, "kinds", lambda: {"scripted": kind})
    before = dict(registry.definitions())
    monkeypatch.setattr(registry, "_definitions", before)
    monkeypatch.setattr(registry, "_configured", set())


def test_every_kind_that_the_documents_name_is_there() -> None:
    from pipelines.backends.remote.kinds import kinds

    pages = [REPOSITORY / "docs" / f"{page}.md" for page in ("cloud", "servers", "comfyui")]
    named = {
        kind
        for page in pages
        for kind in re.findall(r"^\s*kind: ([a-z0-9-]+)", page.read_text(), re.MULTILINE)
    }
    assert named == set(kinds())


def test_entries_that_are_enabled_become_backends() -> None:
    (found,) = read_backends(GOOD, "backends.yaml")
    assert (found.name, found.presets[0].name) == ("far-away", "far_away")
    assert found.capabilities.location == "remote"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("backends: 3", r"b.yaml, line 1: backends=3: .*tuple"),
        ("backends:\n- name: a\n  kind: wrong", r"line 2: kind 'wrong' is unknown; choose one of"),
        (
            GOOD.replace("https://far.example", "ftp://x"),
            r"line 4: backends.0.address='ftp://x': must be",
        ),
        (GOOD.replace("https://far.example", "https://u:p@x"), r"line 4: .*must hold no key"),
        (
            GOOD.replace("env:FAR_KEY", "sk-123"),
            r"line 5: backends.0.key: must be env:NAME or file:/PATH",
        ),
        (GOOD.replace("far-away", "Far Away"), r"line 2: backends.0.name='Far Away'"),
        (GOOD.replace("near", "far-away"), r"line 6: the name 'far-away' is taken"),
        (
            GOOD + "    colour: red\n",
            r"line 10: backends.1.colour='red': no field has this name here",
        ),
        ("backends: [", r"b.yaml, line 1: this is no YAML"),
    ],
)
def test_a_fault_is_said_with_line_value_and_rule(text: str, error: str) -> None:
    with pytest.raises(SettingsError, match=error) as found:
        read_backends(text, "b.yaml")
    assert "sk-123" not in str(found.value)


def test_presets_of_the_file_can_be_asked_for_until_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "backends.yaml"
    path.write_text(GOOD)
    monkeypatch.setenv("REELWRIGHT_BACKENDS", str(path))
    configure_backends()
    brief = Brief(prompt="a ball", preset="far_away", seconds=2)
    assert brief.backend.name == "far-away"
    assert "far_away" in Brief.model_json_schema()["properties"]["preset"]["enum"]
    registry.configure(())
    assert "far_away" not in registry.presets()
    assert "far_away" not in Brief.model_json_schema()["properties"]["preset"]["enum"]


def test_the_file_is_read_when_a_preset_is_first_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when a flow is imported."""
    path = tmp_path / "backends.yaml"
    monkeypatch.setenv("REELWRIGHT_BACKENDS", str(path))
    registry.before_first_use(configure_backends_of_flows)
    path.write_text(GOOD)
    assert "far_away" in registry.presets()
    path.unlink()
    assert "far_away" in registry.presets()


def test_no_entry_takes_the_name_of_what_is_built_in() -> None:
    for name in ("demo", "auto", "video-fast"):
        found = read_backends(GOOD.replace("far-away", name), "b.yaml")
        with pytest.raises(SettingsError, match="which there is already"):
            registry.configure(found)


def test_a_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELWRIGHT_BACKENDS", "/does/not/exist.yaml")
    with pytest.raises(SettingsError, match=r"REELWRIGHT_BACKENDS.*/does/not/exist.yaml"):
        configure_backends()
