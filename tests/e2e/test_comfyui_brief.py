"""A brief becomes a published film on a ComfyUI server, through the whole flow."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.backends import registry
from pipelines.backends.remote.file import read_backends
from pipelines.documents.manifest import Manifest
from pipelines.media.codec import read_frames
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from tasks.progress import listening
from tests.e2e.tiny_studio import upload_picture
from tests.remote.comfyui.common import MODELS, SIZE, write_workflow
from tests.support.fake_comfyui import FakeComfy, fake_comfyui

pytestmark = pytest.mark.slow
Run = Callable[..., Manifest]


@pytest.fixture
def comfy(tmp_path: Path) -> Iterator[FakeComfy]:
    """A ComfyUI server that the operator's file names."""
    workflow = write_workflow(tmp_path)
    with fake_comfyui(models=MODELS) as server:
        entry = f"{{name: box, kind: comfyui, address: {server.url}, workflow: {workflow}}}"
        registry.configure(read_backends(f"backends:\n  - {entry}\n", "backends.yaml"))
        yield server
        registry.configure(())


class KilledError(Exception):
    """The run dies here."""


def die_in_second_chunk(progress: Progress) -> None:
    if progress.stage == "chunks" and 1 <= progress.done < 2:
        raise KilledError(progress.detail)


@pytest.mark.expects_errors("chunk 2 of|KilledError")
def test_a_brief_is_made_there_and_goes_on_where_it_was_interrupted(
    comfy: FakeComfy, in_process: Run, store: ObjectStore, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    brief = {
        "preset": "box",
        "prompt": "a red fox",
        "enhance": False,
        "seconds": 4,
        "joins": "continue",
        "image": upload_picture(store),
    }
    comfy.steps = 1
    with listening(die_in_second_chunk), pytest.raises(KilledError):
        in_process(**brief)
    assert store.list_keys("videos/") == []
    manifest = in_process(**brief)
    assert manifest.run.chunks_reused >= 1
    assert len(comfy.made()) == len(manifest.chunks) == 2, "a chunk was submitted twice"

    film = tmp_path / "film.mp4"
    stored = store.head(ObjectKey.video(manifest.content_id))
    assert stored is not None
    store.get_file(stored, film)
    found = probe(film)
    assert found.frames == 32 == manifest.clip.frames
    assert found.signature.rate == 8
    frames = list(read_frames(ffmpeg, film, SIZE, fps=8, frames=32))
    steps = [
        float(np.abs(after.astype(int) - before.astype(int)).mean())
        for before, after in pairwise(frames)
    ]
    assert max(steps) < 2 * float(np.median(steps)), "the chunks do not go on from each other"
    (model,) = [item for item in manifest.models if item.role == "video"]
    assert (model.name, model.licence) == ("tiny", "none")
    assert store.list_keys("jobs/")
