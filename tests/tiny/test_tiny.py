"""The tiny checkpoints load and render through the real classes of diffusers."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import slow
from tests.tiny import BUILDERS
from tests.tiny.animate import FACE_SIDE
from tests.tiny.lora import write_wan_lora
from tests.tiny.ltx2 import SOUND_RATE
from tests.tiny.running import (
    LTX2,
    SD,
    SIDE,
    animatediff,
    call,
    film,
    film_twice,
    load,
    masks,
    picture,
    pictures,
)

WAN = [name for name in BUILDERS if name.startswith("wan")]
Checkpoint = Callable[[str], Path]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """The folder of a model, written once a module."""
    root = tmp_path_factory.mktemp("tiny")

    def written(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            BUILDERS[name](folder)
        return folder

    return written


def differ(first: np.ndarray, second: np.ndarray) -> bool:
    return first.shape == second.shape and not np.array_equal(first, second)


def files(folder: Path) -> dict[str, str]:
    """The hash of each file by its name below `folder`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", BUILDERS)
def test_a_checkpoint_is_small_and_the_same_every_time(
    name: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    folder = checkpoint(name)
    BUILDERS[name](tmp_path)
    assert files(tmp_path) == files(folder)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3_000_000
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", [*WAN, "ltx2"])
def test_big_parts_are_sharded_and_their_index_names_every_shard(
    name: str, checkpoint: Checkpoint
) -> None:
    folder = checkpoint(name)
    parts = json.loads((folder / "model_index.json").read_text())
    sharded = [part for part in ("text_encoder", "transformer", "transformer_2") if parts.get(part)]
    for part in [part for part in sharded if parts[part][0]]:
        (index,) = (folder / part).glob("*.safetensors.index.json")
        shards = {path.name for path in (folder / part).glob("*.safetensors")}
        assert set(json.loads(index.read_text())["weight_map"].values()) == shards
        assert len(shards) >= 2


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "animatediff"])
def test_the_index_names_a_folder_for_each_part(name: str, checkpoint: Checkpoint) -> None:
    folder = checkpoint(name)
    index = json.loads((folder / "model_index.json").read_text())
    parts = {key for key, where in index.items() if isinstance(where, list) and where[0]}
    assert parts == {path.name for path in folder.iterdir() if path.is_dir()}


def test_wan_makes_frames_from_text(checkpoint: Checkpoint) -> None:
    pipeline = load("WanPipeline", checkpoint("wan_t2v"))
    frames = film_twice(pipeline, num_frames=9)
    assert frames.shape == (9, SIDE, SIDE, 3)
    assert differ(frames, film(pipeline, seed=1, num_frames=9))
    assert differ(frames, film(pipeline, prompt="A blue square", num_frames=9))


def test_wan_changes_frames_silently_and_refuses_odd_sides(checkpoint: Checkpoint) -> None:
    pipeline = load("WanPipeline", checkpoint("wan_t2v"))
    assert film(pipeline, num_frames=7).shape[0] == 5
    assert film(pipeline, num_frames=8).shape[0] == 9  # a multiple of 4 is raised instead
    with pytest.raises(ValueError, match="divisible by 16"):
        call(pipeline, num_frames=5, width=40)


def test_the_studio_s_own_text_encoder_reads_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    from pipelines.backends.wan.text_encoder import MAX_TOKENS, EmbeddingCache, TextEncoder
    from pipelines.schema.keys import Digest

    cache = EmbeddingCache(tmp_path, Digest("0" * 64), Digest("1" * 64), torch.bfloat16)
    encoder = TextEncoder(checkpoint("wan_t2v"), torch.device("cpu"), torch.bfloat16)
    encoder.encode(["A red circle"], cache)
    encoder.close()
    embedding = cache.get("A red circle")
    assert embedding is not None
    assert embedding.shape == (1, MAX_TOKENS, 32)
    # One token a letter, one a space before each word, one that ends the text.
    assert int(embedding.abs().sum(dim=-1).count_nonzero()) == len("▁A▁red▁circle") + 1


