"""Real servers and real models for the whole suite, started once for all its workers."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).parents[1]
for name in [name for name in os.environ if name.startswith(("REELWRIGHT_", "PREFECT_"))]:
    del os.environ[name]  # what the developer has set must not decide a test
os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
os.environ["OMP_NUM_THREADS"] = "1"  # the workers share the cores; spinning threads would fight

from infra.adapters.object_store import ObjectStore  # noqa: E402
from infra.adapters.prefect_server import PrefectServer  # noqa: E402
from infra.adapters.seaweed import SeaweedServer  # noqa: E402
from infra.adapters.settings import StoreSettings  # noqa: E402
from infra.adapters.weights.catalog import MODEL_SETS, MODELS  # noqa: E402
from infra.adapters.weights.library import state_of  # noqa: E402
from pipelines.media.ffmpeg import Ffmpeg, find_ffmpeg  # noqa: E402
from tests.support.logged_errors import ALLOWS, EXPECTS, LoggedErrors, collected, complaint  # noqa: E402
from tests.support.ports import free_ports  # noqa: E402
from tests.support.sharing import Started, common_folder, shared  # noqa: E402

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


def slow(*values: object) -> object:
    """A parameter set that `make test` leaves to `make test-slow`."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def logged_errors(request: pytest.FixtureRequest) -> Iterator[LoggedErrors]:
    """An ERROR in the log fails the test, unless the test is marked with `expects_errors`."""
    with collected() as errors:
        yield errors
    errors.read_files()
    expected, allowed = (
        [pattern for mark in request.node.iter_markers(name) for pattern in mark.args]
        for name in (EXPECTS, ALLOWS)
    )
    if wrong := complaint(errors.messages, expected, allowed):
        pytest.fail(wrong, pytrace=False)


@pytest.fixture(scope="session")
def ffmpeg() -> Ffmpeg:
    return find_ffmpeg()


@pytest.fixture(scope="session")
def demo_models() -> Path:
    """The real demo set, installed once for all workers and runs of the suite."""
    from infra.apps.install import install

    folder = REPOSITORY / "build" / "test-models"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "install.lock"):
        install(folder, "demo", lambda _: None)
    return folder


@pytest.fixture
def models(demo_models: Path, tmp_path: Path) -> Path:
    """A copy of the demo set to damage; the large file is linked and must not be written to."""
    target = tmp_path / "models"

    def copy(source: str, destination: str) -> None:
        (os.link if source.endswith(".gguf") else shutil.copy2)(source, destination)

    for name in MODEL_SETS["demo"].models:
        folder = state_of(demo_models, MODELS[name]).folder
        assert folder is not None
        shutil.copytree(folder, target / name, copy_function=copy)
    return target


@dataclass
class Seaweed:
    """The suite's object store."""

    pid: int
    settings: StoreSettings


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Seaweed]:
    folder = common_folder(tmp_path_factory, worker_id) / "seaweed"

    def start() -> Started:
        server = SeaweedServer(folder / "store")
        server.wait()
        return {
            "pid": str(server.server.pid),
            "endpoint": server.endpoint,
            "access_key": server.credentials.access_key,
            "secret_key": server.credentials.secret_key,
        }, server.stop

    with shared(folder, start) as address:
        pid = int(address.pop("pid"))
        yield Seaweed(pid, StoreSettings.model_validate(address))


@pytest.fixture
def store_settings(seaweed: Seaweed, worker_id: str) -> StoreSettings:
    """An empty bucket on the shared server. The worker's tests take turns with it: every bucket
    ever made keeps the server busy, also after it is removed."""
    return seaweed.settings.model_copy(update={"bucket": f"test-{worker_id}"})


@pytest.fixture
def store(store_settings: StoreSettings) -> Iterator[ObjectStore]:
    store = ObjectStore(store_settings)
    store.ensure_bucket()
    yield store
    for key in store.list_keys():
        store.delete(key)


@pytest.fixture(scope="session")
def prefect_server(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[dict[str, str]]:
    """Environment of a client of the suite's Prefect server."""
    folder = common_folder(tmp_path_factory, worker_id) / "prefect"

    def start() -> Started:
        server = PrefectServer(folder / "home")
        server.wait()
        return server.client_env, server.stop

    with shared(folder, start) as environment:
        yield environment


@dataclass
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass
class Cli:
    """The installed command, run as a user would, in surroundings of the test's own."""

    env: dict[str, str] = field(default_factory=dict)

    def argv(self, *args: str) -> list[str]:
        return [str(Path(sys.executable).with_name("reelwright")), *args]

    def __call__(self, *args: str | bytes, **env: str) -> Result:
        done = subprocess.run(
            [self.argv()[0], *args],
            env=self.env | env,
            capture_output=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
        out, err = (
            stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr)
        )
        assert "Traceback (most recent call last)" not in err, err
        return Result(done.returncode, out, err)

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*args),
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def data(self) -> Path:
        return Path(self.env["REELWRIGHT_DATA_DIR"])

    @property
    def log_file(self) -> Path:
        return self.data / "logs" / "reelwright.log"

    @property
    def log(self) -> str:
        path = self.log_file
        return path.read_text(errors="replace") if path.exists() else ""


