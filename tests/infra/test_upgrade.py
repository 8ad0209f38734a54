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
import pipelines.training.captions
"""


@pytest.mark.timeout(300)
def test_a_run_reads_none_of_the_code_that_replaced_its_own(
    cli: Cli, store: ObjectStore, tmp_path: Path
) -> None:
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", "tiny_wan")
        shutil.copytree(REPOSITORY / room, tmp_path / room, ignore=ignored)
    sources = [
        path
        for room in ROOMS
        for path in (tmp_path / room).rglob("*")
        if path.suffix in (".py", ".txt") and path.name not in KEPT
    ]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input="\n".join(map(str, sources)),
        env=cli.env | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    # The last line of the script loads a module that no run needs: it is the new one.
    assert ended.stderr.strip().splitlines()[-1:] == ["new code"], ended.stderr[-3000:]
    content = Digest(ended.stdout.strip().splitlines()[-1])
    manifest = store.get_bytes(ObjectKey.manifest(content))
    assert manifest is not None
    shots = Manifest.model_validate_json(manifest).storyboard.shots
    assert {shot.source for shot in shots} <= {"llm", "llm-retry"}, shots
