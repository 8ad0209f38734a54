"""The upscaler within the memory that there is: fewer frames at once, then tiles; and overflows."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backends.base import Frame
from pipelines.errors import UpscaleError
from pipelines.schema.sizes import Size
from pipelines.upscaling.ladder import Way, ways_for, workspace_bytes
from pipelines.upscaling.network import RealEsrgan, UpscaleOptions
from tests.pipelines.test_upscaling import CPU, compact, difference
from tests.support.pictures import moving_frames
from tests.support.published import film_of, manifest_of

__all__ = ["compact"]  # a fixture

SIZE = Size(16, 16)
FRAMES = list(moving_frames(SIZE, 7))
BRIGHT = 255
HD = Size(1280, 720)
GB = 10**9


class Scarce(torch.nn.Module):
    """A network that runs out of memory above a number of frames at once, or a side of pixels."""

    def __init__(self, net: Any, frames: int, side: int = 1000) -> None:
        super().__init__()
        self.net, self.frames, self.side = net, frames, side
        self.batches: list[int] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(pixels))
        if len(pixels) > self.frames or max(pixels.shape[2:]) > self.side:
            raise torch.OutOfMemoryError("CUDA out of memory")
        enlarged: torch.Tensor = self.net(pixels)
        return enlarged


class Overflowing(torch.nn.Module):
    """A network that overflows in `dtypes` where a frame is bright."""

    def __init__(self, net: Any, *dtypes: torch.dtype) -> None:
        super().__init__()
        self.net, self.dtypes = net, dtypes

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        enlarged: torch.Tensor = self.net(pixels).clone()
        if pixels.dtype in self.dtypes:
            enlarged[pixels.amax(dim=(1, 2, 3)) == 1] = torch.inf
        return enlarged


@pytest.fixture
def net(compact: Path) -> Iterator[RealEsrgan]:
    with RealEsrgan(compact, CPU, UpscaleOptions(batch=4)) as network:
        yield network


def bright(*numbers: int) -> list[Frame]:
    """The frames, those of these numbers with a bright pixel."""
    frames = [np.minimum(frame, BRIGHT - 1) for frame in FRAMES]
    for number in numbers:
        frames[number] = frames[number].copy()
        frames[number][0, 0] = BRIGHT
    return frames


def test_fewer_frames_at_once_come_before_tiles(net: RealEsrgan) -> None:
    plain = list(net.upscale(FRAMES, 4))
    scarce = net._net = Scarce(net._net, frames=1)
    made = list(net.upscale(FRAMES, 4))
    assert scarce.batches == [4, 2, *[1] * 7]
    assert len(made) == len(FRAMES)
    assert difference(made, plain) <= 1
    assert net.memory == "whole"


def test_a_part_of_the_steps_is_taken_and_the_order_kept(net: RealEsrgan) -> None:
    plain = list(net.upscale(FRAMES, 4))
    scarce = net._net = Scarce(net._net, frames=2)
    assert difference(list(net.upscale(FRAMES, 4)), plain) <= 1
    assert scarce.batches == [4, 2, 2, 2, 1]


def test_the_next_segment_begins_with_all_frames_again(net: RealEsrgan) -> None:
    scarce = net._net = Scarce(net._net, frames=1)
    list(net.upscale(FRAMES, 4))
    scarce.frames, scarce.batches = 4, []
    list(net.upscale(FRAMES, 4))
    assert scarce.batches == [4, 3]


def test_tiles_of_one_segment_do_not_bind_the_next(net: RealEsrgan) -> None:
    large = [np.tile(FRAMES[0], (10, 10, 1))]
    scarce = net._net = Scarce(net._net, frames=1, side=150)
    list(net.upscale(large, 4))
    assert net.memory == "tiled"
    scarce.side = 1000
    list(net.upscale(large, 4))
    assert net.memory == "whole"


@pytest.mark.parametrize(
    ("free", "batch"),
    [(17 * GB, 4), (16 * GB, 2), (8 * GB, 1), (0, 1)],
)
def test_the_batch_is_chosen_from_the_free_memory_before_the_start(free: int, batch: int) -> None:
    """720p in float16: 15.1 GB for four frames, and headroom."""
    first = ways_for(HD, Way(4), 4, 2, free=free)[0]
    assert first == Way(batch)
    assert first.workspace(HD, 4, 2) <= max(free, 1.1 * workspace_bytes(HD, 1, 4))


def test_the_network_asks_for_the_free_memory_at_each_segment(compact: Path) -> None:
    one = Way(1).workspace(SIZE, 4, 4)
    free = [4 * one, one]
    with RealEsrgan(compact, CPU, UpscaleOptions(batch=4), lambda: free.pop(0)) as net:
        watched = net._net = Scarce(net._net, frames=4)
        list(net.upscale(FRAMES[:4], 4))
        list(net.upscale(FRAMES[:4], 4))
    assert watched.batches == [4, 1, 1, 1, 1]


def test_the_steps_end_with_the_smallest_tiles_of_one_frame() -> None:
    assert ways_for(HD, Way(4), 4, 2, free=100 * GB) == [
        *(Way(4), Way(2), Way(1)),
        *(Way(1, 512), Way(1, 256), Way(1, 128)),
    ]
    assert ways_for(HD, Way(3, 256), 4, 2, free=100 * GB) == [
        *(Way(3, 256), Way(1, 256)),
        Way(1, 128),
    ]
    assert ways_for(Size(64, 64), Way(1), 4, 2, free=0) == [Way(1)]


def test_without_memory_for_anything_the_error_says_what_to_do(net: RealEsrgan) -> None:
    net._net = Scarce(net._net, frames=0)
    with pytest.raises(UpscaleError, match=r"upscale by less, or free memory") as failure:
        list(net.upscale(FRAMES, 4))
    assert isinstance(failure.value.__cause__, torch.OutOfMemoryError)


def half(compact: Path, *overflows: torch.dtype, batch: int = 2) -> RealEsrgan:
    """The network in float16, overflowing in these numbers."""
    net = RealEsrgan(compact, CPU, UpscaleOptions(dtype=torch.float16, batch=batch))
    net._net = Overflowing(net._net, *overflows)
    return net


def test_frames_that_overflow_in_float16_are_made_again_in_wider_numbers(compact: Path) -> None:
    frames = bright(2)
    with RealEsrgan(compact, CPU, UpscaleOptions()) as exact:
        plain = list(exact.upscale(frames, 4))
    with half(compact, torch.float16) as net:
        made = list(net.upscale(frames, 4))
        assert net.memory == "whole, 2 frames in float32"
        list(net.upscale(bright(), 4))
        assert net.memory == "whole"
    assert len(made) == len(frames)
    assert difference(made, plain) <= 2


def test_the_weights_of_the_other_frames_stay_as_they_were(compact: Path) -> None:
    with half(compact, torch.float16) as net:
        before = copy.deepcopy(net._net.state_dict())
        list(net.upscale(bright(0), 4))
        after = net._net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_frames_that_are_finite_in_no_numbers_fail_the_segment(compact: Path) -> None:
    with (
        half(compact, torch.float16, torch.float32) as net,
        pytest.raises(UpscaleError, match="NaN or infinite numbers in float32 too"),
    ):
        list(net.upscale(bright(3), 4))


def test_float32_has_nothing_wider(compact: Path) -> None:
    with RealEsrgan(compact, CPU, UpscaleOptions()) as net:
        overflowing = net._net = Overflowing(net._net, torch.float32)
        with pytest.raises(UpscaleError, match="look at the device"):
            list(net.upscale(bright(0), 4))
        assert net._net is overflowing
        assert net._wide is None


@pytest.mark.parametrize(("supported", "wider"), [(True, "bfloat16"), (False, "float32")])
def test_a_card_that_has_bfloat16_takes_that(
    compact: Path, monkeypatch: pytest.MonkeyPatch, supported: bool, wider: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    with half(compact) as net:
        net._device = torch.device("cuda")
        assert net._wider == getattr(torch, wider)


def test_the_manifest_says_which_frames_were_made_again() -> None:
    from pipelines.documents.brief import Brief

    brief = Brief(prompt="a red fox", seconds=4, upscale=2)
    film = film_of(brief)
    modes = ("tiled, 1 frame in bfloat16", "whole, 4 frames in float32")
    segments = [
        segment.model_copy(update={"memory_mode": mode})
        for segment, mode in zip(film.segments, modes, strict=False)
    ]
    film = film.model_copy(update={"segments": tuple(segments)})
    assert manifest_of(brief, film).warnings[-3:] == (
        "segment 1: memory ran short, upscaled in tiles",
        "segment 1: numbers overflowed in 16 bits, it has 1 frame in bfloat16",
        "segment 2: numbers overflowed in 16 bits, it has 4 frames in float32",
    )