def test_vace_heeds_video_mask_and_reference(checkpoint: Checkpoint) -> None:
    pipeline = load("WanVACEPipeline", checkpoint("wan_vace"))
    known = {"video": pictures(9), "mask": masks(*[0] * 5, *[255] * 4), "num_frames": 9}
    frames = film_twice(pipeline, **known)
    assert frames.shape == (9, SIDE, SIDE, 3)
    assert differ(frames, film(pipeline, **{**known, "video": pictures(9, seed=50)}))
    assert differ(frames, film(pipeline, **{**known, "mask": masks(*[255] * 9)}))
    assert differ(frames, film(pipeline, **known, reference_images=[picture(99)]))
    with pytest.raises(ValueError, match="do not match"):
        call(pipeline, **{**known, "mask": masks(0)})


def test_vace_makes_frames_between_a_first_and_a_last_one(checkpoint: Checkpoint) -> None:
    pipeline = load("WanVACEPipeline", checkpoint("wan_vace"))
    grey = Image.new("RGB", (SIDE, SIDE), (128, 128, 128))
    video = [picture(1), *[grey] * 7, picture(2)]
    frames = film(pipeline, video=video, mask=masks(0, *[255] * 7, 0), num_frames=9)
    assert frames.shape == (9, SIDE, SIDE, 3)


def test_ti2v_makes_frames_from_text_and_from_a_picture(checkpoint: Checkpoint) -> None:
    folder = checkpoint("wan_ti2v")
    from_text = load("WanPipeline", folder)
    assert film_twice(from_text, num_frames=9).shape == (9, SIDE, SIDE, 3)
    from_picture = load("WanImageToVideoPipeline", folder)
    assert from_text.config.expand_timesteps
    assert from_picture.config.expand_timesteps
    frames = film_twice(from_picture, image=picture(), num_frames=9)
    assert frames.shape == (9, SIDE, SIDE, 3)
    assert differ(frames, film(from_picture, image=picture(1), num_frames=9))


def test_ti2v_lowers_sides_silently_to_multiples_of_32(checkpoint: Checkpoint) -> None:
    pipeline = load("WanPipeline", checkpoint("wan_ti2v"))
    assert film(pipeline, num_frames=5, width=48, height=80).shape == (5, 64, 32, 3)


def uses(pipeline: Any, **inputs: Any) -> list[str]:
    """The transformers that a call runs, step by step."""
    ran: list[str] = []
    hooks = [
        getattr(pipeline, name).register_forward_pre_hook(lambda *_, name=name: ran.append(name))
        for name in ("transformer", "transformer_2")
    ]
    call(pipeline, guidance_scale=1.0, guidance_scale_2=1.0, **inputs)
    for hook in hooks:
        hook.remove()
    return ran


@pytest.mark.parametrize(
    ("name", "class_name", "boundary", "inputs"),
    [
        ("wan_t2v_a14b", "WanPipeline", 0.875, {}),
        ("wan_i2v_a14b", "WanImageToVideoPipeline", 0.9, {"image": picture()}),
    ],
)
def test_a14b_uses_both_transformers_in_bfloat16(
    name: str, class_name: str, boundary: float, inputs: dict[str, Any], checkpoint: Checkpoint
) -> None:
    pipeline = load(class_name, checkpoint(name))
    assert pipeline.config.boundary_ratio == boundary
    assert pipeline.transformer.dtype == pipeline.transformer_2.dtype == torch.bfloat16
    assert uses(pipeline, num_frames=5, **inputs) == ["transformer", "transformer_2"]
    frames = film_twice(pipeline, num_frames=9, **inputs)
    assert frames.shape == (9, SIDE, SIDE, 3)
    assert differ(frames, film(pipeline, num_frames=9, guidance_scale_2=1.5, **inputs))


