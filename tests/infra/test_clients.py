"""Commands where no studio runs: each ends by itself, starts nothing, and tells nobody."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from infra.apps.cli import app
from tests.conftest import Cli
from tests.support.isolated import Isolated, can_isolate, run_isolated
from tests.support.ports import free_ports
from tests.support.studio import processes_of

pytestmark = pytest.mark.skipif(not can_isolate(), reason="no right to make network namespaces")

SERVERS = {"up"}
"""Commands that start servers because that is what they are for."""
HEAVY = {"make", "doctor"}
"""Commands that load torch."""
PLAIN = {"pool": "studio"}
"""Words for arguments that take few; others get any."""
NEEDS_STUDIO = {
    "status": "PREFECT_API_URL",
    "deploy": "PREFECT_API_URL",
    "worker": "PREFECT_API_URL",
    "gateway": "PREFECT_API_URL",
    "calendar run": "PREFECT_API_URL",
    "calendar check": "REELWRIGHT_S3_ENDPOINT",
    "calendar next": "REELWRIGHT_S3_ENDPOINT",
    "calendar put": "REELWRIGHT_S3_ENDPOINT",
}
"""What a studio elsewhere would be named by."""


def commands(group: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command of the application, found in it: a new one is tested too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


ALL = {
    " ".join(words): command
    for words, command in commands(typer.main.get_command(app))
    if " ".join(words) not in SERVERS
}


def argv_of(words: str, file: Path) -> list[str]:
    """The command with something for each argument that it wants."""
    given = []
    for parameter in ALL[words].params:
        if parameter.param_type_name == "argument" and parameter.required:
            if parameter.name == "where":  # the folder of a backup
                given.append(str(file.parent / "backup"))
                continue
            takes_file = parameter.type_descriptor.annotation is Path
            given.append(str(file) if takes_file else PLAIN.get(parameter.name, "nothing"))
    return [*words.split(), *given]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "input.yaml"
    path.write_text('{"entries": []}')  # JSON and YAML, an empty calendar
    return path


def run(cli: Cli, words: str, file: Path) -> Isolated:
    """In namespaces of its own, with a home that names a Prefect server and wants an own one."""
    home = file.parent / "home"
    (home / ".prefect").mkdir(parents=True)
    (home / ".prefect" / "profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://198.51.100.7:4200/api"\n'
        'PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"\nPREFECT_SERVER_EPHEMERAL_ENABLED = "true"\n'
    )
    try:
        return run_isolated(cli.argv(*argv_of(words, file)), cli.env | {"HOME": str(home)}, 60)
    finally:
        left = processes_of(cli.data)
        subprocess.run([sys.executable, "-c", _END, str(cli.data)], check=True)
        assert left == []


_END = """
import os, pathlib, sys
for folder in pathlib.Path("/proc").iterdir():
    try:
        mine = sys.argv[1].encode() in (folder / "environ").read_bytes()
        if folder.name.isdecimal() and int(folder.name) != os.getpid() and mine:
            os.kill(int(folder.name), 9)
    except OSError:
        pass
"""


def check(found: Isolated, words: str) -> None:
    assert "Traceback" not in found.err + found.out
    assert found.sent == []
    if words in NEEDS_STUDIO:
        assert found.code == 1
        assert len(found.err.strip().splitlines()) == 1, found.err
        assert "no studio runs here; start: reelwright up" in found.err
        assert NEEDS_STUDIO[words] in found.err
    else:
        assert found.code in (0, 1, 2)
        assert "unexpected" not in found.err


def quick(words: str, seldom: bool) -> Any:
    return pytest.param(words, marks=pytest.mark.slow) if seldom else words


@pytest.mark.parametrize("words", [quick(words, words in HEAVY) for words in ALL])
def test_without_a_studio_a_command_ends_and_leaves_nothing(
    bare_cli: Cli, file: Path, words: str
) -> None:
    check(run(bare_cli, words, file), words)
    assert not (file.parent / "backup").exists()


@pytest.mark.parametrize("words", [quick(words, words not in NEEDS_STUDIO) for words in ALL])
def test_the_address_of_a_studio_that_is_gone_is_not_used(
    bare_cli: Cli, file: Path, words: str
) -> None:
    """As a studio leaves it that was killed: the file names ports on which nobody listens."""
    prefect, s3 = free_ports(2)
    folder = bare_cli.data / "studio"
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    (folder / "studio.env").write_text(
        f"PREFECT_API_URL=http://127.0.0.1:{prefect}/api\nPREFECT_API_AUTH_STRING=studio:gone\n"
        f"REELWRIGHT_S3_ENDPOINT=127.0.0.1:{s3}\nREELWRIGHT_S3_ACCESS_KEY=gone\n"
        "REELWRIGHT_S3_SECRET_KEY=gone\n"
    )
    check(run(bare_cli, words, file), words)


@pytest.mark.parametrize("words", ["status", "deploy", "calendar run"])
def test_a_named_server_that_is_down_is_named_at_once(
    bare_cli: Cli, file: Path, words: str
) -> None:
    (port,) = free_ports(1)
    bare_cli.env["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    found = run(bare_cli, words, file)
    assert found.code == 1
    assert len(found.err.strip().splitlines()) == 1, found.err
    assert f"PREFECT_API_URL=http://127.0.0.1:{port}/api does not answer" in found.err
    assert found.sent == []


def test_an_attempt_to_reach_somebody_is_seen(bare_cli: Cli) -> None:
    """The proof that the others can fail."""
    script = (
        "import socket\n"
        "with socket.socket() as probe:\n"
        "    probe.settimeout(0.1)\n"
        "    probe.connect_ex(('198.51.100.9', 443))\n"
        "try:\n    socket.getaddrinfo('telemetry.example', 443)\nexcept OSError:\n    pass\n"
    )
    found = run_isolated([sys.executable, "-c", script], bare_cli.env, 60)
    assert "198.51.100.9:443" in found.sent
    assert [line for line in found.sent if line.endswith("asks for telemetry.example")]
