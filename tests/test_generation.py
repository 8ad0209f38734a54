"""Wan through the real diffusers classes, on a tiny checkpoint of the real layout."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.errors import BadFramesError, GenerationError, WeightsError
from pipelines.generation.embeddings import MAX_TOKENS, EmbeddingCache, TextEncoder
from pipelines.generation.frames import to_frames
from pipelines.generation.vace import VaceModel, known_video
from pipelines.generation.wan import WanModel
from pipelines.media.codec import Frame
from pipelines.schema.plan import ChunkSpec, digest_of
from pipelines.schema.presets import Size
from tests.pictures import moving_frames
from tests.tiny_wan import write_tiny_checkpoint, write_tiny_vace

CPU = torch.device("cpu")
TEXTS = ["a red fox", "blurred"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wan")
    write_tiny_checkpoint(folder)
    return folder


@pytest.fixture(scope="module")
def cache(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    folder = tmp_path_factory.mktemp("embeddings")
    cache = EmbeddingCache(folder, digest_of("wan"), torch.float32)
    TextEncoder(checkpoint, CPU, torch.float32).encode(TEXTS, cache)
    return cache


@pytest.fixture
def wan(checkpoint: Path) -> Iterator[WanModel]:
    with WanModel(checkpoint, CPU, torch.float32) as model:
        yield model


def spec_of(**changes: object) -> ChunkSpec:
    values = {
        "revision": digest_of("wan"),
        "dtype": "float32",
        "prompt": TEXTS[0],
        "negative": TEXTS[1],
        "size": Size(64, 64),
        "frames": 9,
        "steps": 2,
        "guidance": 4.0,
        "flow_shift": 3.0,
        "seed": 7,
    }
    return ChunkSpec.model_validate(values | changes)


def render(wan: WanModel, cache: EmbeddingCache, spec: ChunkSpec) -> list[Frame]:
    positive, negative = cache.get(spec.prompt), cache.get(spec.negative)
    return list(wan.render(spec, positive, negative, lambda *_: None).frames)


def test_frames_are_those_of_the_stock_pipeline(
    wan: WanModel, cache: EmbeddingCache, checkpoint: Path
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
    ours = render(wan, cache, spec_of())
    assert len(ours) == 9
    assert np.abs(np.stack(ours) - expected * 255).max() <= 0.51  # rounded, not truncated


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(
    wan: WanModel, cache: EmbeddingCache
) -> None:
    first, again = render(wan, cache, spec_of()), render(wan, cache, spec_of())
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (render(wan, cache, spec_of(seed=8))[0] != first[0]).any()


@pytest.mark.parametrize("change", [{"guidance": 1.0}, {"flow_shift": 8.0}, {"steps": 3}], ids=str)
def test_every_knob_reaches_the_pixels(
    wan: WanModel, cache: EmbeddingCache, change: dict[str, object]
) -> None:
    assert (render(wan, cache, spec_of(**change))[4] != render(wan, cache, spec_of())[4]).any()


@pytest.mark.parametrize(("size", "frames"), [("128*64", 5), ("64*128", 1), ("64*64", 33)])
def test_size_and_length_are_as_asked(
    wan: WanModel, cache: EmbeddingCache, size: str, frames: int
) -> None:
    made = render(wan, cache, spec_of(size=Size.parse(size), frames=frames))
    assert len(made) == frames
    assert {frame.shape for frame in made} == {(*reversed(Size.parse(size)), 3)}


def test_every_step_is_reported(wan: WanModel, cache: EmbeddingCache) -> None:
    seen: list[tuple[int, int]] = []
    spec = spec_of(steps=3)
    rendered = wan.render(
        spec, cache.get(TEXTS[0]), cache.get(TEXTS[1]), lambda *step: seen.append(step)
    )
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


def test_a_damaged_embedding_is_encoded_again(checkpoint: Path, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, digest_of("wan"), torch.float32)
    encoder = TextEncoder(checkpoint, CPU, torch.float32)
    encoder.encode(["fox"], cache)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:50])
    assert cache.get("fox") is None
    assert cache.missing(["fox"]) == ["fox"]
    encoder.encode(["fox"], cache)
    assert cache.get("fox") is not None


def test_an_untied_text_encoder_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_fail_the_chunk(value: float) -> None:
    video = torch.rand(1, 3, 5, 16, 16)
    video[0, 1, 2, 3, 4] = value
    with pytest.raises(BadFramesError, match="NaN or infinite"):
        list(to_frames(video))


def test_a_broken_transformer_fails_the_chunk(wan: WanModel, cache: EmbeddingCache) -> None:
    with torch.no_grad():
        wan._pipeline.transformer.proj_out.weight.fill_(float("nan"))
    with pytest.raises(BadFramesError, match="latents hold NaN"):
        render(wan, cache, spec_of())


def test_a_first_frame_comes_out_again_and_decides_what_follows(
    wan: WanModel, cache: EmbeddingCache
) -> None:
    """As the stock image-to-video pipeline with `expand_timesteps` does it."""
    from diffusers import WanImageToVideoPipeline

    tail = [next(moving_frames(Size(64, 64), 1))]
    positive, negative = cache.get(TEXTS[0]), cache.get(TEXTS[1])
    ours = list(wan.render(spec_of(), positive, negative, lambda *_: None, tail).frames)
    stock = WanImageToVideoPipeline(**wan._pipeline.components, expand_timesteps=True)
    expected = stock(
        Image.fromarray(tail[0]),
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        height=64,
        width=64,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(7),
    ).frames[0]
    assert np.abs(np.stack(ours) / 255 - expected).max() < 0.01
    assert not (np.stack(ours) == np.stack(render(wan, cache, spec_of()))).all()
    repeated = wan.through_vae(tail)[0]
    assert np.abs(ours[0].astype(int) - repeated).max() <= 1


@pytest.fixture(scope="module")
def vace_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vace")
    write_tiny_vace(folder)
    return folder


def test_vace_is_given_the_last_frames_and_masks_that_keep_them() -> None:
    tail = list(moving_frames(Size(64, 64), 5))
    video, mask = known_video(spec_of(), tail)
    assert len(video) == len(mask) == 9
    assert all((np.asarray(video[i]) == tail[i]).all() for i in range(5))
    assert [np.asarray(item).max() for item in mask] == [0] * 5 + [255] * 4


def test_vace_continues_through_the_stock_pipeline(
    vace_folder: Path, cache: EmbeddingCache
) -> None:
    positive, negative = cache.get(TEXTS[0]), cache.get(TEXTS[1])
    tail = list(moving_frames(Size(64, 64), 5))
    with VaceModel(vace_folder, CPU, torch.float32) as model:
        fresh = list(model.render(spec_of(), positive, negative, lambda *_: None).frames)
        ours = list(model.render(spec_of(), positive, negative, lambda *_: None, tail).frames)
        video, mask = known_video(spec_of(), tail)
        expected = model._pipeline(
            video=video,
            mask=mask,
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            height=64,
            width=64,
            num_frames=9,
            num_inference_steps=2,
            guidance_scale=4.0,
            generator=torch.Generator("cpu").manual_seed(7),
        ).frames[0]
    assert len(fresh) == len(ours) == 9
    assert np.abs(np.stack(ours) / 255 - expected).max() < 0.01
    assert not (np.stack(ours) == np.stack(fresh)).all()


def test_out_of_memory_in_decoding_goes_on_with_tiles(
    wan: WanModel, cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = wan._pipeline.vae
    decode = vae.decode

    def scarce(*args: object, **options: object) -> object:
        if not vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(*args, **options)

    whole = render(wan, cache, spec_of())
    monkeypatch.setattr(vae, "decode", scarce)
    spec = spec_of()
    rendered = wan.render(spec, cache.get(TEXTS[0]), cache.get(TEXTS[1]), lambda *_: None)
    assert rendered.rung == "tiled-decode"
    assert all((a == b).all() for a, b in zip(rendered.frames, whole, strict=True))


def test_out_of_memory_on_the_last_rung_says_what_to_do(
    wan: WanModel, cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object, **__: object) -> object:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(wan._pipeline.vae, "decode", starved)
    with pytest.raises(GenerationError, match="smaller size or fewer frames"):
        render(wan, cache, spec_of())


def test_a_folder_without_models_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=str(tmp_path)):
        WanModel(tmp_path, CPU, torch.float32)


def test_the_tiny_checkpoint_is_the_same_each_time(checkpoint: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_tiny_checkpoint(tmp_path)
    for part in ("transformer", "vae"):
        name = f"{part}/diffusion_pytorch_model.safetensors"
        assert (tmp_path / name).read_bytes() == (checkpoint / name).read_bytes()
