"""Model files are the ones that were installed, or the run does not start."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.weights.catalog import MODEL_SETS, HubSource, UrlSource
from infra.adapters.weights.fetch import fetch_url
from infra.adapters.weights.index import faults, read_index, write_index
from infra.adapters.weights.library import installed_set
from infra.apps.install import install
from pipelines.errors import WeightsError
from tests.fake_hub import COMMIT, FakeHub, fake_hub

UPSCALER = Path("demo/upscaler/realesr-animevideov3.safetensors")
SHARD = "transformer/weights.safetensors"


def test_an_intact_set_is_found(models: Path) -> None:
    found = installed_set(models, "demo")
    assert found.writer.path.stat().st_size == 253_113_024
    assert found.video.path.is_dir()
    assert found.upscaler.index.size_of() > 1_000_000


def damage(path: Path, kind: str) -> None:
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    else:
        with path.open("r+b") as handle:
            handle.seek(100_000)
            byte = handle.read(1)
            handle.seek(100_000)
            handle.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("missing", "is missing"), ("truncated", "bytes"), ("bit-flipped", "is altered")],
)
def test_damage_is_named_with_file_and_remedy_and_repaired(
    models: Path, kind: str, words: str
) -> None:
    installed_set(models, "demo")  # remembered as right: the damage must still be seen
    damage(models / UPSCALER, kind)
    with pytest.raises(WeightsError, match=words) as refusal:
        installed_set(models, "demo")
    assert str(models / UPSCALER) in str(refusal.value)
    assert "reelwright models download demo" in str(refusal.value)
    install(models, "demo", lambda _: None)
    installed_set(models, "demo")


def test_verify_hashes_also_what_looks_untouched(models: Path) -> None:
    path = models / UPSCALER
    before = path.stat()
    installed_set(models, "demo")
    damage(path, "bit-flipped")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    index = read_index(path.parent)
    assert index is not None
    assert [name for name, _ in faults(path.parent, index, everything=True)] == [path.name]


def test_a_set_that_is_not_installed_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="reelwright models download studio"):
        installed_set(tmp_path, "studio")


def test_an_interrupted_installation_is_no_installation(models: Path) -> None:
    (models / "demo" / "upscaler" / "index.json").unlink()
    with pytest.raises(WeightsError, match="not installed"):
        installed_set(models, "demo")


def test_a_damaged_index_is_named(models: Path) -> None:
    (models / "demo" / "upscaler" / "index.json").write_text("{")
    with pytest.raises(WeightsError, match=r"index\.json is damaged"):
        installed_set(models, "demo")


def test_the_content_of_weights_does_not_depend_on_where_they_came_from(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"weights")
    first = write_index(tmp_path, "hub:a", "1").content
    assert write_index(tmp_path, "hub:b", "2").content == first
    (tmp_path / "x").write_bytes(b"other")
    assert write_index(tmp_path, "hub:a", "1").content != first


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {"model_index.json": b"{}", SHARD: os.urandom(400_000), "README.md": b"no"}
    with fake_hub(files) as hub:
        yield hub


def fetch(hub: FakeHub, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's client reads its endpoint when it is imported."""
    script = f"""
from pathlib import Path
from infra.adapters.weights.catalog import HubSource
from infra.adapters.weights.fetch import fetch_hub
from pipelines.errors import WeightsError
try:
    fetch_hub(HubSource("x/y", ("model_index.json", "transformer/*")), Path({str(folder)!r}), print)
except WeightsError as error:
    print("REFUSED", error)
"""
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
    env["HF_HOME"] = str(folder.parent / "hf")
    return subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120
    )


def test_the_hubs_files_arrive_pinned_to_a_commit(hub: FakeHub, tmp_path: Path) -> None:
    done = fetch(hub, tmp_path / "video")
    index = read_index(tmp_path / "video")
    assert index is not None, done.stdout + done.stderr
    assert (index.revision, set(index.files)) == (COMMIT, {"model_index.json", SHARD})
    assert (tmp_path / "video" / SHARD).read_bytes() == hub.files[SHARD]
    sent = len(hub.sent)
    fetch(hub, tmp_path / "video")
    assert hub.revisions[-1] == COMMIT  # no longer `main`
    assert len(hub.sent) == sent  # nothing was fetched twice


def test_a_download_goes_on_where_it_broke_off(hub: FakeHub, tmp_path: Path) -> None:
    hub.files[SHARD] = os.urandom(24_000_000)  # the hub's client keeps pieces of 10 MB
    hub.break_off = {SHARD}
    for _ in range(2):  # its client resumes by itself, or the next command does
        fetch(hub, tmp_path / "video")
    assert (tmp_path / "video" / SHARD).read_bytes() == hub.files[SHARD]
    starts = [start for name, start in hub.sent if name == SHARD]
    assert starts[0] == 0 < starts[1]


def test_altered_bytes_from_the_hub_are_thrown_away(hub: FakeHub, tmp_path: Path) -> None:
    hub.altered = {SHARD}
    done = fetch(hub, tmp_path / "video")
    assert "REFUSED" in done.stdout
    assert "sha256" in done.stdout
    assert not (tmp_path / "video" / SHARD).exists()
    assert read_index(tmp_path / "video") is None


def test_a_hub_out_of_reach_is_a_sentence(tmp_path: Path) -> None:
    with fake_hub({}) as hub:
        pass
    done = fetch(hub, tmp_path / "video")
    assert "REFUSED x/y cannot be fetched from the hub" in done.stdout
    assert "run the same command again" in done.stdout


def test_a_file_from_an_address_resumes_and_keeps_its_identity(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    with fake_hub({"net.pth": data}) as hub:
        source = UrlSource(f"{hub.url}/file/net.pth")
        (tmp_path / "net.pth.part").write_bytes(data[:100_000])
        fetch_url(source, tmp_path, "net.pth", lambda _: None)
        assert hub.sent == [("net.pth", 100_000)]
        assert (tmp_path / "net.pth").read_bytes() == data
        hub.files["net.pth"] = bytes(300_000)
        with pytest.raises(WeightsError, match="not the file whose sha256 was recorded"):
            fetch_url(source, tmp_path, "net.pth", lambda _: None)
        assert (tmp_path / "net.pth").read_bytes() == data


def test_the_studio_set_names_real_sources() -> None:
    models = {model.role: model for model in MODEL_SETS["studio"].models}
    video, writer = models["video"], models["writer"]
    assert isinstance(video.source, HubSource)
    assert video.source.repository == "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    assert writer.file.endswith(".gguf")
