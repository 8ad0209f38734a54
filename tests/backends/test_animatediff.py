"""AnimateDiff on a tiny Stable Diffusion 1.5 with a tiny motion adapter."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.backends.animatediff import model
from pipelines.backends.animatediff.backend import AnimateDiffBackend
from pipelines.backends.animatediff.definitions import (
    ADAPTER,
    ANIMATEDIFF,
    ANIMATELCM,
    BASE,
    DEFINITIONS,
    LCM,
)
from pipelines.backends.animatediff.lora import merge_lora
from pipelines.backends.animatediff.model import LCM_LORA, AnimateDiffModel
from pipelines.backends.animatediff.options import AnimateDiffOptions, AnimateLcmOptions
from pipelines.backends.base import VIDEO_MODEL, BackendDefinition
from pipelines.errors import BadFramesError, BriefError, GenerationError, WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.request import ClipRequest, FirstFrame
from pipelines.schema.sizes import Size
from tests.backends.clips import failing, files_outside_the_identity, generate
from tests.backends.host import ArrayMedia, MemoryHost
from tests.tiny.animatediff import write_animatediff

TEXT = frozenset({"text"})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("animatediff")
    write_animatediff(folder)
    return folder


def host_of(folder: Path, **values: Any) -> MemoryHost:
    folders = {BASE: folder / "base", ADAPTER: folder / "adapter", LCM: folder / "lcm"}
    return MemoryHost(folder / "cache", folders, **values)


@pytest.fixture(scope="module")
def host(checkpoint: Path) -> MemoryHost:
    """Loaded once a module: every test may use what another one loaded."""
    return host_of(checkpoint)


def backend_of(host: MemoryHost) -> AnimateDiffBackend:
    backend = ANIMATEDIFF.create(host, TEXT)
    assert isinstance(backend, AnimateDiffBackend)
    return backend


def request_of(frames: int = 8, seed: int = 1, **options: object) -> ClipRequest:
    return ClipRequest(
        prompt="A red circle",
        negative="blurry",
        size=Size(8, 16),
        fps=8,
        frames=frames,
        seed=seed,
        options=AnimateDiffOptions(steps=2).replaced(**options).model_dump(),
    )


@pytest.mark.parametrize("count", [1, 8, 16, 17, 20, 40])
def test_a_clip_has_exactly_the_frames_and_the_size_that_were_asked_for(
    count: int, host: MemoryHost
) -> None:
    clip, frames, steps = generate(backend_of(host), request_of(count, steps=1))
    assert frames.shape == (count, 16, 8, 3)
    assert steps == [(1, 1)]
    assert clip.memory_mode == "resident"
    assert clip.sound is None


def test_the_same_seed_gives_the_same_pixels_also_after_windows_were_on_and_off(
    host: MemoryHost,
) -> None:
    backend = backend_of(host)
    first = generate(backend, request_of())[1]
    long = generate(backend, request_of(20))[1]
    history = list(host.history)
    assert np.array_equal(generate(backend, request_of())[1], first)
    assert np.array_equal(generate(backend, request_of(20))[1], long)
    assert host.history == history  # nothing was loaded again
    assert not np.array_equal(generate(backend, request_of(seed=2))[1], first)


def test_guidance_steps_and_scheduler_change_the_pixels(host: MemoryHost) -> None:
    backend = backend_of(host)
    made = [
        generate(backend, request_of(**options))[1]
        for options in ({}, {"guidance": 1.0}, {"steps": 3}, {"scheduler": "euler"})
    ]
    assert len({frames.tobytes() for frames in made}) == 4


@pytest.mark.slow
def test_bfloat16_makes_short_and_long_clips(checkpoint: Path) -> None:
    backend = backend_of(host_of(checkpoint, dtype="bfloat16"))
    for count in (17, 8):
        assert generate(backend, request_of(count, steps=1))[1].shape[0] == count


def test_a_long_prompt_is_cut_and_does_not_fail(host: MemoryHost) -> None:
    request = request_of(steps=1).model_copy(update={"prompt": "circle " * 200})
    assert generate(backend_of(host), request)[1].shape[0] == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 65}, "makes 1 to 64 frames a clip, not 65; the nearest are 64"),
        ({"fps": 16}, "makes 8 frames a second, not 16; ask for 8"),
        ({"size": Size(20, 16)}, r"multiples of 8, not 20\*16; choose one of 512\*512"),
        ({"options": {"steps": 0}}, "steps=0: .* leave them out"),
        ({"inputs": (FirstFrame(picture=Digest("0" * 64)),)}, "takes text, not first_frame"),
    ],
)
def test_what_it_cannot_make_is_refused_before_anything_loads(
    changes: Mapping[str, object], message: str, checkpoint: Path
) -> None:
    host = host_of(checkpoint)
    request = request_of().model_copy(update=changes)
    with backend_of(host).open() as session, pytest.raises(BriefError, match=message):
        session.generate(request, ArrayMedia(), lambda *_: None)
    assert host.history == []


def test_every_file_is_in_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    options = AnimateDiffOptions()
    before = backend_of(host_of(tmp_path / "copy")).identity(options)
    named = {
        "base/unet": "unet",
        "base/vae": "vae",
        "base/text_encoder": "text_encoder",
        "base/tokenizer": "tokenizer",
        "base/scheduler": "scheduler",
        "base/model_index.json": "pipeline",
        "adapter": "animatediff-adapter.pipeline",
    }
    for place, entry in named.items():
        path = tmp_path / "copy" / place
        file = path if path.is_file() else min(path.iterdir())
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        after = backend_of(host_of(tmp_path / "copy")).identity(options)
        assert {key for key in after if after[key] != before[key]} == {entry}
        file.write_bytes(content)
    other = backend_of(host_of(tmp_path / "copy", dtype="bfloat16")).identity(options)
    assert {key for key in other if other[key] != before[key]} == {"dtype"}


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_folder_without_a_component_is_refused_with_a_remedy(
    part: str, checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "base" / part)
    with pytest.raises(WeightsError, match=f"holds no {part}, .* run: reelwright models download"):
        backend_of(host_of(tmp_path / "copy"))


def test_files_that_do_not_load_are_a_weights_error(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    (file,) = (tmp_path / "copy" / "base" / "unet").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"does not load: .* models verify"):
        generate(backend_of(host_of(tmp_path / "copy")), request_of())


def test_without_memory_it_works_in_smaller_parts_and_makes_the_same_clip(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(host_of(checkpoint))
    whole = {count: generate(backend, request_of(count))[1] for count in (8, 20)}
    with failing(monkeypatch, AnimateDiffModel, "_decode", MemoryError()):
        clip, frames, _ = generate(backend, request_of(20))
    assert clip.memory_mode == "split"
    assert same(frames, whole[20])
    clip, frames, _ = generate(backend, request_of(8))
    assert clip.memory_mode == "resident"  # less than what ran out
    assert np.array_equal(frames, whole[8])
    with failing(monkeypatch, AnimateDiffModel, "_denoise", MemoryError()):
        clip, frames, _ = generate(backend, request_of(8))
    assert clip.memory_mode == "split"
    assert same(frames, whole[8])
    clip, frames, _ = generate(backend, request_of(20))
    assert clip.memory_mode == "split"  # the windows go on in this mode too
    assert same(frames, whole[20])
    with (
        failing(monkeypatch, AnimateDiffModel, "_denoise", MemoryError()),
        pytest.raises(GenerationError, match="choose a smaller size or fewer frames"),
    ):
        generate(backend, request_of())


def same(first: np.ndarray, second: np.ndarray) -> bool:
    """Parts of a batch are added up in another order, which may turn a rounding."""
    return int(np.abs(first.astype(int) - second.astype(int)).max()) <= 1


def test_pixels_that_are_no_numbers_are_thrown_away(
    checkpoint: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    spoil(tmp_path / "copy" / "base" / "vae")
    with pytest.raises(BadFramesError, match="frames hold NaN"):
        generate(backend_of(host_of(tmp_path / "copy")), request_of())
    shutil.rmtree(tmp_path / "copy")
    shutil.copytree(checkpoint, tmp_path / "copy")
    spoil(tmp_path / "copy" / "base" / "unet")
    with pytest.raises(BadFramesError, match="latents hold NaN"):
        generate(backend_of(host_of(tmp_path / "copy")), request_of())


@pytest.fixture
def spoil() -> Callable[[Path], None]:
    """Makes one weight of each tensor in a folder NaN."""

    def write(folder: Path) -> None:
        (file,) = folder.glob("*.safetensors")
        tensors = load_file(file)
        for tensor in tensors.values():
            tensor.view(-1)[0] = float("nan")
        save_file(tensors, file, metadata={"format": "pt"})

    return write


def test_effort_grows_with_frames_steps_and_guidance(host: MemoryHost) -> None:
    backend = backend_of(host)
    one = backend.effort([request_of(8, steps=10, guidance=1.0)])
    two = backend.effort([request_of(16, steps=10, guidance=2.0)])
    assert two.work == pytest.approx(4 * one.work)
    assert two.memory_bytes > one.memory_bytes > 0
    assert [item.name for item in backend.models(AnimateDiffOptions())] == [BASE, ADAPTER]


def test_presets_are_lengths_and_sizes_that_it_can_make() -> None:
    for definition in DEFINITIONS:
        for preset in definition.presets:
            assert preset.backend == definition.name
            assert isinstance(preset.options, definition.options)
            assert preset.size in definition.capabilities.sizes
            assert definition.capabilities.is_length(preset.frames)


KOHYA = "lora_unet_{}.{}.weight"
DOTTED = "unet.{}.{}.weight"
LAYERS = {
    # Outputs, inputs, taps of a linear layer and a convolution of the tiny UNet.
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0": (8, 8, ()),
    "down_blocks.0.resnets.0.conv1": (8, 8, (3, 3)),
}


def write_lora(file: Path, layers: Mapping[str, tuple[int, int, tuple[int, ...]]]) -> None:
    """As AnimateLCM's file: names with underscores, rank 2, an alpha of 1."""
    noise = torch.Generator().manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}
    for name, (outputs, inputs, taps) in layers.items():
        flat = name.replace(".", "_")
        ones = (1,) * len(taps)
        down = torch.randn(2, inputs, *taps, generator=noise)
        up = torch.randn(outputs, 2, *ones, generator=noise)
        tensors[KOHYA.format(flat, "lora_down")] = down
        tensors[KOHYA.format(flat, "lora_up")] = up
        tensors[f"lora_unet_{flat}.alpha"] = torch.tensor(1.0)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)