def test_a14b_s_second_transformer_must_be_named_in_a_table_of_dtypes(
    checkpoint: Checkpoint,
) -> None:
    table = {"transformer": torch.bfloat16, "default": torch.float32}
    pipeline = load("WanPipeline", checkpoint("wan_t2v_a14b"), dtype=table)
    assert pipeline.transformer_2.dtype == torch.float32
    with pytest.raises(RuntimeError, match="should be the same"):
        call(pipeline, num_frames=5)
    named = load(
        "WanPipeline",
        checkpoint("wan_t2v_a14b"),
        dtype={**table, "transformer_2": torch.bfloat16},
    )
    assert named.transformer_2.dtype == torch.bfloat16
    assert named.vae.dtype == torch.float32
    assert film(named, num_frames=5).shape == (5, SIDE, SIDE, 3)


def test_i2v_a14b_heeds_first_and_last_picture(checkpoint: Checkpoint) -> None:
    pipeline = load("WanImageToVideoPipeline", checkpoint("wan_i2v_a14b"))
    frames = film(pipeline, image=picture(), num_frames=5)
    assert differ(frames, film(pipeline, image=picture(1), num_frames=5))
    assert differ(frames, film(pipeline, image=picture(), last_image=picture(1), num_frames=5))


@pytest.mark.parametrize(
    ("mode", "count"),
    [
        ("animate", 5),
        ("animate", 7),
        slow("animate", 9),
        slow("replace", 5),
        ("replace", 7),
        slow("replace", 9),
    ],
)
def test_animate_makes_as_many_frames_as_the_pose_has(
    mode: str, count: int, checkpoint: Checkpoint
) -> None:
    pipeline = load("WanAnimatePipeline", checkpoint("wan_animate"))
    inputs = {
        "image": picture(),
        "pose_video": pictures(count, seed=10),
        "face_video": pictures(count, seed=30, side=FACE_SIDE),
        "segment_frame_length": 5,
        "mode": mode,
    }
    if mode == "replace":
        inputs |= {
            "background_video": pictures(count, seed=50),
            "mask_video": masks(*[255] * count),
        }
    frames = film_twice(pipeline, **inputs)
    assert frames.shape == (count, SIDE, SIDE, 3)
    if count == 5:
        face = {"face_video": pictures(count, seed=70, side=FACE_SIDE)}
        assert differ(frames, film(pipeline, **{**inputs, **face}))
        assert differ(frames, film(pipeline, **{**inputs, "pose_video": pictures(count, seed=90)}))


@pytest.mark.parametrize(
    ("count", "faces", "segment", "overlap"),
    [(1, 1, 5, 1), (5, 5, 13, 5), (6, 6, 9, 5), (5, 1, 5, 1)],
    ids=["pose-no-longer-than-overlap", "nor-than-5", "segment-below-twice-overlap", "one-face"],
)
def test_animate_fails_deep_inside_on_lengths_that_a_backend_must_refuse(
    count: int, faces: int, segment: int, overlap: int, checkpoint: Checkpoint
) -> None:
    pipeline = load("WanAnimatePipeline", checkpoint("wan_animate"))
    with pytest.raises((AssertionError, IndexError, RuntimeError, ValueError)):
        call(
            pipeline,
            image=picture(),
            pose_video=pictures(count),
            face_video=pictures(faces, side=FACE_SIDE),
            segment_frame_length=segment,
            prev_segment_conditioning_frames=overlap,
            num_inference_steps=1,
        )


def test_animatediff_makes_16_frames_from_a_base_and_an_adapter(checkpoint: Checkpoint) -> None:
    pipeline = animatediff(checkpoint("animatediff"))
    frames = film_twice(pipeline, num_frames=16, **SD)
    assert frames.shape == (16, 16, 16, 3)
    assert differ(frames, film(pipeline, seed=1, num_frames=16, **SD))
    with pytest.raises(RuntimeError, match=r"33.*32"):
        call(pipeline, num_frames=33, **SD)


