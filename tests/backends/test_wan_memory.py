"""Memory: planned before a clip starts, and less of it used when it runs out after all."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.backends.base import ENCODED_ON_CPU
from pipelines.backends.frames import to_frames
from pipelines.backends.wan import denoiser, loading, text_encoder
from pipelines.backends.wan.footprint import Footprint, footprint_of
from pipelines.backends.wan.loading import Source
from pipelines.backends.wan.memory_plan import MemoryPlan, PlanPhase, Work, plan_memory
from pipelines.errors import BadFramesError, GenerationError, WeightsError
from pipelines.schema.sizes import Size
from tests.backends.clips import failing
from tests.backends.host import MemoryHost
from tests.backends.wan_models import (
    TinyModels,
    backend_of,
    clip_of,
    fresh_host,
    generate,
    options_of,
    request_for,
    same,
    tiny_models,
)

__all__ = ["fresh_host", "tiny_models"]  # fixtures

GB = 1_000_000_000
CARD = int(21.5 * GB)
"""22 GB without CUDA's context."""
SMALL, LARGE = Size(832, 480), Size(1280, 720)


def released(billions: float, width: int, hidden: int, count: int = 1, **changes: Any) -> Footprint:
    """A released model with this many parameters, in bfloat16."""
    values: dict[str, Any] = {
        "transformers": (int(billions * 2 * GB),) * count,
        "blocks": 40 if billions > 10 else 30,
        "vae": int(0.51 * GB),
        "token_bytes": 14 * width + 3.2 * hidden,
        "still_pixel_bytes": 72 * 96,
        "pixel_bytes": 213 * 96,
        "token_side": 16,
        "token_frames": 4,
    }
    return Footprint(**(values | changes))


WAN_1B = released(1.42, 1536, 8960)
WAN_14B = released(14.3, 5120, 13824)
WAN_14B_FP8 = released(14.3 / 2, 5120, 13824)
WAN_5B = released(
    5.0,
    3072,
    14336,
    vae=int(2.8 * GB),
    still_pixel_bytes=91 * 64,
    pixel_bytes=340 * 64,
    token_side=32,
)
A14B_FP8 = released(14.3 / 2, 5120, 13824, count=2)


@pytest.mark.parametrize(
    ("footprint", "size", "frames", "mode"),
    [
        (WAN_1B, SMALL, 1, "resident"),
        (WAN_1B, LARGE, 1, "resident"),
        (WAN_1B, SMALL, 17, "resident"),
        (WAN_1B, LARGE, 33, "alone-decode"),
        (WAN_5B, Size(1280, 704), 121, "tiled-decode"),
        (WAN_14B_FP8, SMALL, 81, "alone-decode"),
        (WAN_14B_FP8, LARGE, 81, "group-offload"),
        (WAN_14B, SMALL, 81, "group-offload"),
        (A14B_FP8, SMALL, 81, "offload"),
    ],
)
def test_released_models_fit_22_gb_by_a_plan_made_before_they_start(
    footprint: Footprint, size: Size, frames: int, mode: str
) -> None:
    plan = plan_memory(footprint, Work(size, frames, encodes=False), CARD, "cuda")
    assert plan.mode == mode
    assert plan.peak_bytes <= CARD


@pytest.mark.parametrize(
    ("size", "frames", "measured"),
    [(SMALL, 1, 6.6), (LARGE, 1, 10.2), (SMALL, 17, 11.7), (LARGE, 33, 22.2)],
)
def test_the_peak_of_the_1_3b_is_what_was_measured(
    size: Size, frames: int, measured: float
) -> None:
    """Measured in GB: live bytes, weights and 0.5 of context; the plan adds 10 % of workspace."""
    plan = plan_memory(WAN_1B, Work(size, frames, encodes=False), 80 * GB, "cuda")
    assert plan.mode == "resident"
    assert measured - 0.5 <= plan.peak_bytes / GB <= 1.1 * measured


def test_a_large_card_offloads_nothing_and_a_small_one_still_gets_the_smallest_plan() -> None:
    work = Work(LARGE, 81, encodes=True)
    assert plan_memory(A14B_FP8, work, 80 * GB, "cuda").mode == "resident"
    least = plan_memory(A14B_FP8, work, GB, "cuda")
    assert least.mode == "group-offload, tiled-decode, tiled-encode"
    assert least.peak_bytes > GB


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_no_shortage_of_memory_changes_the_numbers_that_the_preset_asks_for(device: str) -> None:
    for footprint in (WAN_1B, WAN_5B, WAN_14B_FP8, A14B_FP8):
        for gigabytes in (1, 6, 10, 14, 18, 22, 30, 80):
            work = Work(LARGE, 33, encodes=True)
            exact, half = (
                plan_memory(footprint, work, gigabytes * GB, device, decode)
                for decode in ("float32", "bfloat16")
            )
            assert (exact.half, half.half) == (False, device == "cuda")
            while exact and half:
                below = [plan.below(device, "decode") for plan in (exact, half)]
                assert not (below[0] and below[0].half)
                assert not (below[1] and below[1].half != half.half)
                exact, half = below