@pytest.fixture
def lcm_host(checkpoint: Path, tmp_path: Path) -> MemoryHost:
    shutil.copytree(checkpoint, tmp_path / "lcm-host")
    folder = tmp_path / "lcm-host"
    shutil.copytree(folder / "adapter", folder / "lcm")
    write_lora(folder / "lcm" / LCM_LORA, LAYERS)
    return host_of(folder)


def test_animatelcm_merges_the_lora_beside_its_adapter(lcm_host: MemoryHost) -> None:
    backend = ANIMATELCM.create(lcm_host, TEXT)
    request = request_of(20).model_copy(update={"options": AnimateLcmOptions().model_dump()})
    _, frames, steps = generate(backend, request)
    assert frames.shape[0] == 20
    assert steps[-1] == (6, 6)
    weaker = AnimateLcmOptions(lora_strength=0.1).model_dump()
    other = generate(backend, request.model_copy(update={"options": weaker}))[1]
    assert not np.array_equal(frames, other)
    # Another strength is another set of weights.
    assert lcm_host.history.count("load video") == 2


def test_a_merged_lora_adds_what_applying_it_would_add(tmp_path: Path, checkpoint: Path) -> None:
    from diffusers import UNet2DConditionModel

    write_lora(tmp_path / "kohya.safetensors", LAYERS)
    kohya = load_file(tmp_path / "kohya.safetensors")
    dotted = {
        DOTTED.format(name, new): kohya[KOHYA.format(name.replace(".", "_"), old)]
        for name in LAYERS
        for old, new in (("lora_down", "lora_A"), ("lora_up", "lora_B"))
    }
    save_file(dotted, tmp_path / "dotted.safetensors")
    conv = "down_blocks.0.resnets.0.conv1"
    picture = torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    # The alpha of 1 at rank 2 halves it; without an alpha it counts whole.
    for file, share in (("kohya.safetensors", 0.5), ("dotted.safetensors", 1.0)):
        unet = UNet2DConditionModel.from_pretrained(checkpoint / "base" / "unet")
        before = unet.get_submodule(conv)(picture)
        assert merge_lora(unet, tmp_path / file, 0.8) == 2
        down = torch.nn.functional.conv2d(picture, dotted[DOTTED.format(conv, "lora_A")], padding=1)
        added = torch.nn.functional.conv2d(down, dotted[DOTTED.format(conv, "lora_B")])
        after = unet.get_submodule(conv)(picture)
        assert torch.allclose(after, before + 0.8 * share * added, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"down_blocks.7.conv": (8, 8, ())}, "down_blocks_7_conv, which this model does not have"),
        ({"down_blocks.0.resnets.0.conv1": (8, 4, (3, 3))}, "changes 288 weights .* has 576"),
        ({}, "holds nothing"),
    ],
)
def test_a_lora_of_another_model_is_refused(
    layers: Mapping[str, tuple[int, int, tuple[int, ...]]],
    message: str,
    lcm_host: MemoryHost,
) -> None:
    write_lora(lcm_host.model(LCM).path / LCM_LORA, layers)
    backend = ANIMATELCM.create(lcm_host, TEXT)
    request = request_of().model_copy(update={"options": AnimateLcmOptions().model_dump()})
    with pytest.raises(WeightsError, match=message):
        generate(backend, request)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda item: item.name)