@pytest.fixture(scope="session")
def prefect_history(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """An empty history that Prefect has already made its tables in, which takes it 10 s."""
    folder = common_folder(tmp_path_factory, worker_id) / "history"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            server = PrefectServer(folder)
            server.wait()
            server.stop()
    return folder / "prefect.db"


@pytest.fixture
def bare_cli(tmp_path: Path, logged_errors: LoggedErrors) -> Cli:
    """The command with nothing but an empty data directory: it must start its own servers."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    cli = Cli(
        env
        | {
            "REELWRIGHT_DATA_DIR": str(tmp_path / "data"),
            "REELWRIGHT_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
        }
    )
    logged_errors.files.append(cli.log_file)
    return cli


@pytest.fixture
def embedded_cli(bare_cli: Cli, demo_models: Path) -> Cli:
    """The command with the demo models, and servers of its own."""
    bare_cli.env["REELWRIGHT_MODELS_DIR"] = str(demo_models)
    return bare_cli


@pytest.fixture
def started_cli(embedded_cli: Cli, prefect_history: Path) -> Cli:
    """The same in a data directory that has been used before."""
    folder = embedded_cli.data / "prefect"
    folder.mkdir(parents=True)
    shutil.copy(prefect_history, folder)
    return embedded_cli


@pytest.fixture
def cli(
    embedded_cli: Cli,
    store: ObjectStore,
    store_settings: StoreSettings,
    prefect_server: dict[str, str],
) -> Cli:
    """The command with the demo models and the suite's servers."""
    embedded_cli.env |= {
        "REELWRIGHT_S3_ENDPOINT": store_settings.endpoint,
        "REELWRIGHT_S3_ACCESS_KEY": store_settings.access_key,
        "REELWRIGHT_S3_SECRET_KEY": store_settings.secret_key.get_secret_value(),
        "REELWRIGHT_S3_BUCKET": store_settings.bucket,
        **prefect_server,
    }
    return embedded_cli


@pytest.fixture
def in_process(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Flows called in this process, in the surroundings of `cli`."""
    for name, value in cli.env.items():
        if name.startswith(("REELWRIGHT_", "PREFECT_")):
            monkeypatch.setenv(name, value)
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    from flows.produce_content import produce_content
    from pipelines.documents.brief import Brief

    def run(**values: object) -> object:
        url = cli.env["PREFECT_API_URL"]
        with temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            return produce_content(Brief.model_validate(values))

    return run


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, demo_models: Path) -> Cli:
    """The command for `up`, with an empty data directory and ports of its own."""
    return operator_of(tmp_path_factory.mktemp("studio"), demo_models)


def operator_of(folder: Path, models: Path) -> Cli:
    """A command with `folder` for its data, and ports that are free."""
    prefect, s3, gateway = free_ports(3)
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return Cli(
        env
        | {
            "REELWRIGHT_DATA_DIR": str(folder),
            "REELWRIGHT_MODELS_DIR": str(models),
            "REELWRIGHT_STUDIO_GATEWAY_PORT": str(gateway),
            "REELWRIGHT_STUDIO_PREFECT_PORT": str(prefect),
            "REELWRIGHT_STUDIO_S3_PORT": str(s3),
            "REELWRIGHT_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
            "PYTHONUTF8": "1",
        }
    )


@pytest.fixture(scope="session")
def gateway_store(seaweed: Seaweed) -> StoreSettings:
    return seaweed.settings.model_copy(update={"bucket": "test-gateway"})


@pytest.fixture(scope="session")
def deployed(
    gateway_store: StoreSettings,
    prefect_history: Path,
    demo_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cli]:
    """A deployed studio without workers: what is started waits. Its server is its own, because
    the gateway sees every run of one, and other tests start theirs at the same time."""
    folder = tmp_path_factory.mktemp("deployed")
    home = folder / "prefect"
    home.mkdir()
    shutil.copy(prefect_history, home)
    server = PrefectServer(home)
    server.wait()
    cli = Cli(
        operator_of(folder, demo_models).env
        | server.client_env
        | {
            "REELWRIGHT_S3_ENDPOINT": gateway_store.endpoint,
            "REELWRIGHT_S3_ACCESS_KEY": gateway_store.access_key,
            "REELWRIGHT_S3_SECRET_KEY": gateway_store.secret_key.get_secret_value(),
            "REELWRIGHT_S3_BUCKET": gateway_store.bucket,
        }
    )
    ObjectStore(gateway_store).ensure_bucket()
    done = cli("deploy")
    assert done.code == 0, done.err
    yield cli
    server.stop()
