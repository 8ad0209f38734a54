"""A data directory of an older version: what is refused, what is said, and that it works."""

import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from infra.adapters.databases import Postgres
from infra.adapters.postgres import PostgresServer
from infra.apps.studio import upgrade
from pipelines.errors import SettingsError
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli, operator_of
from tests.support.studio import Studio, start_studio, wait_for

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def facts() -> dict[str, Any]:
    """What the directory of 0.1.0 held when it was made."""
    return json.loads((FIXTURES / "data-0.1.0.json").read_text())  # type: ignore[no-any-return]


def unpack(folder: Path) -> Path:
    with tarfile.open(FIXTURES / "data-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="tar")
    return folder


def test_the_directory_of_the_first_version_is_taken(tmp_path: Path) -> None:
    data = unpack(tmp_path)
    upgrade.check(data)
    upgrade.note(data)
    upgrade.check(data)
    assert json.loads((data / "format.json").read_text())["format"] == upgrade.FORMAT
    assert not [line for line in upgrade.changes(data) if "last used" in line]


def test_who_used_it_last_is_said(tmp_path: Path) -> None:
    data = tmp_path
    (data / "studio").mkdir()
    (data / "studio" / "studio.env").touch()
    (data / "format.json").write_text('{"format": 1, "written_by": "0.0.9"}')
    assert any("last used by 0.0.9" in line for line in upgrade.changes(data))
    assert upgrade.changes(tmp_path / "nothing") == []


def test_a_newer_directory_is_refused_and_left_alone(embedded_cli: Cli, tmp_path: Path) -> None:
    embedded_cli.data.mkdir()
    text = json.dumps({"format": upgrade.FORMAT + 1, "written_by": "9.0.0"})
    (embedded_cli.data / "format.json").write_text(text)
    for command in (
        ["up"],
        ["make", "a red ball"],
        ["verify"],
        ["retention", "keep", "spring"],
        ["backup", str(tmp_path / "backup")],
    ):
        said = embedded_cli(*command)
        assert said.code == 1
        assert "written by Reelwright 9.0.0" in said.err
    assert (embedded_cli.data / "format.json").read_text() == text
    assert not (embedded_cli.data / "store").exists()
    assert not (tmp_path / "backup").exists()


def test_a_damaged_format_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "format.json").write_text("{")
    with pytest.raises(SettingsError, match="cannot be read"):
        upgrade.check(tmp_path)


def test_another_postgresql_is_refused_with_the_way(tmp_path: Path) -> None:
    (tmp_path / "studio" / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "studio" / "postgres" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(SettingsError, match=r"made by PostgreSQL 15.*reelwright backup"):
        upgrade.check(tmp_path)


def test_an_unfinished_restore_is_refused(bare_cli: Cli) -> None:
    bare_cli.data.mkdir()
    (bare_cli.data / upgrade.MARKER).write_text("{}")
    said = bare_cli("up")
    assert said.code == 1
    assert "run the same `reelwright restore` again" in said.err


def test_what_becomes_of_prefects_tables_is_said(facts: dict[str, Any]) -> None:
    known, head = upgrade.prefect_revisions()
    older = sorted(known - {head})[0]
    assert len(known) > 100
    assert upgrade.prefect_change(head) == upgrade.prefect_change("") == ""
    assert f"moves from {older} to {head}" in upgrade.prefect_change(older)
    with pytest.raises(SettingsError, match="a newer one wrote it"):
        upgrade.prefect_change("ffffffffffff")


def test_the_head_is_the_one_that_prefect_itself_would_move_to() -> None:
    import prefect.server.database
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    folder = Path(prefect.server.database.__file__).parent
    config = Config(folder / "alembic.ini")
    config.set_main_option("script_location", str(folder / "_migrations"))
    config.set_main_option(
        "version_locations", str(folder / "_migrations" / "versions" / "postgresql")
    )
    assert ScriptDirectory.from_config(config).get_current_head() == upgrade.prefect_revisions()[1]


@pytest.fixture(scope="module")
def upgraded(
    tmp_path_factory: pytest.TempPathFactory, demo_models: Path, facts: dict[str, Any]
) -> Iterator[Studio]:
    cli = operator_of(unpack(tmp_path_factory.mktemp("data-0.1.0")), demo_models)
    still_waiting(cli.data, facts["waiting"])
    studio = start_studio(cli)
    yield studio
    studio.stop()


def still_waiting(data: Path, run: str) -> None:
    """The archive grows old; its run asked a moment ago and waits as long as it may."""
    server = PostgresServer(data / "studio" / "postgres")
    server.wait()
    try:
        Postgres.embedded(server).ask(
            f"""update flow_run_state set timestamp = now(), state_details = jsonb_set(
            state_details::jsonb, '{{pause_timeout}}', to_jsonb(now() + interval '30 days'))
            where flow_run_id = '{run}' and type = 'PAUSED';
            update flow_run set state_timestamp = now() where id = '{run}'"""
        )
    finally:
        server.stop()


def client(studio: Studio, key: str) -> httpx.Client:
    port = studio.cli.env["REELWRIGHT_STUDIO_GATEWAY_PORT"]
    headers = {"Authorization": f"Bearer {key}", "Sec-Fetch-Site": "same-origin"}
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)


@pytest.mark.slow
@pytest.mark.xdist_group("upgraded")
@pytest.mark.timeout(900)
def test_a_studio_of_the_first_version_goes_on(upgraded: Studio, facts: dict[str, Any]) -> None:
    (video,) = facts["videos"]
    with client(upgraded, facts["keys"]["editor"]) as editor:
        (now,) = editor.get("/videos").json()
        assert now | video == now  # later versions say more
        film = editor.get(video["video_path"])
        assert len(film.content) == video["size"]
        assert video["id"] in editor.get(video["watch"]).text
        assert video["id"] in editor.get("/").text
        # The first version did not say who started a run.
        assert editor.get("/runs").json() == []
    with client(upgraded, facts["keys"]["chief"]) as chief:
        known = {item["id"] for item in chief.get("/runs").json()}
        assert {*facts["runs"], facts["waiting"]} <= known
    published = {
        item.key: item.sha256 for manifest in upgraded.manifests() for item in manifest.objects
    }
    assert published == facts["objects"]
    (mark,) = facts["marks"]
    seen = datetime.fromisoformat(json.loads(facts["marks"][mark])["seen"])

    def looked() -> bool:
        data = upgraded.store.get_bytes(ObjectKey(mark))
        assert data is not None
        now = datetime.fromisoformat(json.loads(data)["seen"])
        return seen < now <= datetime.now(UTC)

    wait_for("content-calendar to go on from its mark", looked)
    with client(upgraded, facts["keys"]["chief"]) as chief:
        answer = {"decision": "approve"}
        chief.post(f"/runs/{facts['waiting']}/answer", json=answer).raise_for_status()
        ended = upgraded.finish(UUID(facts["waiting"]))
        assert ended.state is not None
        assert ended.state.is_completed(), ended.state.message
        wait_for("the new video", lambda: len(chief.get("/videos").json()) == 2)
        assert chief.delete(video["video_path"]).status_code == 200
        assert len(chief.get("/videos").json()) == 1