def test_no_file_that_it_loads_is_outside_the_identity(
    definition: BackendDefinition, lcm_host: MemoryHost
) -> None:
    folder = lcm_host.cache_folder.parent
    options = definition.presets[0].options
    outside = files_outside_the_identity(
        folder, lambda: definition.create(lcm_host, TEXT).identity(options)
    )
    # The other backend's adapter, and what the base has for its safety checker.
    others = ("adapter/" if definition is ANIMATELCM else "lcm/", "base/feature_extractor/")
    assert outside
    assert all(name.startswith(others) for name in outside)
    for name in outside:
        (folder / name).unlink()
    request = request_of(8).model_copy(update={"options": options.model_dump()})
    assert generate(definition.create(lcm_host, TEXT), request)[1].shape[0] == 8


def test_the_host_is_told_weights_and_workspace_and_the_model_is_the_one_that_makes_clips(
    checkpoint: Path,
) -> None:
    host = host_of(checkpoint)
    backend = backend_of(host)
    generate(backend, request_of(steps=1))
    assert host.needs == {VIDEO_MODEL: backend.effort([request_of(steps=1)]).memory_bytes}
    workspace = 160_000_000 * 8 * 2 * 8 * 16 / 512**2
    assert host.needs[VIDEO_MODEL] > workspace


def test_without_room_when_it_loads_it_is_placed_with_less_or_says_what_helps(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = torch.OutOfMemoryError("CUDA out of memory")
    with failing(monkeypatch, AnimateDiffModel, "_enter", short):
        clip = generate(backend_of(host_of(checkpoint)), request_of(steps=1))[0]
    assert clip.memory_mode == "split"
    with (
        failing(monkeypatch, AnimateDiffModel, "_enter", short, times=2),
        pytest.raises(GenerationError, match="choose a smaller size or fewer frames"),
    ):
        generate(backend_of(host_of(checkpoint)), request_of(steps=1))
    with (
        failing(monkeypatch, model, "_load", RuntimeError("can't allocate memory")),
        pytest.raises(GenerationError, match="the host's memory ran out while AnimateDiff in"),
    ):
        generate(backend_of(host_of(checkpoint)), request_of(steps=1))
