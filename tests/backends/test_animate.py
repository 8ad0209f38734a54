"""Wan2.2-Animate behind the interface, through the real classes on a tiny checkpoint."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.backends.base import Frame, VideoBackend
from pipelines.backends.wan import animate_denoiser, denoiser
from pipelines.backends.wan.animate import video_bytes, work_of
from pipelines.backends.wan.animate_definition import ANIMATE
from pipelines.backends.wan.animate_options import MODEL, ROLES, Mode, check_request
from pipelines.backends.wan.footprint import Footprint
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import plan_memory
from pipelines.errors import BriefError, GenerationError, WeightsError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.request import (
    ClipInput,
    ClipRequest,
    Continuation,
    FirstFrame,
    ReferenceImage,
    ReferenceVideo,
)
from pipelines.schema.sizes import Size
from tests.backends.clips import failing, files_outside_the_identity
from tests.backends.host import ArrayMedia, MemoryHost, digest
from tests.tiny import BUILDERS
from tests.tiny.animate import FACE_SIDE

SIZE = Size(32, 48)
CHARACTER, MOTION, BEFORE = digest("character"), digest("motion"), digest("chunk before")
LENGTH = 9
"""Frames of the uploaded videos: two segments of 5 that share one."""


def frames(count: int, seed: int, size: Size = SIZE) -> list[Frame]:
    numbers = np.random.default_rng(seed)
    return list(numbers.integers(0, 256, (count, size.height, size.width, 3), dtype=np.uint8))


VIDEOS = {
    "pose": frames(LENGTH, 1),
    "face": frames(LENGTH, 2, Size(FACE_SIDE, FACE_SIDE)),
    "background": frames(LENGTH, 3),
    "mask": [np.where(frame > 127, 255, 0).astype(np.uint8) for frame in frames(LENGTH, 4)],
}
PICTURE = frames(1, 5)[0]


def media(*overlap: Frame, **videos: list[Frame]) -> ArrayMedia:
    return ArrayMedia({CHARACTER: PICTURE}, {BEFORE: overlap}, VIDEOS | videos)


def request(
    mode: Mode = "animate", start: int = 0, inputs: list[ClipInput] | None = None, **changes: Any
) -> ClipRequest:
    given: list[ClipInput] = [ReferenceImage(picture=CHARACTER)]
    given += [ReferenceVideo(archive=MOTION, role=role, start=start) for role in ROLES[mode]]
    values = {
        "prompt": "a red fox",
        "negative": "blurred",
        "size": SIZE,
        "fps": 30,
        "frames": 5,
        "seed": 7,
        "inputs": given if inputs is None else inputs,
        "options": {"mode": mode, "steps": 2},
    }
    return ClipRequest.model_validate(values | changes)


def continued(mode: Mode = "animate", **changes: Any) -> ClipRequest:
    """The second chunk, whose videos begin at the frame that it repeats."""
    first = request(mode, start=4, **changes)
    return first.model_copy(
        update={"inputs": (*first.inputs, Continuation(chunk=BEFORE, frames=1))}
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animate")
    BUILDERS["wan_animate"](folder)
    return folder


@pytest.fixture(scope="module")
def host(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryHost]:
    host = MemoryHost(tmp_path_factory.mktemp("cache"), {MODEL: checkpoint})
    yield host
    host.close()


@pytest.fixture(scope="module")
def backend(host: MemoryHost) -> VideoBackend:
    return ANIMATE.create(host, request().kinds)


def made(backend: VideoBackend, asked: ClipRequest, given: ArrayMedia | None = None) -> np.ndarray:
    with backend.open() as session:
        session.prepare([asked])
        clip = session.generate(asked, given or media(), lambda *_: None)
        return np.stack(list(clip.frames))


@pytest.mark.parametrize("mode", ["animate", "replace"])
def test_frames_and_size_are_as_asked_and_the_seed_decides_them(
    mode: Mode, backend: VideoBackend
) -> None:
    asked = request(mode)
    first = made(backend, asked)
    assert first.shape == (5, SIZE.height, SIZE.width, 3)
    assert np.array_equal(first, made(backend, asked))
    assert not np.array_equal(first, made(backend, request(mode, seed=8)))


def stock(checkpoint: Path, mode: Mode, seeds: list[int]) -> np.ndarray:
    """One call of diffusers' own pipeline over all segments; each draws its noise by its seed."""
    from diffusers import WanAnimatePipeline

    class Seeded(WanAnimatePipeline):  # type: ignore[misc]
        def prepare_latents(self, *args: Any, **options: Any) -> Any:
            options["generator"] = torch.Generator("cpu").manual_seed(next(order))
            return super().prepare_latents(*args, **options)

    order = iter(seeds)
    pipeline = Seeded.from_pretrained(checkpoint, dtype=torch.float32, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    videos = {
        f"{role}_video": [Image.fromarray(frame) for frame in VIDEOS[role]] for role in ROLES[mode]
    }
    with torch.inference_mode():
        video: np.ndarray = pipeline(
            image=Image.fromarray(PICTURE),
            prompt="a red fox",
            width=SIZE.width,
            height=SIZE.height,
            segment_frame_length=5,
            num_inference_steps=2,
            mode=mode,
            **videos,
        ).frames[0]
    return video * 255


@pytest.mark.parametrize("mode", ["animate", "replace"])
def test_two_chunks_joined_are_one_call_of_two_segments(
    mode: Mode, backend: VideoBackend, checkpoint: Path
) -> None:
    """The chunk before is given as stored, rounded to 8 bits; the long call does not round."""
    first = made(backend, request(mode, seed=7))
    second = made(backend, continued(mode, seed=8), media(first[-1]))
    joined = np.concatenate([first, second[1:]])
    expected = stock(checkpoint, mode, [7, 8])
    assert joined.shape == expected.shape == (LENGTH, SIZE.height, SIZE.width, 3)
    assert np.abs(joined[:5] - expected[:5]).max() <= 0.51  # rounded, not truncated
    assert np.abs(joined[5:] - expected[5:]).max() <= 1.5
    fresh = made(backend, request(mode, start=4, seed=8))
    assert np.abs(fresh[1:] - expected[5:]).max() > 3


@pytest.mark.parametrize("role", ROLES["replace"])
def test_every_video_decides_the_pixels(role: str, backend: VideoBackend) -> None:
    changed = media(**{role: [255 - frame for frame in VIDEOS[role]]})
    asked = request("replace")
    assert not np.array_equal(made(backend, asked), made(backend, asked, changed))


def test_the_character_decides_the_pixels(backend: VideoBackend) -> None:
    other = ArrayMedia({CHARACTER: 255 - PICTURE}, {}, VIDEOS)
    assert not np.array_equal(made(backend, request()), made(backend, request(), other))


@pytest.mark.parametrize("change", [{"guidance": 4.0}, {"flow_shift": 1.0}, {"steps": 3}], ids=str)
def test_every_option_reaches_the_pixels(change: dict[str, Any], backend: VideoBackend) -> None:
    changed = request(options={"steps": 2} | change)
    assert not np.array_equal(made(backend, changed), made(backend, request()))


def test_weights_in_8_bits_make_other_finite_frames(backend: VideoBackend) -> None:
    asked = request(options={"steps": 2, "weights": "fp8"})
    small = made(backend, asked)
    assert small.shape == (5, SIZE.height, SIZE.width, 3)
    assert not np.array_equal(small, made(backend, request()))


def test_steps_are_reported_and_the_text_encoder_is_gone_before_the_denoiser_comes(
    checkpoint: Path, tmp_path: Path
) -> None:
    host = MemoryHost(tmp_path, {MODEL: checkpoint}, free=200_000)
    seen: list[tuple[int, int]] = []
    with ANIMATE.create(host, request().kinds).open() as session:
        session.prepare([request()])
        session.generate(request(), media(), lambda *step: seen.append(step))
    host.close()
    assert seen == [(1, 2), (2, 2)]
    assert host.history == ["load encoder", "free encoder", "load video", "free video"]


def test_the_model_stays_for_the_next_session(checkpoint: Path, tmp_path: Path) -> None:
    host = MemoryHost(tmp_path, {MODEL: checkpoint})
    for _ in range(2):
        made(ANIMATE.create(host, request().kinds), request())
    assert host.history.count("load video") == 1
    host.close()


def test_a_byte_of_each_part_changes_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    host = MemoryHost(tmp_path, {MODEL: folder})
    options = ANIMATE.presets[0].options
    before = ANIMATE.create(host, request().kinds).identity(options)
    parts = {path.name for path in folder.iterdir() if path.is_dir()}
    assert parts | {"pipeline", "dtype", "recipe", "stored"} == set(before)
    for part in sorted(parts):
        config = next((folder / part).glob("*.json"))
        config.write_bytes(config.read_bytes() + b"\n")
    after = ANIMATE.create(host, request().kinds).identity(options)
    assert {name for name in before if before[name] != after[name]} == parts


def test_a_missing_part_is_named_before_anything_loads(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    shutil.rmtree(folder / "image_encoder")
    host = MemoryHost(tmp_path, {MODEL: folder})
    with pytest.raises(WeightsError, match=r"no image_encoder.*models download animate-14B"):
        ANIMATE.create(host, request().kinds)
    with pytest.raises(WeightsError, match="animate-14B is not installed"):
        ANIMATE.create(MemoryHost(tmp_path, {}), request().kinds)
    assert host.history == []


def test_the_effort_counts_all_steps_and_loads_nothing(checkpoint: Path, tmp_path: Path) -> None:
    host = MemoryHost(tmp_path, {MODEL: checkpoint})
    backend = ANIMATE.create(host, request().kinds)
    one, two = backend.effort([request()]), backend.effort([request(), continued()])
    assert two.work == pytest.approx(2 * one.work)
    guided = backend.effort([request(options={"steps": 2, "guidance": 2.0})])
    assert guided.work == pytest.approx(2 * one.work)
    assert one.memory_bytes > 0
    assert host.history == []


@pytest.mark.parametrize("mode", ["animate", "replace"])
@pytest.mark.parametrize(("size", "most"), [("832*480", 11.5), ("1280*720", 19.5)])
def test_the_real_model_fits_22_gigabytes(mode: Mode, size: str, most: float) -> None:
    """Calculated from the real model's settings; its float8 layers are 17.5 GB."""
    asked = request(mode, size=Size.parse(size), frames=77)
    videos = video_bytes(asked, mode, face_side=512)
    footprint = Footprint(
        transformers=(17_500_000_000,),
        blocks=40,
        vae=507_600_000 + videos,
        token_bytes=14 * 5120 + 3.2 * 13824,
        still_pixel_bytes=72 * 96,
        pixel_bytes=213 * 96,
        token_side=16,
        token_frames=4,
    )
    plan = plan_memory(footprint, work_of(asked), 22_000_000_000, "cuda")
    assert plan.placement == "group-offload"
    assert plan.peak_bytes < most * 1e9


def test_presets_are_what_the_backend_can_make() -> None:
    can: Capabilities = ANIMATE.capabilities
    assert [preset.name for preset in ANIMATE.presets] == ["animate", "replace"]
    for preset in ANIMATE.presets:
        assert can.is_length(preset.frames)
        assert preset.size in can.sizes
    assert all(size.shaped("preset", 16) == size for size in can.sizes)
    assert can.shortest_continued == 5


CHARACTER_INPUT = ReferenceImage(picture=CHARACTER)


def video(role: Any, start: int = 0, archive: str = "motion") -> ReferenceVideo:
    return ReferenceVideo(archive=digest(archive), role=role, start=start)


PAIR: list[ClipInput] = [video("pose"), video("face")]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "one frame": ({"frames": 1}, r"makes 4k\+1 from 5 to 77 frames a clip, not 1; .* 5"),
    "not 4k+1": ({"frames": 7}, r"makes 4k\+1 .* not 7; the nearest are 5 and 9"),
    "too long": ({"frames": 81}, r"4k\+1 from 5 to 77 frames a clip, not 81; .* 77"),
    "a side": ({"size": Size(40, 48)}, r"multiples of 16, not 40\*48; choose one of 64"),
    "no side": ({"size": Size(0, 48)}, r"multiples of 16, not 0\*48; choose one of 64"),
    "another rate": ({"fps": 16}, "makes 30 frames a second, not 16; ask for 30"),
    "a mode": ({"options": {"mode": "dance"}}, "mode 'dance'"),
    "steps": ({"options": {"steps": 0}}, "steps 0 is outside 1 to 100"),
    "an option": ({"options": {"fuel": 1}}, "option fuel is unknown"),
    "no character": ({"inputs": PAIR}, "makes nothing without reference_image; add it"),
    "no videos": ({"inputs": [CHARACTER_INPUT]}, "makes nothing without reference_video; add it"),
    "two characters": (
        {"inputs": [CHARACTER_INPUT, CHARACTER_INPUT, *PAIR]},
        "2 pictures of characters .* leave one",
    ),
    "no face": ({"inputs": [CHARACTER_INPUT, video("pose")]}, "videos pose are given; .* face"),
    "pose twice": (
        {"inputs": [CHARACTER_INPUT, *PAIR, video("pose")]},
        "face, pose, pose are given; .* each once",
    ),
    "nothing to replace in": ({"options": {"mode": "replace"}}, "takes pose, face, background"),
    "a mask to animate": (
        {"inputs": [CHARACTER_INPUT, *PAIR, video("background"), video("mask")]},
        "mode animate takes pose, face",
    ),
    "apart in time": (
        {"inputs": [CHARACTER_INPUT, video("pose", 4), video("face", 5)]},
        "pose at 4, face at 5",
    ),
    "apart in origin": (
        {"inputs": [CHARACTER_INPUT, video("pose"), video("face", archive="other")]},
        "different archives",
    ),
    "before the beginning": (
        {"inputs": [CHARACTER_INPUT, video("pose", -1), video("face", -1)]},
        "0 or more",
    ),
    "a first frame": (
        {"inputs": [CHARACTER_INPUT, *PAIR, FirstFrame(picture=CHARACTER)]},
        "not first_frame; leave it out",
    ),
    "five frames before": (
        {"inputs": [CHARACTER_INPUT, *PAIR, Continuation(chunk=BEFORE, frames=5)]},
        "5 frames of the chunk before .* goes on from 1",
    ),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_made_is_refused_before_anything_loads(
    change: dict[str, Any], words: str, checkpoint: Path, tmp_path: Path
) -> None:
    asked = request(**change)
    with pytest.raises(BriefError, match=words):
        check_request(ANIMATE, asked)
    host = MemoryHost(tmp_path, {MODEL: checkpoint})
    with (
        ANIMATE.create(host, request().kinds).open() as session,
        pytest.raises(BriefError, match=words),
    ):
        session.prepare([asked])
    assert host.history == []


def test_a_brief_without_a_motion_is_refused_before_the_models_are_looked_for(
    tmp_path: Path,
) -> None:
    with pytest.raises(BriefError, match="without reference_image, reference_video; add"):
        ANIMATE.create(MemoryHost(tmp_path, {}), frozenset({"text"}))


def test_a_video_that_ends_too_early_is_refused(backend: VideoBackend) -> None:
    with pytest.raises(BriefError, match=r"pose video gives 4 frames from frame 5 on and 5"):
        made(backend, request(start=5))


def test_no_file_that_it_loads_is_outside_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint, folder)
    host = MemoryHost(tmp_path, {MODEL: folder})
    options = ANIMATE.presets[0].options
    identity = lambda: ANIMATE.create(host, request().kinds).identity(options)  # noqa: E731
    assert files_outside_the_identity(folder, identity) == set()


def test_models_that_do_not_fit_the_device_when_they_load_are_offloaded(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def place(_: Any, __: torch.device, placement: str, ___: str) -> None:
        tried.append(placement)
        if placement != "group-offload":
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(denoiser, "place", place)
    source = Source(checkpoint, "image", dtype="float32")
    loaded = animate_denoiser.AnimateDenoiser(source, torch.device("cuda"))
    assert tried == ["resident", "offload", "group-offload"]
    assert loaded.placement == "group-offload"
    loaded.close()
    with (
        failing(monkeypatch, animate_denoiser, "load_transformer", MemoryError()),
        pytest.raises(GenerationError, match="the host's memory ran out while the Animate model"),
    ):
        animate_denoiser.AnimateDenoiser(source, torch.device("cpu"))