def test_animatediff_makes_more_frames_by_free_noise(checkpoint: Checkpoint) -> None:
    pipeline = animatediff(checkpoint("animatediff"))
    pipeline.enable_free_noise(context_length=16, context_stride=4)
    assert film_twice(pipeline, num_frames=24, **SD).shape == (24, 16, 16, 3)
    with pytest.raises(IndexError):  # fewer than its context
        call(pipeline, num_frames=7, **SD)


@pytest.mark.parametrize("count", [9, slow(17)])
def test_ltx2_makes_frames_with_stereo_sound(count: int, checkpoint: Checkpoint) -> None:
    pipeline = load("LTX2Pipeline", checkpoint("ltx2"))
    made, again = (call(pipeline, num_frames=count, **LTX2) for _ in range(2))
    frames, sound = made.frames[0], made.audio[0].float()
    assert frames.shape == (count, SIDE, SIDE, 3)
    assert np.isfinite(frames).all()
    assert np.array_equal(frames, again.frames[0])
    assert pipeline.vocoder.config.output_sampling_rate == SOUND_RATE
    # 25 latents a second; the first makes one mel frame, every other four, of 10 ms each.
    mel_frames = round(count / 24 * 25) * 4 - 3
    assert sound.shape == (2, mel_frames * SOUND_RATE // 100)
    assert torch.isfinite(sound).all()
    assert torch.equal(made.audio, again.audio)


def test_ltx2_begins_with_a_picture(checkpoint: Checkpoint) -> None:
    pipeline = load("LTX2ImageToVideoPipeline", checkpoint("ltx2"))
    frames = film(pipeline, image=picture(), num_frames=9, **LTX2)
    assert frames.shape == (9, SIDE, SIDE, 3)
    assert differ(frames, film(pipeline, image=picture(1), num_frames=9, **LTX2))


def test_ltx2_lowers_frames_silently_and_refuses_odd_sides(checkpoint: Checkpoint) -> None:
    pipeline = load("LTX2Pipeline", checkpoint("ltx2"))
    assert film(pipeline, num_frames=16, **LTX2).shape[0] == 9
    with pytest.raises(ValueError, match="divisible by 32"):
        call(pipeline, num_frames=9, width=48, **LTX2)


def merged(folder: Path, state: dict[str, torch.Tensor], strength: float = 1.0) -> np.ndarray:
    """A film by the transformer with a LoRA merged into its weights."""
    pipeline = load("WanPipeline", folder, dtype=torch.float32)
    layers = dict(pipeline.transformer.named_modules())
    names = [key.removesuffix(".lora_A.weight") for key in state if key.endswith("lora_A.weight")]
    assert len(names) * 2 == len(state)
    with torch.no_grad():
        for name in names:
            change = state[f"{name}.lora_B.weight"] @ state[f"{name}.lora_A.weight"]
            layers[name.removeprefix("transformer.")].weight += strength * change
    return film(pipeline, num_frames=5)


def test_a_lora_changes_what_wan_makes_by_file_and_strength(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    from diffusers import WanPipeline

    folder = checkpoint("wan_t2v")
    for seed in (0, 1):
        write_wan_lora(tmp_path / f"{seed}.safetensors", seed)
    first, second = (
        WanPipeline.lora_state_dict(tmp_path / f"{seed}.safetensors") for seed in (0, 1)
    )
    made = [
        film(load("WanPipeline", folder, dtype=torch.float32), num_frames=5),
        merged(folder, first),
        merged(folder, first, strength=0.5),
        merged(folder, second),
    ]
    assert all(differ(one, other) for one, other in itertools.combinations(made, 2))


def test_both_layouts_of_a_lora_say_the_same(tmp_path: Path) -> None:
    from diffusers import WanPipeline

    write_wan_lora(tmp_path / "a.safetensors")
    write_wan_lora(tmp_path / "b.safetensors", layout="original")
    ours = WanPipeline.lora_state_dict(tmp_path / "a.safetensors")
    theirs = WanPipeline.lora_state_dict(tmp_path / "b.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[key], theirs[key]) for key in ours)
