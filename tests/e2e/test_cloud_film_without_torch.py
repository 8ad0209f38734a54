"""A film of Google's clips in a process in which torch cannot be imported."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
FLOW = (
    "tests/e2e/test_cloud_film.py"
    "::test_a_brief_for_the_cloud_becomes_a_film_with_sound_and_is_paid_once"
)
PROGRAM = """
import importlib.abc
import sys

import pytest


class WithoutTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("torch is not installed here", name="torch")
        return None


sys.meta_path.insert(0, WithoutTorch())
try:
    import torch
except ModuleNotFoundError:
    print("torch is blocked")
sys.exit(pytest.main([sys.argv[1], "-q", "-x", "-p", "no:cacheprovider"]))
"""


def test_a_brief_for_the_cloud_becomes_a_film_where_torch_cannot_be_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, FLOW], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "torch is blocked" in done.stdout
    assert "1 passed" in done.stdout