def test_decoding_alone_takes_the_transformers_bytes_less() -> None:
    work = Work(LARGE, 33, encodes=False)
    beside, alone = (plan_memory(WAN_1B, work, gigabytes * GB, "cuda") for gigabytes in (80, 22))
    assert (beside.mode, alone.mode) == ("resident", "alone-decode")
    assert beside.decode_bytes - alone.decode_bytes == sum(WAN_1B.transformers)
    assert alone.denoise_bytes == beside.denoise_bytes


def test_given_frames_are_encoded_in_tiles_if_that_is_what_does_not_fit() -> None:
    known, fresh = (Work(LARGE, 81, encodes=encodes) for encodes in (True, False))
    budget = int(13.2 * GB)
    assert plan_memory(WAN_1B, fresh, budget, "cuda").mode == "tiled-decode"
    assert plan_memory(WAN_1B, known, budget, "cuda").mode == "tiled-decode, tiled-encode"


def test_a_cpu_never_offloads_or_decodes_in_half_precision() -> None:
    plan = plan_memory(WAN_14B, Work(LARGE, 81, encodes=True), GB, "cpu")
    assert plan.mode == "tiled-decode, tiled-encode"


@pytest.mark.parametrize(
    ("device", "phase", "modes"),
    [
        (
            "cuda",
            "decode",
            [
                "alone-decode",
                "tiled-decode",
                "offload, tiled-decode",
                "group-offload, tiled-decode",
            ],
        ),
        (
            "cuda",
            "denoise",
            ["tiled-encode", "offload, tiled-encode", "group-offload, tiled-encode"],
        ),
        ("cuda", "place", ["offload", "group-offload"]),
        ("cpu", "decode", ["tiled-decode"]),
        ("cpu", "denoise", ["tiled-encode"]),
        ("cpu", "place", []),
    ],
)
def test_each_step_down_saves_where_memory_ran_out(
    device: str, phase: PlanPhase, modes: list[str]
) -> None:
    plan: MemoryPlan | None = MemoryPlan()
    seen = []
    while plan := plan.below(device, phase):
        seen.append(plan.mode)
    assert seen == modes


