"""`logs`, `videos` and `runs`; what `up` says; what doctor says of a studio."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.adapters.disk import exclusive
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings, StoreSettings
from infra.apps import environment
from infra.apps.doctor_studio import examine_studio
from infra.apps.studio.log_files import SERVICES, log_file
from infra.apps.studio.logs import files_of, last_lines, show_files
from infra.apps.studio.studio import PARTS
from infra.apps.studio.welcome import welcome
from pipelines.errors import BriefError, ServerError
from tests.conftest import Cli
from tests.support.gateway import Gateway, brief, gateway
from tests.support.hooks import settings_of
from tests.support.published import publish

TOKEN = "a-token-of-this-test-that-is-long-enough"


# Logs -----------------------------------------------------------------------------------------


def write(data: Path, service: str, text: str) -> Path:
    path = log_file(data, service)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_part_of_a_studio_has_a_log() -> None:
    assert set(PARTS) < set(SERVICES)


def test_the_last_lines_are_found_at_the_end_of_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "long.log"
    path.write_text("".join(f"line {number} {'x' * 90}\n" for number in range(5_000)))
    assert [line.split()[1] for line in last_lines(path, 3)] == ["4997", "4998", "4999"]
    assert last_lines(path, 0) == []
    assert len(last_lines(path, 10_000)) == 5_000


def test_the_command_shows_the_logs_of_all_parts_or_of_one(bare_cli: Cli) -> None:
    write(bare_cli.data, "gateway", "one\ntwo\n")
    write(bare_cli.data, "store", "three\n")
    every = bare_cli("logs", "--lines", "1")
    assert sorted(every.out.splitlines()) == ["gateway  two", "store    three"]
    assert bare_cli("logs", "gateway").out.splitlines() == ["one", "two"]


def test_a_part_that_there_is_not_is_refused_with_those_that_there_are(bare_cli: Cli) -> None:
    found = bare_cli("logs", "gate")
    assert found.code == 2
    assert "gateway" in found.err
    assert "nothing was started" in bare_cli("logs").err


def test_a_log_that_is_followed_goes_on_after_it_was_begun_anew(tmp_path: Path) -> None:
    path = write(tmp_path, "gateway", "old\n")
    said: list[str] = []

    def append(text: str) -> None:
        with path.open("a", encoding="utf-8") as handle:
            handle.write(text)

    def begin_anew() -> None:
        path.replace(path.with_suffix(".old"))
        append("a new file\n")

    steps = iter([lambda: append("a line in "), lambda: append("two parts\n"), begin_anew])

    def stop() -> bool:
        step = next(steps, None)
        if step is not None:
            step()
        return step is None

    show_files({"gateway": path}, 1, said.append, follow=True, stop=stop)
    assert said == ["old", "a line in two parts", "a new file"]


def test_without_a_name_only_logs_that_are_there_are_read(tmp_path: Path) -> None:
    write(tmp_path, "make", "x\n")
    assert list(files_of(tmp_path, "")) == ["make"]
    with pytest.raises(BriefError, match="nope"):
        files_of(tmp_path, "nope")


def test_a_part_and_a_run_at_once_are_refused(bare_cli: Cli) -> None:
    assert bare_cli("logs", "gateway", "--run", "x").code == 2


# Videos and runs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("commands")
    with gateway(deployed, folder, REELWRIGHT_GATEWAY_TOKEN=TOKEN) as found:
        found.cli.env["REELWRIGHT_GATEWAY_URL"] = found.url
        yield found


@pytest.mark.xdist_group("gateway")
def test_videos_are_listed_and_deleted_for_good(
    served: Gateway, gateway_store: StoreSettings
) -> None:
    manifest = publish(ObjectStore(gateway_store), prompt="a lilac ball rolls away")
    cli, cid = served.cli, manifest.content_id
    with served.client() as client:
        assert client.get(f"/videos/{cid}.json").status_code == 200  # which indexes it
        client.get(f"/watch/{cid}")
    listed = json.loads(cli("videos", "list", "--limit", "200", "--json").out)
    assert cid in {item["id"] for item in listed}
    (line,) = [x for x in cli("videos", "list", "--limit", "200").out.splitlines() if cid in x]
    assert "a lilac ball rolls away" in line
    asked = cli("videos", "delete", cid)
    assert (asked.code, "add --yes" in asked.err) == (2, True)
    done = cli("videos", "delete", f"{cid}.mp4", "--yes")
    assert done.out.startswith(f"deleted {cid}")
    again = cli("videos", "delete", cid, "--yes")
    assert again.code == 2
    assert len(again.err.splitlines()) == 1


@pytest.mark.xdist_group("gateway")
def test_runs_are_listed_with_their_words_and_cancelled(served: Gateway) -> None:
    words = brief(prompt="A red fox trots through the snow")
    with served.client() as client:
        run = client.post("/briefs", json=words).json()["id"]
    (line,) = [x for x in served.cli("runs", "list").out.splitlines() if run in x]
    assert "red-fox-trots-through-the-snow-" in line
    done = served.cli("runs", "cancel", run)
    assert done.out.startswith("asked to stop: red-fox-trots-through-the-snow-")
    again = served.cli("runs", "cancel", run)
    assert again.code == 2
    assert "already" in again.err
    states = {x["id"]: x["state"] for x in json.loads(served.cli("runs", "list", "--json").out)}
    assert states[run] == "cancelled"


@pytest.mark.xdist_group("gateway")
def test_the_gateway_s_links_into_prefect_say_that_it_asks_for_a_login(served: Gateway) -> None:
    pages = served.cli.env["PREFECT_API_URL"].removesuffix("/api") + "/v2"
    with served.client() as client:
        run = client.post("/briefs", json=brief()).json()["id"]
        job, new = client.get(f"/jobs/{run}").text, client.get("/new").text
        client.delete(f"/runs/{run}")
    for text, link in ((job, f"{pages}/runs/flow-run/{run}"), (new, f"{pages}/deployments")):
        assert f'href="{link}"' in text
        assert "Prefect asks for a login" in text


@pytest.mark.parametrize("words", [("videos", "list"), ("runs", "list")])
def test_without_a_gateway_the_command_says_how_to_start_one(
    bare_cli: Cli, words: tuple[str, str]
) -> None:
    found = bare_cli(*words)
    assert (found.code, len(found.err.splitlines())) == (1, 1)
    assert "reelwright up" in found.err
    silent = {"REELWRIGHT_GATEWAY_TOKEN": TOKEN, "REELWRIGHT_GATEWAY_URL": "http://127.0.0.1:9"}
    assert "does not answer" in bare_cli(*words, **silent).err


def test_what_is_no_id_of_a_video_is_refused_before_anybody_is_asked(bare_cli: Cli) -> None:
    assert "64 digits" in bare_cli("videos", "delete", "../x", "--yes").err


# What `up`, `login` and `keys` say ------------------------------------------------------------


def test_up_says_who_goes_where_and_names_every_log() -> None:
    logs = {name: log_file(Path("/data"), name) for name in PARTS}
    text = welcome(
        [(name, "somewhere", logs[name]) for name in PARTS],
        gateway="http://127.0.0.1:8004",
        link="http://127.0.0.1:8004/login?token=x",
        prefect="http://127.0.0.1:4200/v2",
        passwords=Path("/data/studio/studio.env"),
    )
    assert all(str(path) in text for path in logs.values())
    lines = text.splitlines()
    (editors,) = [line for line in lines if line.startswith("editors")]
    assert "http://127.0.0.1:8004/new" in editors
    assert "reelwright login --prefect" in text
    assert lines[-2].split()[:3] == ["log", "in", "http://127.0.0.1:8004/login?token=x"]
    assert lines[-1].split() == ["passwords", "/data/studio/studio.env"]


def test_what_runs_elsewhere_is_not_promised() -> None:
    text = welcome([], gateway="", link="", prefect="", passwords=Path("/env"))
    assert "editors" not in text
    assert "log in" not in text


def test_the_login_of_prefect_is_printed_for_the_operator_to_pass_on(bare_cli: Cli) -> None:
    found = bare_cli(
        *("login", "--prefect"),
        PREFECT_API_AUTH_STRING="studio:secret",
        PREFECT_API_URL="http://127.0.0.1:4200/api",
    )
    assert found.out == "studio:secret\n"
    assert "http://127.0.0.1:4200/v2" in found.err
    assert "secret" not in found.err
    unknown = bare_cli("login", "--prefect")
    assert (unknown.code, len(unknown.err.splitlines())) == (1, 1)


def test_a_revoked_key_is_said_to_be_revoked(bare_cli: Cli) -> None:
    assert bare_cli("keys", "add", "cms").code == 0
    assert bare_cli("keys", "revoke", "cms").out.startswith("the key 'cms' is revoked")


def test_what_was_checked_of_the_webhooks_is_said(bare_cli: Cli, tmp_path: Path) -> None:
    there = {"name": "cms", "url": "https://cms.test/hooks", "secret": "env:HOOK_SECRET"}
    found = bare_cli("hooks", "check", **settings_of(tmp_path, [there]))
    (*_, last) = found.out.splitlines()
    assert "sources and 1 endpoints can be used" in last


# Doctor ---------------------------------------------------------------------------------------


@contextmanager
def running(data: Path, **pids: int) -> Iterator[Settings]:
    """A studio whose lock is held, with these processes."""
    folder = data / "studio"
    folder.mkdir(parents=True)
    (folder / "running.json").write_text(json.dumps(pids))
    with exclusive(folder / "lock", lambda: None):
        yield Settings.load()


def test_doctor_knows_a_studio_that_runs_and_a_part_that_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REELWRIGHT_DATA_DIR", str(tmp_path))
    assert "reelwright up" in examine_studio(Settings.load())
    with running(tmp_path, store=os.getpid(), database=os.getpid()) as settings:
        assert environment.is_running(settings)
        assert examine_studio(settings).startswith("runs: store, database")
    (tmp_path / "studio" / "running.json").write_text(json.dumps({"store": 2**22 + 1}))
    with (
        exclusive(tmp_path / "studio" / "lock", lambda: None),
        pytest.raises(ServerError, match="store has ended; see: reelwright logs store"),
    ):
        examine_studio(Settings.load())


def test_doctor_says_how_much_each_set_is_to_download(bare_cli: Cli, tmp_path: Path) -> None:
    from infra.apps.doctor import examine_models

    *sets, last = examine_models(tmp_path / "none")
    assert {finding.name for finding in sets} >= {"models demo", "models studio"}
    assert all("GB to fetch" in item.text or "MB to fetch" in item.text for item in sets)
    assert last.text.count("B)") == 2
