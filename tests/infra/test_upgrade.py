"""An upgrade of the code under a run that is at work: it ends with the code that it began with."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import Digest, ObjectKey
from tests.conftest import REPOSITORY, Cli

ROOMS = ("flows", "tasks", "pipelines", "infra")
KEPT = {"pdeathsig.py"}
"""Starts a program and ends it with its parent, whatever the program is; knows nothing of runs."""
SCRIPT = """
import sys
from pathlib import Path

from infra.apps.worker.code import import_everything

import_everything()
for path in map(Path, sys.stdin.read().split()):
    path.write_text("raise SystemExit('new code')")

from flows.produce_content import produce_content
from pipelines.documents.brief import Brief

brief = Brief(prompt="a red fox in the snow", seconds=1, frames=17, steps=2, upscale=2)
print(produce_content(brief).content_id)
import pipelines.training.muon
"""

WITHOUT_MODELS = """
import sys
from pathlib import Path

from infra.apps.worker.code import import_flows

import_flows()
for path in map(Path, sys.stdin.read().split()):
    path.write_text("raise SystemExit('new code')")

from flows.content_calendar import content_calendar
from flows.produce_content import produce_content
from flows.purge_scratch import purge_scratch

print(content_calendar(return_state=True).name, purge_scratch(return_state=True).name)
assert not {"torch", "diffusers", "transformers"} & set(sys.modules)
import pipelines.training.muon
"""


@pytest.fixture
def copied_code(tmp_path: Path) -> list[Path]:
    """The source files of a copy of the project in `tmp_path`."""
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", "tiny_wan")
        shutil.copytree(REPOSITORY / room, tmp_path / room, ignore=ignored)
    return [
        path
        for room in ROOMS
        for path in (tmp_path / room).rglob("*")
        if path.suffix in (".py", ".txt") and path.name not in KEPT
    ]


def upgraded(script: str, cli: Cli, folder: Path, sources: list[Path]) -> str:
    """What `script` printed, which replaced `sources` after it had loaded its code."""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        input="\n".join(map(str, sources)),
        env=cli.env | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    # The last line of the script loads a module that no run needs: it is the new one.
    assert ended.stderr.strip().splitlines()[-1:] == ["new code"], ended.stderr[-3000:]
    return ended.stdout.strip().splitlines()[-1]


@pytest.mark.timeout(300)
def test_a_run_reads_none_of_the_code_that_replaced_its_own(
    cli: Cli, store: ObjectStore, tmp_path: Path, copied_code: list[Path]
) -> None:
    content = Digest(upgraded(SCRIPT, cli, tmp_path, copied_code))
    manifest = store.get_bytes(ObjectKey.manifest(content))
    assert manifest is not None
    shots = Manifest.model_validate_json(manifest).storyboard.shots
    assert {shot.source for shot in shots} <= {"llm", "llm-retry"}, shots


def test_nor_does_a_run_in_a_process_without_models(
    cli: Cli, store: ObjectStore, tmp_path: Path, copied_code: list[Path]
) -> None:
    assert upgraded(WITHOUT_MODELS, cli, tmp_path, copied_code) == "Completed Completed"