@pytest.mark.parametrize("elsewhere", [True, False], ids=["in-cpu-memory", "nowhere"])
def test_a_text_encoder_that_does_not_fit_the_device_works_on_the_cpu(
    elsewhere: bool,
    fresh_host: MemoryHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[str] = []

    class Scarce(text_encoder.TextEncoder):
        def __init__(self, model: Path, device: torch.device, dtype: torch.dtype) -> None:
            tried.append(device.type)
            if device.type == "cuda" or not elsewhere:
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(model, device, dtype)

    monkeypatch.setattr(text_encoder, "TextEncoder", Scarce)
    fresh_host.device = "cuda"
    model = fresh_host.model("t2v-14B")
    if elsewhere:
        cache = text_encoder.encode_texts(fresh_host, model, ["a fox"])
        assert cache.get("a fox") is not None
    else:
        with pytest.raises(GenerationError, match="close other programs"):
            text_encoder.encode_texts(fresh_host, model, ["a fox"])
    assert tried == ["cuda", "cpu"]
    assert fresh_host.notices == [ENCODED_ON_CPU]


def test_models_that_do_not_fit_the_device_when_they_load_are_offloaded(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def place(_: Any, __: torch.device, placement: str, ___: str) -> None:
        tried.append(placement)
        if placement != "group-offload":
            raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(denoiser, "place", place)
    source = Source(tiny_models["t2v-14B"], "text", dtype="float32")
    loaded = denoiser.WanDenoiser(source, torch.device("cuda"))
    assert tried == ["resident", "offload", "group-offload"]
    assert loaded.placement == "group-offload"
    with pytest.raises(GenerationError, match="smaller size or fewer frames"):
        denoiser.WanDenoiser(source, torch.device("cpu"))


def scarce(vae: Any, monkeypatch: pytest.MonkeyPatch, *, always: bool = False) -> None:
    decode = vae.decode

    def decoded(*args: object, **options: object) -> object:
        if always or not vae.use_tiling:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(*args, **options)

    monkeypatch.setattr(vae, "decode", decoded)


def test_out_of_memory_in_decoding_goes_on_with_tiles_and_a_smaller_clip_is_decoded_whole(
    fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    request = request_for("wan-t2v-14b")
    whole = generate(backend, request)
    with monkeypatch.context() as patched:
        scarce(fresh_host.loaded["video"][1]._pipeline.vae, patched)
        clip = clip_of(backend, request)
    assert clip.memory_mode == "tiled-decode"
    assert same(list(clip.frames), whole)  # one tile is all of it
    assert clip_of(backend, request).memory_mode == "tiled-decode"
    assert clip_of(backend, request_for("wan-t2v-14b", frames=1)).memory_mode == "resident"
    fresh_host.free *= 2
    assert clip_of(backend, request).memory_mode == "resident"


def test_out_of_memory_with_nothing_left_to_save_says_what_to_do(
    fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    request = request_for("wan-t2v-14b")
    generate(backend, request)
    scarce(fresh_host.loaded["video"][1]._pipeline.vae, monkeypatch, always=True)
    remedy = "smaller size or fewer frames a chunk, or a preset that decodes in 16 bits, such as"
    with pytest.raises(GenerationError, match=f"{remedy} video_high_safe") as failure:
        generate(backend, request)
    assert isinstance(failure.value.__cause__, torch.OutOfMemoryError)


def test_too_little_free_memory_decodes_in_tiles_from_the_start(fresh_host: MemoryHost) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    request = request_for("wan-t2v-14b", size=Size(64, 64))
    fresh_host.free = backend.effort([request]).memory_bytes // 10
    assert clip_of(backend, request).memory_mode == "tiled-decode"  # nothing is encoded


def test_the_host_is_told_what_the_fastest_way_needs(fresh_host: MemoryHost) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    request = request_for("wan-t2v-14b")
    effort = backend.effort([request])
    fresh_host.free = 1_000_000
    generate(backend, request)
    assert fresh_host.needs["video"] == effort.memory_bytes


def test_decoding_in_bfloat16_is_close_and_leaves_the_encoding_vae_as_it_was(
    fresh_host: MemoryHost,
) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    generate(backend, request_for("wan-t2v-14b"))
    loaded = fresh_host.loaded["video"][1]
    latents = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        whole, half = (
            loaded._decode(latents, MemoryPlan(half=half)).float() for half in (False, True)
        )
    assert not torch.equal(whole, half)
    assert (whole - half).abs().max() < 0.1
    assert loaded._pipeline.vae.dtype == torch.float32


def test_layers_stored_in_8_bits_take_half_the_memory_and_make_other_pixels(
    tiny_models: TinyModels, fresh_host: MemoryHost
) -> None:
    fresh_host.dtype = "bfloat16"
    backend = backend_of("wan-t2v-a14b", fresh_host)
    full = generate(backend, request_for("wan-t2v-a14b"))
    eight = generate(backend, request_for("wan-t2v-a14b", weights="fp8"))
    pipeline = fresh_host.loaded["video"][1]._pipeline
    for transformer in (pipeline.transformer, pipeline.transformer_2):
        block = transformer.blocks[0]
        assert block.attn1.to_q.weight.dtype == torch.float8_e4m3fn
        assert block.norm2.weight.dtype != torch.float8_e4m3fn
        assert transformer.dtype == torch.bfloat16
    assert len(eight) == 5
    assert not same(full, eight)
    sizes = [
        footprint_of(tiny_models["t2v-A14B"], ("transformer",), stored).transformers[0]
        for stored in ("float32", "bfloat16", "fp8")
    ]
    assert sizes[0] == 2 * sizes[1] == 4 * sizes[2]


@pytest.mark.parametrize("placement", ["offload", "group-offload"])
def test_offloaded_models_make_the_same_pixels(placement: Any, fresh_host: MemoryHost) -> None:
    """Without a GPU models travel from CPU to CPU; the hooks that move them are the real ones."""
    from pipelines.backends.wan.placing import place

    for name in ("wan-t2v-a14b", "wan-ti2v-5b"):
        backend = backend_of(name, fresh_host)
        request = request_for(name, flow_shift=3.0)
        expected = generate(backend, request)
        loaded = fresh_host.loaded["video"][1]
        place(loaded._pipeline, torch.device("cpu"), placement, "float32")
        assert same(generate(backend, request), expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_fail_the_chunk(value: float) -> None:
    video = torch.rand(1, 3, 5, 16, 16)
    video[0, 1, 2, 3, 4] = value
    with pytest.raises(BadFramesError, match="NaN or infinite"):
        list(to_frames(video))


def test_the_footprint_of_a_checkpoint_is_read_without_loading_it(tiny_models: TinyModels) -> None:
    from diffusers import WanTransformer3DModel

    folder = tiny_models["ti2v-5B"]
    footprint = footprint_of(folder, ("transformer",), "bfloat16")
    loaded = WanTransformer3DModel.from_pretrained(folder, subfolder="transformer")
    assert footprint.transformers == (2 * sum(item.numel() for item in loaded.parameters()),)
    assert footprint.token_side == 32
    assert footprint.tokens(Size(64, 32), 9) == 3 * 2
    assert options_of("wan-ti2v-5b").weights == "full"


def test_memory_that_runs_out_while_files_are_read_is_not_said_to_be_the_files_fault(
    tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(tiny_models["t2v-14B"], "text", dtype="float32")
    for error, kind, words in (
        (RuntimeError("can't allocate memory"), GenerationError, "close other programs"),
        (RuntimeError("a header is cut"), WeightsError, "models verify"),
    ):
        with (
            failing(monkeypatch, loading, "load_transformer", error),
            pytest.raises(kind, match=words),
        ):
            denoiser.WanDenoiser(source, torch.device("cpu"))
