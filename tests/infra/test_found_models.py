"""Models that somebody put in place by hand are taken as they lie, and the commands say so."""

import dataclasses
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.adapters.weights.catalog import MODELS
from infra.adapters.weights.index import FileRecord, read_index, record_of
from infra.adapters.weights.library import installed_model, state_of
from infra.adapters.weights.model import HubSource, Model
from infra.adapters.weights.transfer import NoProgress
from infra.apps.install import install, install_model
from infra.apps.models import models_app
from pipelines.errors import WeightsError
from tests.infra.test_weights import damage
from tests.support.fake_hub import COMMIT, FakeHub, fake_hub

SOURCE = HubSource("x/y", ("model_index.json", "scheduler/*", "transformer/*"))
GUIDE = Model(
    "t2v-A14B",
    "video",
    "Wan2.2-T2V-A14B",
    "Apache-2.0",
    SOURCE,
    size=0,
    memory="",
    places=("wan/Wan2.2-T2V-A14B", "wan/t2v-A14B"),
)


def safetensors(data: bytes) -> bytes:
    header = {"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def pipeline_files() -> dict[str, bytes]:
    shards = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    return {
        "model_index.json": b"{}",
        "scheduler/scheduler_config.json": b'{"shift": 5}',
        "transformer/config.json": b'{"layers": 2}',
        "transformer/m.safetensors.index.json": json.dumps(shards).encode(),
        "transformer/m-1.safetensors": safetensors(os.urandom(5000)),
        "transformer/m-2.safetensors": safetensors(os.urandom(7000)),
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub(pipeline_files() | {"README.md": b"of the hub"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def lay(hub: FakeHub, folder: Path) -> Path:
    for name, data in hub.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def download(models: Path) -> list[str]:
    said: list[str] = []
    install_model(models, GUIDE, said.append, NoProgress())
    return said


@pytest.mark.parametrize("place", ["wan/Wan2.2-T2V-A14B", "wan/t2v-A14B", "t2v-A14B"])
def test_a_folder_laid_out_by_hand_is_taken_instead_of_downloaded(
    hub: FakeHub, tmp_path: Path, place: str
) -> None:
    folder = lay(hub, tmp_path / place)
    assert state_of(tmp_path, GUIDE).kind == "unchecked"
    download(tmp_path)
    assert hub.sent == []
    index = read_index(folder)
    assert index is not None
    assert index.revision == COMMIT
    assert "README.md" not in index.files
    assert state_of(tmp_path, GUIDE).folder == folder


def test_without_the_hub_it_is_taken_as_it_lies_and_that_is_said(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(hub, tmp_path / "wan/t2v-A14B")
    with fake_hub({}) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
    said = download(tmp_path)
    assert any("were not compared with the hub's" in line for line in said), said
    assert state_of(tmp_path, GUIDE).kind == "installed"
    damage(folder / "transformer/m-2.safetensors", "bit-flipped")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    download(tmp_path)  # now it can be mended, too
    assert hub.names() == ["transformer/m-2.safetensors"]


def test_an_altered_folder_is_left_alone_and_the_model_downloaded(
    hub: FakeHub, tmp_path: Path
) -> None:
    folder = lay(hub, tmp_path / "wan/t2v-A14B")
    damage(folder / "transformer/m-1.safetensors", "bit-flipped")
    before = sorted(folder.rglob("*"))
    said = download(tmp_path)
    assert any("m-1.safetensors is altered: it is not the hub's" in line for line in said), said
    assert sorted(folder.rglob("*")) == before
    assert state_of(tmp_path, GUIDE).folder == tmp_path / "t2v-A14B"


def test_a_folder_of_ours_that_proves_wrong_is_mended_without_a_second_reading(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 126 GB twice takes minutes."""
    folder = lay(hub, tmp_path / "t2v-A14B")
    damage(folder / "transformer/m-2.safetensors", "bit-flipped")
    read: list[str] = []

    def reading(path: Path) -> FileRecord:
        read.append(str(path.relative_to(folder)))
        return record_of(path)

    monkeypatch.setattr("infra.adapters.weights.fetch.record_of", reading)
    download(tmp_path)
    assert hub.names() == ["transformer/m-2.safetensors"]
    assert len(read) == len(set(read)) == len(read_index(folder).files)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("transformer/m-2.safetensors", "missing", "transformer/m-2.safetensors is missing"),
        ("transformer/m-2.safetensors", "truncated", "m-2.safetensors has"),
        ("transformer/config.json", "missing", "transformer/config.json is missing"),
        ("scheduler/scheduler_config.json", "missing", "scheduler/* is missing"),
    ],
)
def test_a_folder_that_lacks_something_is_incomplete(
    hub: FakeHub, tmp_path: Path, name: str, kind: str, fault: str
) -> None:
    damage(lay(hub, tmp_path / "wan/t2v-A14B") / name, kind)
    state = state_of(tmp_path, GUIDE)
    assert state.kind == "incomplete"
    assert fault in state.fault


def test_quantised_weights_that_are_added_later_are_in_the_identity(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend prefers a `*.gguf` in a component's folder to the weights beside it."""
    monkeypatch.setitem(MODELS, "t2v-A14B", GUIDE)
    download(tmp_path)
    before = installed_model(tmp_path, "t2v-A14B").components
    (tmp_path / "t2v-A14B/transformer/q4.gguf").write_bytes(b"quantised")
    with pytest.raises(WeightsError, match=r"q4\.gguf was added and is in no index yet"):
        installed_model(tmp_path, "t2v-A14B")
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path))
    assert CliRunner().invoke(models_app, ["verify", "t2v-A14B"]).exit_code == 0
    after = installed_model(tmp_path, "t2v-A14B").components
    assert {name for name in after if after[name] != before[name]} == {"transformer"}
    damage(tmp_path / "t2v-A14B/model_index.json", "truncated")
    download(tmp_path)  # a repair keeps it
    assert installed_model(tmp_path, "t2v-A14B").components == after


def test_wans_own_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "wan/t2v-A14B").mkdir(parents=True)
    (tmp_path / "wan/t2v-A14B/Wan2.1_VAE.pth").write_bytes(b"weights")
    assert "diffusers' layout is needed" in state_of(tmp_path, GUIDE).fault


@pytest.fixture
def small_catalog(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Model]:
    other = dataclasses.replace(GUIDE, name="i2v-A14B", places=())
    catalog = {"t2v-A14B": GUIDE, "i2v-A14B": other}
    monkeypatch.setattr("infra.apps.models.MODELS", catalog)
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path))
    return catalog


def test_all_models_are_installed_listed_and_verified(
    small_catalog: dict[str, Model], tmp_path: Path
) -> None:
    runner = CliRunner()
    assert runner.invoke(models_app, ["download", "--all"]).exit_code == 0
    listed = json.loads(runner.invoke(models_app, ["list", "--json"]).stdout)
    assert [(row["name"], row["state"]) for row in listed] == [
        ("t2v-A14B", "installed"),
        ("i2v-A14B", "installed"),
    ]
    verified = runner.invoke(models_app, ["verify", "--all"])
    assert verified.stdout == "12 files are what they were when installed\n"
    damage(tmp_path / "i2v-A14B/transformer/m-1.safetensors", "bit-flipped")
    failed = runner.invoke(models_app, ["verify"])
    assert failed.exit_code == 1
    assert "is altered" in failed.stderr
    assert "run: reelwright models download i2v-A14B" in failed.stderr


def test_verify_takes_in_a_folder_laid_out_by_hand(
    small_catalog: dict[str, Model], hub: FakeHub, tmp_path: Path
) -> None:
    lay(hub, tmp_path / "wan/t2v-A14B")
    assert "found, unchecked" in CliRunner().invoke(models_app, ["list"]).stdout
    assert CliRunner().invoke(models_app, ["verify", "--all"]).exit_code == 0
    assert state_of(tmp_path, GUIDE).kind == "installed"
    assert hub.sent == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("builder", "name"),
    [
        ("wan_t2v", "t2v-1.3B"),
        ("wan_vace", "vace-1.3B"),
        ("wan_ti2v", "ti2v-5B"),
        ("wan_t2v_a14b", "t2v-A14B"),
        ("wan_i2v_a14b", "i2v-A14B"),
        ("wan_animate", "animate-14B"),
        ("ltx2", "ltx-2.5"),
    ],
)
def test_the_catalog_finds_the_layout_of_each_real_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builder: str, name: str
) -> None:
    """On tiny checkpoints of the same layout, with the hub out of reach."""
    from tests.tiny import BUILDERS

    with fake_hub({}) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
        monkeypatch.setenv("NO_PROXY", "*")
    BUILDERS[builder](tmp_path / name)
    install(tmp_path, name, lambda _: None)
    parts = json.loads((tmp_path / name / "model_index.json").read_bytes())
    loaded = {
        part for part, classes in parts.items() if part[0] != "_" and isinstance(classes, list)
    }
    loaded -= {part for part in loaded if parts[part] == [None, None]}
    if name == "vace-1.3B":
        loaded -= {"text_encoder", "tokenizer"}  # t2v-1.3B encodes its texts
    assert set(installed_model(tmp_path, name).components) == {"pipeline", *loaded}
