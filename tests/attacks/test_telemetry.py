"""Nothing of ours, and nothing that it starts, reaches for anybody beyond this machine."""

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.isolated import can_isolate, run_isolated
from tests.support.studio import processes_of

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not can_isolate(), reason="no right to make network namespaces"),
]


def test_a_command_and_a_whole_studio_tell_nobody(demo_models: Path, tmp_path: Path) -> None:
    """PostgreSQL, the store, Prefect's server, both workers, flows in processes of their own, the
    gateway, and the command alone: each makes a video where every packet is seen."""
    argv = [sys.executable, "-m", "tests.attacks.whole_studio", str(tmp_path), str(demo_models)]
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    found = run_isolated(argv, env | {"PYTHONPATH": str(REPOSITORY)}, 800)
    assert found.code == 0, found.err
    assert found.sent == []
    assert processes_of(tmp_path) == []
