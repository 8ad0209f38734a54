"""Every local backend through the whole flow on a tiny checkpoint: brief → published film.

Weights are random, so what is shown is noise; frames, rate, sound, identity and what is made again
after an interruption are exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.probe import probe
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from tasks.progress import listening
from tests.conftest import slow
from tests.e2e.tiny_studio import install_tiny, upload_motion, upload_picture

Run = Callable[..., Manifest]


@dataclass(frozen=True)
class Case:
    """A preset, what it needs, and what it must give."""

    preset: str
    models: tuple[str, ...]
    fps: int
    values: dict[str, Any] = field(default_factory=dict)
    uploads: tuple[str, ...] = ()
    sound: bool = False


SMALL: dict[str, Any] = {"size": "64*64", "steps": 2, "enhance": False, "prompt": "a red fox"}
CASES = {
    "1.3B": Case("video_fast", ("t2v-1.3B",), 16, {"frames": 9, "seconds": 1}),
    "1.3B turbo": Case(
        "video_turbo",
        ("t2v-1.3B", "self-forcing-t2v-1.3B"),
        16,
        {"frames": 9, "seconds": 1},
    ),
    "14B turbo": Case(
        "video_14b_turbo", ("t2v-14B", "lightx2v-t2v-14B"), 16, {"frames": 9, "seconds": 1}
    ),
    "I2V turbo": Case(
        "video_picture_turbo",
        ("i2v-A14B", "lightning-i2v-A14B-high", "lightning-i2v-A14B-low"),
        16,
        {"frames": 13, "seconds": 1, "joins": "continue"},
        ("image", "last_image"),
    ),
    "VACE": Case(
        "video_fast",
        ("t2v-1.3B", "vace-1.3B"),
        16,
        {"frames": 13, "seconds": 1, "joins": "continue"},
        ("image", "references"),
    ),
    "VACE to a last picture": Case(
        "video_fast",
        ("t2v-1.3B", "vace-1.3B"),
        16,
        {"seconds": 1.5, "joins": "crossfade"},
        ("last_image",),
    ),
    "14B": Case("video_14b", ("t2v-14B",), 16, {"frames": 9, "seconds": 1}),
    "5B": Case(
        "video_5b",
        ("ti2v-5B",),
        24,
        {"frames": 13, "seconds": 1, "joins": "continue"},
        ("image",),
    ),
    "A14B": Case("video_best", ("t2v-A14B",), 16, {"frames": 9, "seconds": 1}),
    "A14B turbo": Case(
        "video_best_turbo",
        ("t2v-A14B", "lightning-t2v-A14B-high", "lightning-t2v-A14B-low"),
        16,
        {"frames": 9, "seconds": 1, "joins": "crossfade"},
    ),
    "I2V": Case(
        "video_picture",
        ("i2v-A14B",),
        16,
        {"frames": 13, "seconds": 1, "joins": "continue"},
        ("image",),
    ),
    "animate": Case(
        "animate",
        ("animate-14B",),
        30,
        {"frames": 13, "seconds": 0.8, "joins": "continue"},
        ("references", "motion"),
    ),
    "replace": Case(
        "replace",
        ("animate-14B",),
        30,
        {"frames": 17, "seconds": 1},
        ("references", "motion"),
    ),
    "AnimateDiff": Case(
        "animatediff_draft", ("sd15", "animatediff-adapter"), 8, {"seconds": 2.5, "frames": 10}
    ),
    "AnimateDiff beyond its context": Case(
        "animatediff_long", ("sd15", "animatediff-adapter"), 8, {"seconds": 4, "frames": 20}
    ),
    "LTX": Case(
        "ltx2_sound",
        ("ltx-2.5",),
        24,
        {"frames": 9, "seconds": 0.7, "joins": "crossfade", "steps": -1},
        sound=True,
    ),
}
_FAST = ("VACE", "5B", "animate", "LTX")
_PARAMETERS = [name if name in _FAST else slow(name) for name in CASES]


@pytest.fixture
def run(in_process: Run) -> Iterator[Run]:
    yield in_process
    release_all()


@pytest.fixture
def tiny_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tiny"
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(folder))
    return folder


class KilledError(Exception):
    """The run dies here."""


def die_in_chunk(number: int) -> Callable[[Progress], None]:
    def listener(progress: Progress) -> None:
        if progress.stage == "chunks" and number - 1 < progress.done < number:
            raise KilledError(progress.detail)

    return listener


@pytest.mark.expects_errors("chunk 2 of|KilledError")
@pytest.mark.parametrize("name", _PARAMETERS)
def test_a_brief_becomes_an_exact_film_and_goes_on_where_it_was_interrupted(
    name: str, run: Run, store: ObjectStore, ffmpeg: Ffmpeg, tiny_models: Path, tmp_path: Path
) -> None:
    case = CASES[name]
    install_tiny(tiny_models, *case.models)
    brief = SMALL | case.values | {"preset": case.preset} | given(case, store, ffmpeg, tmp_path)
    if brief["steps"] == -1:
        brief.pop("steps")

    with listening(die_in_chunk(2)), pytest.raises(KilledError):
        run(**brief)
    assert store.list_keys("videos/") == []
    assert len([key for key in store.list_keys("chunks/") if key.endswith(".mp4")]) == 1

    release_all()
    manifest = run(**brief)
    assert manifest.run.chunks_reused == 1
    assert manifest.run.chunks_made == len(manifest.chunks) - 1 >= 1

    film = tmp_path / "film.mp4"
    stored = store.head(ObjectKey.video(manifest.content_id))
    assert stored is not None
    store.get_file(stored, film)
    found = probe(film)
    assert found.exact_timestamps
    assert found.signature.rate == case.fps == manifest.clip.fps
    assert found.frames == manifest.plan.frames == manifest.clip.frames
    if "last_image" not in case.uploads:  # which may make it longer
        assert found.frames == round(case.fps * brief["seconds"])
    assert (found.audio is not None) == case.sound == (manifest.clip.audio is not None)
    assert manifest.plan.backend == manifest.brief.backend.name
    check_identity(manifest)


def given(case: Case, store: ObjectStore, ffmpeg: Ffmpeg, folder: Path) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if "image" in case.uploads:
        values["image"] = upload_picture(store)
    if "last_image" in case.uploads:
        values["last_image"] = upload_picture(store, seed=2)
    if "references" in case.uploads:
        values["references"] = [upload_picture(store, seed=1)]
    if "motion" in case.uploads:
        values["motion"] = upload_motion(store, ffmpeg, folder / "motion", 31)
    return values


def check_identity(manifest: Manifest) -> None:
    """Every component that the manifest's models name is in the identity of every chunk."""
    videos = [model for model in manifest.models if model.role == "video"]
    components = {value for model in videos for value in model.components.values()}
    assert components
    for chunk in manifest.plan.chunks:
        known = " ".join(chunk.spec.identity.values())
        assert all(value in known for value in components)
