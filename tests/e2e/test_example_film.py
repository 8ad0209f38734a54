"""A backend that somebody adds: one file, one line in the registry, and the same flow."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.gradient_backend import GRADIENT, GRADIENT_WITH_SOUND
from infra.adapters.device import cache
from infra.adapters.object_store import ObjectStore
from pipelines.backends.registry import registered
from pipelines.documents.manifest import Manifest
from pipelines.media.probe import probe
from pipelines.schema.keys import ObjectKey
from tests.conftest import Cli

Run = Callable[..., Manifest]


@pytest.fixture
def no_device(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose models cannot be read and whose device belongs to another run."""
    models = tmp_path / "models"
    models.write_text("not a folder: everything below it fails, also for root")
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(models))
    cli.data.mkdir(parents=True, exist_ok=True)
    with (cli.data / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(store: ObjectStore, manifest: Manifest, path: Path) -> Path:
    stored = store.head(ObjectKey.video(manifest.content_id))
    assert stored is not None
    store.get_file(stored, path)
    return path


@pytest.mark.usefixtures("no_device")
@pytest.mark.parametrize("definition", [GRADIENT, GRADIENT_WITH_SOUND], ids=lambda d: d.name)
def test_a_remote_backend_makes_a_film_without_device_weights_or_lock(
    definition: object, in_process: Run, store: ObjectStore, tmp_path: Path
) -> None:
    assert definition in (GRADIENT, GRADIENT_WITH_SOUND)
    backend = GRADIENT if definition is GRADIENT else GRADIENT_WITH_SOUND
    before = dict(cache._resident)
    with registered(backend):
        brief = {"prompt": "two colours", "preset": backend.presets[0].name, "seconds": 5.5}
        manifest = in_process(**brief, joins="continue")
        again = in_process(**brief, joins="continue")
    assert cache._resident == before
    found = probe(fetch(store, manifest, tmp_path / "film.mp4"))
    assert (found.frames, found.signature.rate) == (66, 12)
    assert (found.audio is not None) == backend.capabilities.audio
    assert manifest.plan.backend == backend.name
    assert [model.role for model in manifest.models] == ["video"]
    assert again.run.already_published
    assert "no device for the enhancer" in " ".join(manifest.warnings)


def test_the_sound_of_a_film_is_that_of_its_chunks(
    in_process: Run, store: ObjectStore, tmp_path: Path
) -> None:
    backend = GRADIENT_WITH_SOUND
    with registered(backend):
        manifest = in_process(
            prompt="two colours", preset=backend.presets[0].name, seconds=3, enhance=False
        )
    assert manifest.clip.audio is not None
    assert abs(manifest.clip.audio.seconds - 3) < 1024 / 48_000 + 1e-6
    for chunk in manifest.chunks:
        assert ObjectKey.sound(chunk.digest) in {item.key for item in chunk.beside}


def test_the_example_is_no_part_of_the_program() -> None:
    from pipelines.backends.registry import definitions

    assert GRADIENT.name not in definitions()
