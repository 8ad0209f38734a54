"""Fixtures of the tests of ComfyUI."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.backends.remote.comfyui import service as comfyui
from pipelines.backends.remote.comfyui.service import ComfyService
from tests.remote.comfyui.common import MODELS, service_of, write_workflow
from tests.support.fake_comfyui import FakeComfy, fake_comfyui


@pytest.fixture
def comfy() -> Iterator[FakeComfy]:
    """A ComfyUI server. What was learned of the nodes of one at the same port is forgotten."""
    comfyui._checked.clear()
    with fake_comfyui(models=MODELS) as server:
        yield server
    comfyui._checked.clear()


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    """A small workflow with its mapping beside it."""
    return write_workflow(tmp_path)


@pytest.fixture
def service(comfy: FakeComfy, workflow: Path) -> ComfyService:
    return service_of(comfy, workflow)
