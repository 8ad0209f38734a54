"""Downloads go on where they broke off, and nothing is installed before all of it is right."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from queue import Queue

import pytest
from rich.console import Console

from infra.adapters.weights.fetch import fetch_url
from infra.adapters.weights.index import check_files, read_index
from infra.adapters.weights.library import state_of
from infra.adapters.weights.model import HubSource, Model, UrlSource
from infra.adapters.weights.transfer import NoProgress
from infra.apps.downloads import ProgressBar, ProgressLines
from infra.apps.install import install_all, install_model, installing
from pipelines.errors import DiskFullError, WeightsError
from tests.support.fake_hub import COMMIT, FakeHub, fake_hub

FIRST, SECOND = "transformer/one.safetensors", "transformer/two.safetensors"
PATTERNS = ("model_index.json", "transformer/*")


def model(**changes: object) -> Model:
    values: dict[str, object] = {
        "name": "some-model",
        "role": "video",
        "title": "Some model",
        "licence": "Apache-2.0",
        "source": HubSource("x/y", PATTERNS),
        "size": 0,
        "memory": "",
        "places": ("studio/video",),
        **changes,
    }
    return Model(**values)  # type: ignore[arg-type]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {
        "model_index.json": b"{}",
        "transformer/config.json": b'{"layers": 2}',
        FIRST: os.urandom(300_000),
        SECOND: os.urandom(3_000_000),
        "README.md": b"no",
    }
    with fake_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def install(models: Path, wanted: Model | None = None) -> list[str]:
    said: list[str] = []
    install_model(models, wanted or model(), said.append, NoProgress())
    return said


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_the_hubs_files_arrive_pinned_to_a_commit(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    index = read_index(tmp_path / "some-model")
    assert index is not None
    wanted = {"model_index.json", "transformer/config.json", FIRST, SECOND}
    assert (index.revision, set(index.files)) == (COMMIT, wanted)
    assert hub.revisions == ["main"]
    for name, record in index.files.items():
        assert (tmp_path / "some-model" / name).read_bytes() == hub.files[name]
        assert record.sha256 == hashlib.sha256(hub.files[name]).hexdigest()


def test_what_is_there_is_not_fetched_again(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    sent, asked = len(hub.sent), len(hub.revisions)
    assert install(tmp_path) == ["some-model: Some model is installed"]
    assert (len(hub.sent), len(hub.revisions)) == (sent, asked)


@pytest.mark.parametrize("name", [FIRST, "transformer/config.json"])
def test_a_damaged_file_alone_is_fetched_again_from_the_same_commit(
    hub: FakeHub, tmp_path: Path, name: str
) -> None:
    install(tmp_path)
    damage(tmp_path / "some-model" / name)
    hub.sent.clear()
    install(tmp_path)
    assert hub.names() == [name]
    assert hub.revisions[-1] == COMMIT  # no longer `main`
    assert (tmp_path / "some-model" / name).read_bytes() == hub.files[name]


def test_a_file_that_breaks_off_goes_on_by_itself(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_off = {SECOND}
    install(tmp_path)
    starts = [start for name, start in hub.sent if name == SECOND]
    assert starts[0] == 0
    assert len(starts) == 2
    assert starts[1] > 0
    assert (tmp_path / "some-model" / SECOND).read_bytes() == hub.files[SECOND]


KILLED = """
import sys
from pathlib import Path
from infra.adapters.weights.transfer import NoProgress
from infra.apps.install import install_model
from tests.infra.test_downloads import model
install_model(Path(sys.argv[1]), model(), lambda _: None, NoProgress())
"""


def test_a_killed_download_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.hold = {SECOND: 2_500_000}
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, env={**os.environ}
    )
    part = tmp_path / "some-model" / f"{SECOND}.part"
    for _ in range(600):
        if part.exists() and part.stat().st_size >= 1_000_000:
            break
        time.sleep(0.1)
    have = part.stat().st_size
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert read_index(tmp_path / "some-model") is None  # not half installed
    assert state_of(tmp_path, model()).kind == "incomplete"
    hub.go_on.set()
    hub.sent.clear()
    install(tmp_path)
    [(name, start)] = hub.sent  # and no file that had arrived
    assert name == SECOND
    assert start >= have > 0
    assert (tmp_path / "some-model" / SECOND).read_bytes() == hub.files[SECOND]
    assert not list((tmp_path / "some-model").rglob("*.part"))


def test_a_server_that_cannot_go_on_begins_anew(hub: FakeHub, tmp_path: Path) -> None:
    part = tmp_path / "some-model" / f"{SECOND}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(9_000_000))  # longer than the file: of another one
    install(tmp_path)
    assert (SECOND, 0) in hub.sent
    assert (tmp_path / "some-model" / SECOND).read_bytes() == hub.files[SECOND]


@pytest.mark.parametrize("name", [SECOND, "transformer/config.json"])
def test_altered_bytes_from_the_hub_are_thrown_away(
    hub: FakeHub, tmp_path: Path, name: str
) -> None:
    hub.altered = {name}
    with pytest.raises(WeightsError, match="arrived altered"):
        install(tmp_path)
    assert not (tmp_path / "some-model" / name).exists()
    assert not (tmp_path / "some-model" / f"{name}.part").exists()
    assert read_index(tmp_path / "some-model") is None
    hub.altered = set()
    install(tmp_path)
    assert state_of(tmp_path, model()).kind == "installed"


def test_a_hub_out_of_reach_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub({}) as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.url)
        monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(WeightsError, match="x/y cannot be fetched from the hub") as refusal:
        install(tmp_path)
    assert "run the same command again" in str(refusal.value)


def test_too_small_a_disk_is_refused_before_a_byte_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    hub.announced = {SECOND: 10**18}
    with pytest.raises(DiskFullError, match=r"needs 1,000,000,000\.0 GB more and") as refusal:
        install(tmp_path)
    assert "set REELWRIGHT_MODELS_DIR" in str(refusal.value)
    assert hub.sent == []


def test_too_small_a_disk_for_all_together_is_refused_before_the_first(tmp_path: Path) -> None:
    two = [model(name="one", size=10**18), model(name="two", size=10**18)]
    with pytest.raises(DiskFullError, match="one, two needs"):
        install_all(tmp_path, two, lambda _: None)


def test_a_gated_repository_says_what_to_do(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = "good"
    with pytest.raises(WeightsError, match="HTTP 401") as refusal:
        install(tmp_path)
    assert "https://huggingface.co/x/y, accept its licence" in str(refusal.value)
    assert "set it as HF_TOKEN" in str(refusal.value)
    monkeypatch.setenv("HF_TOKEN", "of-somebody-else")
    with pytest.raises(WeightsError, match="HTTP 403"):
        install(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "good")
    install(tmp_path)
    assert state_of(tmp_path, model()).kind == "installed"
    assert hub.tokens_elsewhere == []  # the host that large files come from never sees it


def test_weights_that_their_index_does_not_name_are_left_out(hub: FakeHub, tmp_path: Path) -> None:
    names = {"weight_map": {"a": "one.safetensors"}}
    hub.files["transformer/x.safetensors.index.json"] = json.dumps(names).encode()
    wanted = model(source=HubSource("x/y", PATTERNS, indexed_only=True))
    install(tmp_path, wanted)
    index = read_index(tmp_path / "some-model")
    assert index is not None
    assert FIRST in index.files
    assert SECOND not in index.files


def test_a_second_process_waits_for_the_first(hub: FakeHub, tmp_path: Path) -> None:
    said: Queue[str] = Queue()
    with installing(tmp_path, model(), said.put):
        other = threading.Thread(target=install_all, args=(tmp_path, [model()], said.put))
        other.start()
        assert "another process installs it" in said.get(timeout=60)
        assert hub.revisions == []
    other.join(60)
    assert state_of(tmp_path, model()).kind == "installed"


def test_a_file_from_an_address_resumes_and_keeps_its_identity(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    with fake_hub({"net.pth": data}) as hub:
        source = UrlSource(f"{hub.url}/file/net.pth")
        wanted = model(source=source, file="net.pth")
        (tmp_path / "net.pth.part").write_bytes(data[:100_000])
        fetch_url(wanted, source, tmp_path, lambda _: None, NoProgress())
        assert hub.sent == [("net.pth", 100_000)]
        assert (tmp_path / "net.pth").read_bytes() == data
        hub.files["net.pth"] = bytes(300_000)
        with pytest.raises(WeightsError, match="not the file whose sha256 is known"):
            fetch_url(wanted, source, tmp_path, lambda _: None, NoProgress())
        assert (tmp_path / "net.pth").read_bytes() == data


def test_an_address_is_held_to_the_catalogs_sha256_and_to_the_disk(tmp_path: Path) -> None:
    with fake_hub({"net.pth": b"something else"}) as hub:
        source = UrlSource(f"{hub.url}/file/net.pth", "0" * 64)
        wanted = model(source=source, file="net.pth")
        with pytest.raises(WeightsError, match="not the file whose sha256 is known"):
            fetch_url(wanted, source, tmp_path, lambda _: None, NoProgress())
        assert read_index(tmp_path) is None
        assert not list(tmp_path.iterdir())
        gone = UrlSource(f"{hub.url}/file/gone.pth")
        large = model(source=gone, file="net.pth", size=10**18)
        with pytest.raises(DiskFullError, match="nothing was fetched"):
            fetch_url(large, gone, tmp_path, lambda _: None, NoProgress())
        with pytest.raises(WeightsError, match="HTTP 404"):
            fetch_url(wanted, gone, tmp_path, lambda _: None, NoProgress())


def test_what_arrived_is_not_read_a_second_time(hub: FakeHub, tmp_path: Path) -> None:
    """Reading 126 GB takes minutes: the first check after a download trusts its hashes."""
    install(tmp_path)
    folder = tmp_path / "some-model"
    index = read_index(folder)
    assert index is not None
    state = (folder / SECOND).stat()
    damage(folder / SECOND)
    os.utime(folder / SECOND, ns=(state.st_atime_ns, state.st_mtime_ns))
    check_files(folder, index)  # the stamp is as it was
    with pytest.raises(WeightsError, match="altered"):
        check_files(folder, index, everything=True)


def test_a_download_that_an_older_version_began_goes_on_in_its_folder(
    hub: FakeHub, tmp_path: Path
) -> None:
    folder = tmp_path / "studio/video"
    (folder / FIRST).parent.mkdir(parents=True)
    (folder / FIRST).write_bytes(hub.files[FIRST])
    (folder / ".cache/huggingface/download").mkdir(parents=True)
    install(tmp_path)
    assert FIRST not in hub.names()
    assert state_of(tmp_path, model()).folder == folder
    assert not (folder / ".cache/huggingface").exists()


def test_a_terminal_has_a_bar_with_bytes_speed_and_time() -> None:
    text = StringIO()
    shown = ProgressBar(Console(file=text, force_terminal=True, width=100))
    shown.begin("t2v-A14B", 8_000_000_000, 0)
    shown.advance(4_000_000_000)
    shown.end()
    assert "t2v-A14B" in text.getvalue()
    assert "4.0/8.0 GB" in text.getvalue()


def test_a_log_has_a_line_every_ten_seconds() -> None:
    lines: list[str] = []
    now = iter([0.0, 4.0, 10.0, 15.0, 20.0])
    shown = ProgressLines(lines.append, clock=lambda: next(now))
    shown.begin("t2v-A14B", 10_000_000_000, 1_000_000_000)
    for _ in range(4):
        shown.advance(500_000_000)
    shown.end()
    assert lines == [
        "t2v-A14B: 2.0 GB of 10.0 GB (20 %), 100.0 MB/s, 80 s left",
        "t2v-A14B: 3.0 GB of 10.0 GB (30 %), 100.0 MB/s, 70 s left",
    ]
