"""The ladder of placements: down where memory runs out, and up again when there is room.

Simulated without a GPU: the plans are those of a card, the models stay in the host's memory.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipelines.backends.base import VideoBackend
from pipelines.backends.frames import to_frames
from pipelines.backends.shortages import Shortages
from pipelines.backends.wan import denoiser, session
from pipelines.backends.wan.denoiser import Job, WanDenoiser
from pipelines.backends.wan.memory_plan import MemoryPlan, Work, plan_memory
from pipelines.backends.wan.placing import place, take_off
from pipelines.schema.sizes import Size
from tests.backends.host import MemoryHost
from tests.backends.test_wan_memory import CARD, GB, LARGE, SMALL, WAN_1B, WAN_5B
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

NAME = "wan-t2v-14b"
SHORT, LONG = request_for(NAME, frames=5), request_for(NAME, frames=9)


class Card:
    """What a simulated card does: where models were placed, and what it has no room for."""

    def __init__(self) -> None:
        self.placed: list[str] = []
        self.too_large: set[str] = set()
        """Placements that do not fit."""
        self.longest: dict[str, int] = {}
        """Frames that can be denoised at most, by placement."""


@pytest.fixture
def card(fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    state = Card()

    class OnCard(WanDenoiser):
        def __init__(self, source: Any, _: torch.device, *more: Any) -> None:
            super().__init__(source, torch.device("cpu"), *more)

        @property
        def device_kind(self) -> str:
            return "cuda"

        def _denoise(self, job: Job, plan: MemoryPlan, report: Any) -> torch.Tensor:
            if job.frames > state.longest.get(self.placement, job.frames):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super()._denoise(job, plan, report)

    def placing(_: Any, __: torch.device, placement: str, ___: str) -> None:
        state.placed.append(placement)
        if placement in state.too_large:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with backend_of(NAME, fresh_host).open() as opened:
        opened.prepare([SHORT])  # on the CPU; the embeddings stay in the cache
    fresh_host.device = "cuda"
    monkeypatch.setattr(session, "WanDenoiser", OnCard)
    monkeypatch.setattr(denoiser, "place", placing)
    yield state
    fresh_host.device = "cpu"


@pytest.fixture
def backend(card: Card, fresh_host: MemoryHost) -> VideoBackend:
    assert not card.placed
    return backend_of(NAME, fresh_host)


def test_models_come_back_when_another_program_has_left_the_card(
    card: Card, backend: VideoBackend, fresh_host: MemoryHost
) -> None:
    room, fresh_host.free = fresh_host.free, 0
    assert clip_of(backend, SHORT).memory_mode == "group-offload, tiled-decode"
    fresh_host.free = room
    assert clip_of(backend, SHORT).memory_mode == "resident"
    assert card.placed == ["group-offload", "resident"]


def test_after_one_large_clip_small_ones_are_fast_again(
    card: Card, backend: VideoBackend, fresh_host: MemoryHost
) -> None:
    card.longest = {"resident": 5}
    modes = [clip_of(backend, request).memory_mode for request in (SHORT, LONG, LONG, SHORT)]
    assert modes == ["resident", "offload", "offload", "resident"]
    # The second large clip did not try again in vain.
    assert card.placed == ["resident", "offload", "resident"]
    card.longest.clear()
    fresh_host.free *= 2
    assert clip_of(backend, LONG).memory_mode == "resident"


def test_models_that_do_not_fit_are_not_placed_again_for_each_clip(
    card: Card, backend: VideoBackend, fresh_host: MemoryHost
) -> None:
    card.too_large = {"resident"}
    for _ in range(2):
        assert clip_of(backend, SHORT).memory_mode == "offload"
    assert card.placed == ["resident", "offload"]
    card.too_large.clear()
    fresh_host.free *= 2
    assert clip_of(backend, SHORT).memory_mode == "resident"


def test_models_that_do_not_fit_when_they_come_back_leave_again(
    card: Card, backend: VideoBackend, fresh_host: MemoryHost
) -> None:
    room, fresh_host.free = fresh_host.free, 0
    generate(backend, SHORT)
    fresh_host.free, card.too_large = room, {"resident"}
    assert clip_of(backend, SHORT).memory_mode == "offload"
    assert card.placed == ["group-offload", "resident", "offload"]


def test_a_clip_that_does_not_fit_beside_the_transformer_is_decoded_without_it(
    card: Card, backend: VideoBackend, fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = generate(backend, SHORT)
    loaded = fresh_host.loaded["video"][1]
    decode, left = WanDenoiser._decode, []

    def scarce(self: WanDenoiser, latents: torch.Tensor, plan: MemoryPlan) -> torch.Tensor:
        if not left:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, latents, plan)

    weights = loaded.held_bytes(WAN_1B)
    monkeypatch.setattr(WanDenoiser, "_decode", scarce)
    monkeypatch.setattr(loaded._pipeline.transformer, "to", left.append)
    clip = clip_of(backend, SHORT)
    assert clip.memory_mode == "alone-decode"
    assert same(list(clip.frames), expected)
    assert left == ["cpu"]
    # The transformer's memory is free until the next clip, for which it comes back.
    assert weights - loaded.held_bytes(WAN_1B) == sum(WAN_1B.transformers)
    assert card.placed == ["resident"]
    again = clip_of(backend, SHORT)
    assert again.memory_mode == "alone-decode"
    assert same(list(again.frames), expected)
    assert card.placed == ["resident", "resident"]
    assert left == ["cpu", "cpu"]


def test_where_memory_ran_out_holds_for_as_large_clips_until_there_is_more() -> None:
    shortages = Shortages()
    shortages.add("fast", need=100, had=200)
    assert shortages.rule_out("fast", need=100, have=200)
    assert shortages.rule_out("fast", need=150, have=210)
    assert not shortages.rule_out("fast", need=99, have=200)
    assert not shortages.rule_out("fast", need=100, have=211)
    assert not shortages.rule_out("slow", need=100, have=200)
    shortages.add("fast", need=50, had=20)
    assert shortages.rule_out("fast", need=60, have=20)
    assert not shortages.rule_out("fast", need=60, have=200)
    shortages.add("fast", need=40, had=300)
    assert shortages.rule_out("fast", need=60, have=300)


def test_a_plan_passes_over_the_ways_in_which_memory_ran_out() -> None:
    shortages, work = Shortages(), Work(SMALL, 17, encodes=False)
    plans = []
    for _ in range(4):
        plan = plan_memory(WAN_1B, work, CARD, "cuda", shortages=shortages)
        plan.add_to(shortages, "decode", CARD)
        plans.append(plan.mode)
    assert plans == ["resident", "alone-decode", "tiled-decode", "offload"]
    plan.add_to(shortages, "place", CARD)
    last = plan_memory(WAN_1B, work, CARD, "cuda", shortages=shortages)
    assert last.placement == "group-offload"
    still = Work(SMALL, 1, encodes=False)
    assert plan_memory(WAN_1B, still, CARD, "cuda", shortages=shortages).mode == "resident"


@pytest.mark.parametrize("decode", ["float32", "bfloat16"])
def test_what_the_preset_asks_for_is_no_shortage_of_memory(decode: Any) -> None:
    work = Work(SMALL, 17, encodes=False)
    plan = plan_memory(WAN_1B, work, CARD, "cuda", decode)
    assert plan.mode == "resident"
    assert (plan.decoding, plan.half) == ("whole", decode == "bfloat16")
    assert not plan_memory(WAN_1B, work, CARD, "cpu", decode).half


def test_decoding_in_bfloat16_still_goes_down_to_tiles() -> None:
    work = Work(Size(1280, 704), 121, encodes=False)
    for room, mode in ((30.0, "resident"), (22.0, "alone-decode"), (15.6, "offload, tiled-decode")):
        plan = plan_memory(WAN_5B, work, int(room * GB), "cuda", "bfloat16")
        assert (plan.mode, plan.half) == (mode, True)
    large = plan_memory(WAN_1B, Work(LARGE, 33, encodes=False), CARD, "cuda", "bfloat16")
    assert (large.mode, large.half) == ("resident", True)
    assert large.peak_bytes < 15 * GB


@pytest.mark.parametrize("after", ["resident", "offload"])
def test_models_that_travelled_block_by_block_can_be_placed_otherwise(
    after: Any, tiny_models: TinyModels
) -> None:
    source = denoiser.Source(tiny_models["t2v-14B"], "text", dtype="float32")
    cpu = torch.device("cpu")
    with WanDenoiser(source, cpu) as loaded:
        pipeline = loaded._pipeline
        place(pipeline, cpu, "group-offload", "float32")
        assert hooked(pipeline.transformer)
        place(pipeline, cpu, after, "float32")
        assert not hooked(pipeline.transformer)
        take_off(pipeline)
        assert not hasattr(pipeline.transformer, "_hf_hook")


def hooked(transformer: Any) -> set[str]:
    """Names of the hooks below `transformer` that diffusers put there."""
    return {
        name
        for module in transformer.modules()
        for name in getattr(getattr(module, "_diffusers_hook", None), "hooks", {})
    }


def test_frames_in_groups_are_bit_for_bit_what_single_ones_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pipelines.backends import frames

    video = torch.randn(1, 3, 7, 6, 10, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.bfloat16):
        made = video.to(dtype)
        single = [
            ((made[0, :, index].float().clamp(-1, 1) + 1) * 127.5)
            .round()
            .to(torch.uint8)
            .permute(1, 2, 0)
            .numpy()
            for index in range(7)
        ]
        for group in (1, 3 * 3 * 60, 1 << 20):
            monkeypatch.setattr(frames, "_GROUP", group)
            assert same(list(to_frames(made)), single)
            assert all(frame.flags["C_CONTIGUOUS"] for frame in to_frames(made))


def test_how_a_preset_decodes_is_in_the_request_and_a_default_is_not() -> None:
    assert "decode" not in options_of(NAME).identity()
    assert options_of(NAME, decode="bfloat16").identity()["decode"] == "bfloat16"
