"""Wan through the real diffusers classes, held against the stock pipelines."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.backends.base import Frame
from pipelines.backends.wan.conditioning import Given, known_video
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import MemoryPlan
from pipelines.backends.wan.options import WanOptions
from pipelines.backends.wan.text_encoder import MAX_TOKENS, EmbeddingCache, TextEncoder
from pipelines.errors import BadFramesError, WeightsError
from pipelines.schema.sizes import Size
from tests.backends.host import digest
from tests.backends.wan_models import same
from tests.support.tiny_wan import write_tiny_checkpoint, write_tiny_vace

CPU = torch.device("cpu")
TEXTS = ["a red fox", "blurred"]
SQUARE = Size(64, 64)
NOTHING = Given()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    write_tiny_checkpoint(folder)
    return folder


def empty_cache(folder: Path) -> EmbeddingCache:
    return EmbeddingCache(folder, digest("encoder"), digest("tokenizer"), torch.float32)


@pytest.fixture(scope="module")
def cache(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    cache = empty_cache(tmp_path_factory.mktemp("embeddings"))
    TextEncoder(checkpoint, CPU, torch.float32).encode(TEXTS, cache)
    return cache


@pytest.fixture(scope="module")
def wan(checkpoint: Path) -> Iterator[WanDenoiser]:
    with WanDenoiser(Source(checkpoint, "text", dtype="float32"), CPU) as model:
        yield model


def job_of(
    cache: EmbeddingCache,
    given: Given = NOTHING,
    size: Size = SQUARE,
    frames: int = 9,
    seed: int = 7,
    **changes: Any,
) -> Job:
    options = WanOptions(**{"steps": 2, "guidance": 4.0, "flow_shift": 3.0, **changes})
    positive, negative = (cache.get(text) for text in TEXTS)
    assert positive is not None
    assert negative is not None
    return Job(size, frames, seed, options, positive, negative, given)


def render(wan: WanDenoiser, job: Job) -> list[Frame]:
    return list(wan.render(job, MemoryPlan(), lambda *_: None).frames)


def moving(count: int) -> tuple[Frame, ...]:
    """A bright square that moves over a dark ground."""
    frames = np.full((count, 64, 64, 3), 40, np.uint8)
    for index in range(count):
        frames[index, 20:40, 10 + 2 * index : 30 + 2 * index] = (220, 60, 30)
    return tuple(frames)


def test_frames_are_those_of_the_stock_pipeline(
    wan: WanDenoiser, cache: EmbeddingCache, checkpoint: Path
) -> None:
    from diffusers import WanPipeline

    stock = WanPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    stock.scheduler = stock.scheduler.from_config(stock.scheduler.config, flow_shift=3.0)
    expected = stock(
        TEXTS[0],
        TEXTS[1],
        height=64,
        width=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(7),
    ).frames[0]
    ours = render(wan, job_of(cache))
    assert len(ours) == 9
    assert np.abs(np.stack(ours) - expected * 255).max() <= 0.51  # rounded, not truncated


@pytest.mark.parametrize(
    "change", [{"guidance": 1.0}, {"flow_shift": 8.0}, {"steps": 3}, {"seed": 8}], ids=str
)
def test_every_option_reaches_the_pixels(
    wan: WanDenoiser, cache: EmbeddingCache, change: dict[str, Any]
) -> None:
    assert not same(render(wan, job_of(cache, **change)), render(wan, job_of(cache)))


@pytest.mark.parametrize(("size", "frames"), [("128*64", 5), ("64*128", 1), ("64*64", 33)])
def test_size_and_length_are_as_asked(
    wan: WanDenoiser, cache: EmbeddingCache, size: str, frames: int
) -> None:
    made = render(wan, job_of(cache, size=Size.parse(size), frames=frames))
    assert len(made) == frames
    assert {frame.shape for frame in made} == {(*reversed(Size.parse(size)), 3)}


def test_frames_of_another_size_than_asked_fail_the_chunk(
    wan: WanDenoiser, cache: EmbeddingCache
) -> None:
    # The pipeline makes 5 frames for 7 without a word.
    with pytest.raises(BadFramesError, match=r"5 frames of 64\*64 instead of 7 of 64\*64"):
        render(wan, job_of(cache, frames=7))


def test_every_step_is_reported(wan: WanDenoiser, cache: EmbeddingCache) -> None:
    seen: list[tuple[int, int]] = []
    job = job_of(cache, steps=3)
    rendered = wan.render(job, MemoryPlan(), lambda *step: seen.append(step))
    assert len(list(rendered.frames)) == 9
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_texts_are_encoded_once_and_exactly_as_the_pipeline_would(
    checkpoint: Path, cache: EmbeddingCache
) -> None:
    from diffusers import WanPipeline

    assert cache.missing([*TEXTS, *TEXTS]) == []
    assert cache.missing(["a fox", TEXTS[0], "a fox"]) == ["a fox"]
    stock = WanPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.inference_mode():  # with gradients, attention takes another kernel
        expected, _ = stock.encode_prompt(
            TEXTS[0], do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
        )
    found = cache.get(TEXTS[0])
    assert found is not None
    assert torch.equal(found, expected)


@pytest.mark.parametrize("change", ["text_encoder", "tokenizer", "dtype"])
def test_another_encoder_tokenizer_or_dtype_encodes_again(change: str, tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        "text_encoder": digest("encoder"),
        "tokenizer": digest("tokenizer"),
        "dtype": torch.float32,
    }
    EmbeddingCache(tmp_path, **keys).put("fox", torch.ones(3, 4))
    assert EmbeddingCache(tmp_path, **keys).missing(["fox"]) == []
    keys[change] = torch.bfloat16 if change == "dtype" else digest("another")
    assert EmbeddingCache(tmp_path, **keys).missing(["fox"]) == ["fox"]


def test_a_damaged_embedding_is_encoded_again(checkpoint: Path, tmp_path: Path) -> None:
    cache = empty_cache(tmp_path)
    cache.put("fox", torch.ones(3, 4))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert cache.get("fox") is None
    assert cache.missing(["fox"]) == ["fox"]
    cache.put("fox", torch.ones(3, 4))
    assert cache.get("fox") is not None


def test_an_untied_text_encoder_is_refused(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import UMT5EncoderModel

    original = UMT5EncoderModel.from_pretrained.__func__

    def untied(cls: type, *args: object, **options: object) -> object:
        model = original(cls, *args, **options)
        table = model.encoder.embed_tokens.weight
        model.encoder.embed_tokens.weight = torch.nn.Parameter(table.detach().clone())
        return model

    monkeypatch.setattr(UMT5EncoderModel, "from_pretrained", classmethod(untied))
    with pytest.raises(WeightsError, match="untied"):
        TextEncoder(checkpoint, CPU, torch.float32)


def test_a_broken_transformer_fails_the_chunk(checkpoint: Path, cache: EmbeddingCache) -> None:
    with WanDenoiser(Source(checkpoint, "text", dtype="float32"), CPU) as wan:
        with torch.no_grad():
            wan._pipeline.transformer.proj_out.weight.fill_(float("nan"))
        with pytest.raises(BadFramesError, match="latents hold NaN"):
            render(wan, job_of(cache))


def test_a_first_frame_comes_out_again_and_decides_what_follows(
    wan: WanDenoiser, cache: EmbeddingCache
) -> None:
    """As the stock image-to-video pipeline with `expand_timesteps` does it."""
    from diffusers import WanImageToVideoPipeline

    tail = moving(1)
    job = job_of(cache, Given(tail))
    ours = render(wan, job)
    stock = WanImageToVideoPipeline(**wan._pipeline.components, expand_timesteps=True)
    expected = stock(
        Image.fromarray(tail[0]),
        prompt_embeds=job.positive,
        negative_prompt_embeds=job.negative,
        height=64,
        width=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(7),
    ).frames[0]
    assert np.abs(np.stack(ours) / 255 - expected).max() < 0.01
    assert not same(ours, render(wan, job_of(cache)))
    repeated = wan.through_vae(tail)[0]
    assert np.abs(ours[0].astype(int) - repeated).max() <= 1


def test_vace_continues_through_the_stock_pipeline(cache: EmbeddingCache, tmp_path: Path) -> None:
    write_tiny_vace(tmp_path)
    given = Given(moving(5))
    job = job_of(cache, given)
    with WanDenoiser(Source(tmp_path, "vace", dtype="float32"), CPU) as model:
        fresh = render(model, job_of(cache))
        ours = render(model, job)
        video, mask = known_video(given, SQUARE, 9)
        expected = model._pipeline(
            video=video,
            mask=mask,
            prompt_embeds=job.positive,
            negative_prompt_embeds=job.negative,
            height=64,
            width=64,
            num_frames=9,
            num_inference_steps=2,
            guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(7),
        ).frames[0]
    assert len(fresh) == len(ours) == 9
    assert np.abs(np.stack(ours) / 255 - expected).max() < 0.01
    assert not same(ours, fresh)


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=str(tmp_path)):
        WanDenoiser(Source(tmp_path, "text"), CPU)
    with pytest.raises(WeightsError, match=str(tmp_path)):
        TextEncoder(tmp_path, CPU, torch.float32)


def test_the_tiny_checkpoint_is_the_same_each_time(checkpoint: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tiny_checkpoint(tmp_path)
    for part in ("transformer", "vae"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / name).read_bytes() == (checkpoint / name).read_bytes()
