"""LTX-2 on a tiny checkpoint: frames and sound in exact lengths."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.backends.base import ENCODED_ON_CPU
from pipelines.backends.ltx2 import model, text_encoder
from pipelines.backends.ltx2.backend import Ltx2Backend
from pipelines.backends.ltx2.definitions import LTX2, MODEL
from pipelines.backends.ltx2.memory_plan import Footprint
from pipelines.backends.ltx2.model import Ltx2Model
from pipelines.backends.ltx2.options import Ltx2Options
from pipelines.backends.ltx2.sound import as_long_as_the_picture
from pipelines.backends.ltx2.text_encoder import MAX_TOKENS, TextEncoder
from pipelines.errors import BadFramesError, BriefError, GenerationError, WeightsError
from pipelines.schema.keys import Digest
from pipelines.schema.request import ClipRequest, FirstFrame, LastFrame
from pipelines.schema.sizes import Size
from tests.backends.clips import failing, files_outside_the_identity, generate
from tests.backends.host import ArrayMedia, MemoryHost, digest
from tests.tiny.ltx2 import SOUND_RATE, write_ltx2

PICTURE = FirstFrame(picture=digest("a picture"))
OTHER_PICTURE = FirstFrame(picture=digest("another"))
MEDIA = ArrayMedia(
    {
        PICTURE.picture: np.full((32, 64, 3), 200, np.uint8),
        OTHER_PICTURE.picture: np.zeros((32, 64, 3), np.uint8),
    }
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ltx2")
    write_ltx2(folder)
    return folder


def host_of(folder: Path, **values: Any) -> MemoryHost:
    return MemoryHost(folder / "cache", {MODEL: folder}, **values)


@pytest.fixture(scope="module")
def host(checkpoint: Path) -> MemoryHost:
    """Loaded once a module: every test may use what another one loaded."""
    return host_of(checkpoint)


def backend_of(host: MemoryHost) -> Ltx2Backend:
    backend = LTX2.create(host, frozenset({"text"}))
    assert isinstance(backend, Ltx2Backend)
    return backend


def request_of(frames: int = 9, seed: int = 1, **options: Any) -> ClipRequest:
    return ClipRequest(
        prompt="A red circle",
        negative="",
        size=Size(64, 32),
        fps=24,
        frames=frames,
        seed=seed,
        options=Ltx2Options(**options).model_dump(),
    )


@pytest.mark.parametrize("count", [9, 17])
def test_frames_and_stereo_sound_have_exactly_the_length_that_was_asked_for(
    count: int, host: MemoryHost
) -> None:
    clip, frames, steps = generate(backend_of(host), request_of(count))
    assert frames.shape == (count, 32, 64, 3)
    assert steps == [(step, 8) for step in range(1, 9)]
    assert clip.sound is not None
    assert clip.sound.rate == SOUND_RATE
    assert clip.sound.samples.shape == (count * SOUND_RATE // 24, 2)
    assert clip.sound.samples.dtype == np.float32
    assert np.isfinite(clip.sound.samples).all()
    assert np.abs(clip.sound.samples).max() <= 1
    assert clip.sound.samples.any()


def test_the_same_seed_gives_the_same_pixels_and_sound(host: MemoryHost) -> None:
    backend = backend_of(host)
    (one, first, _), (two, second, _) = (generate(backend, request_of()) for _ in range(2))
    assert np.array_equal(first, second)
    assert one.sound is not None
    assert two.sound is not None
    assert np.array_equal(one.sound.samples, two.sound.samples)
    assert not np.array_equal(generate(backend, request_of(seed=2))[1], first)


def test_text_first_frame_and_guidance_change_the_pixels(host: MemoryHost) -> None:
    backend = backend_of(host)
    base = request_of()
    requests = [
        base,
        base.model_copy(update={"prompt": "A blue square"}),
        base.model_copy(update={"inputs": (PICTURE,)}),
        base.model_copy(update={"inputs": (OTHER_PICTURE,)}),
        request_of(guidance=3.0),
        request_of(guidance=3.0).model_copy(update={"negative": "blurry"}),
    ]
    made = [generate(backend, request, MEDIA)[1].tobytes() for request in requests]
    assert len(set(made)) == len(requests)


def test_the_text_encoder_goes_before_the_transformer_comes(checkpoint: Path) -> None:
    host = host_of(checkpoint)
    requests = [request_of().model_copy(update={"prompt": text}) for text in ("one", "two")]
    with backend_of(host).open() as session:
        session.prepare(requests)
        assert host.history == ["load encoder", "free encoder"]
        for request in requests:
            session.generate(request, MEDIA, lambda *_: None)
    assert host.history == ["load encoder", "free encoder", "load video"]


def test_a_text_without_its_padding_makes_the_same_clip(host: MemoryHost, checkpoint: Path) -> None:
    """The padding of the encoder is thrown away and made of zeros: it must not count."""
    from tests.tiny.running import LTX2 as SETTINGS
    from tests.tiny.running import call, load

    encoder = TextEncoder(checkpoint, torch.device("cpu"), torch.float32, streamed=False)
    encoded = encoder.encode(["A red circle"])["A red circle"]
    encoder.close()
    assert encoded.tokens.shape[1] < 20
    tokens, mask = encoded.padded(torch.device("cpu"))
    assert tokens.shape[1] == mask.shape[1] == MAX_TOKENS
    pipeline = load("LTX2Pipeline", checkpoint, dtype=torch.float32)
    whole = call(pipeline, num_frames=9, max_sequence_length=MAX_TOKENS, **SETTINGS)
    cut = call(
        pipeline,
        prompt=None,
        prompt_embeds=tokens,
        prompt_attention_mask=mask,
        num_frames=9,
        **SETTINGS,
    )
    assert np.array_equal(whole.frames[0], cut.frames[0])
    assert torch.equal(whole.audio, cut.audio)


@pytest.mark.slow
def test_bfloat16_makes_a_finite_clip(checkpoint: Path) -> None:
    clip, frames, _ = generate(backend_of(host_of(checkpoint, dtype="bfloat16")), request_of())
    assert frames.shape[0] == 9
    assert clip.sound is not None
    assert np.isfinite(clip.sound.samples).all()


@pytest.mark.parametrize("weights", ["full", pytest.param("fp8", marks=pytest.mark.slow)])
def test_blocks_are_streamed_where_they_do_not_fit_and_make_the_same_clip(
    weights: str, host: MemoryHost, checkpoint: Path
) -> None:
    small = host_of(checkpoint, free=1000)
    clip, frames, _ = generate(backend_of(small), request_of(weights=weights))
    assert clip.memory_mode == "stream"
    whole, expected, _ = generate(backend_of(host), request_of(weights=weights))
    assert whole.memory_mode == "resident"
    assert np.array_equal(frames, expected)
    if weights == "fp8":
        assert not np.array_equal(frames, generate(backend_of(host), request_of())[1])


def test_without_memory_it_decodes_in_tiles_and_then_says_what_helps(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(host_of(checkpoint))
    whole = generate(backend, request_of())[1]
    with failing(monkeypatch, Ltx2Model, "_decode", MemoryError()):
        clip, frames, _ = generate(backend, request_of())
    assert clip.memory_mode == "tiled-decode"
    assert np.array_equal(frames, whole)  # smaller than one tile
    with (
        failing(monkeypatch, Ltx2Model, "_denoise", MemoryError()),
        pytest.raises(GenerationError, match="choose a smaller size or fewer frames"),
    ):
        generate(backend, request_of())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 16}, r"8k\+1 from 9 to 121 frames a clip, not 16; the nearest are 9 and 17"),
        ({"frames": 129}, "frames a clip, not 129"),
        ({"fps": 16}, "makes 24 frames a second, not 16"),
        ({"size": Size(48, 64)}, r"multiples of 32, not 48\*64; choose one of 1280\*704"),
        ({"options": {"guidance": 9}}, "guidance=9: .* leave them out"),
        ({"inputs": (LastFrame(picture=Digest("0" * 64)),)}, "takes first_frame, text, not last_"),
    ],
)
def test_what_it_cannot_make_is_refused_before_anything_loads(
    changes: Mapping[str, object], message: str, checkpoint: Path
) -> None:
    host = host_of(checkpoint)
    request = request_of().model_copy(update=changes)
    with backend_of(host).open() as session, pytest.raises(BriefError, match=message):
        session.prepare([request])
    assert host.history == []


def test_every_component_is_in_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    before = backend_of(host_of(copy)).identity(Ltx2Options())
    used = {path.name for path in checkpoint.iterdir() if path.is_dir()} - {"duration_head"}
    assert used | {"pipeline", "dtype", "recipe"} == set(before)
    for part in (*sorted(used), "duration_head", "pipeline"):
        file = copy / "model_index.json" if part == "pipeline" else min((copy / part).iterdir())
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        after = backend_of(host_of(copy)).identity(Ltx2Options())
        changed = {key for key in after if after[key] != before[key]}
        assert changed == ({part} if part != "duration_head" else set())  # lengths are given
        file.write_bytes(content)
    smaller = backend_of(host_of(copy)).identity(Ltx2Options(weights="fp8"))
    assert {key for key in before if smaller[key] != before[key]} == {"dtype"}


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "vocoder", "connectors"])
def test_a_folder_without_a_component_is_refused_with_a_remedy(
    part: str, checkpoint: Path, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / part)
    with pytest.raises(WeightsError, match=f"holds no {part}, .* run: reelwright models download"):
        backend_of(host_of(tmp_path / "copy"))


@pytest.mark.parametrize(
    ("part", "what"), [("transformer", "LTX-2"), ("text_encoder", "the text encoder")]
)
def test_files_that_do_not_load_are_a_weights_error(
    part: str, what: str, checkpoint: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    backend = backend_of(host_of(copy))
    file = min((copy / part).glob("*.safetensors"))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 100])
    with pytest.raises(WeightsError, match=f"{what} in .* does not load: .* models verify"):
        generate(backend, request_of())


@pytest.mark.parametrize(
    ("part", "what"), [("vae", "frames"), ("vocoder", "sound samples"), ("transformer", "latents")]
)
def test_numbers_that_are_none_are_thrown_away(
    part: str, what: str, checkpoint: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(checkpoint, tmp_path / "copy")
    spoil(tmp_path / "copy" / part)
    with pytest.raises(BadFramesError, match=f"{what} hold NaN"):
        generate(backend_of(host_of(tmp_path / "copy")), request_of())


@pytest.fixture
def spoil() -> Callable[[Path], None]:
    """Makes all weights of a folder NaN, but not the statistics of its latents."""

    def write(folder: Path) -> None:
        for file in folder.glob("*.safetensors"):
            tensors = load_file(file)
            spoiled = {
                name: tensor if "latents_" in name else tensor.fill_(float("nan"))
                for name, tensor in tensors.items()
            }
            save_file(spoiled, file, metadata={"format": "pt"})

    return write


def test_sound_is_filled_with_silence_or_cut_but_never_far_off() -> None:
    ones = torch.ones(2, 1000, dtype=torch.bfloat16)
    longer = as_long_as_the_picture(ones, 1000, frames=25, fps=24)
    assert longer.samples.shape == (1042, 2)  # 1.0417 s
    assert (longer.samples[:1000] == 1).all()
    assert (longer.samples[1000:] == 0).all()
    assert as_long_as_the_picture(ones, 1000, frames=23, fps=24).samples.shape == (958, 2)
    assert (as_long_as_the_picture(ones * 3, 1000, frames=24, fps=24).samples == 1).all()
    with pytest.raises(BadFramesError, match=r"made 1\.00 s of sound for 2\.00 s of picture"):
        as_long_as_the_picture(ones, 1000, frames=48, fps=24)


def test_effort_counts_pixels_and_passes_and_names_the_licence(host: MemoryHost) -> None:
    backend = backend_of(host)
    one, two = (backend.effort([request_of(guidance=value)]) for value in (1.0, 2.0))
    assert two.work == pytest.approx(2 * one.work)
    assert one.memory_bytes > 6_000_000_000
    (used,) = backend.models(Ltx2Options())
    assert (used.name, used.licence) == (MODEL, "Apache-2.0")


def test_presets_are_lengths_and_sizes_that_it_can_make() -> None:
    for preset in LTX2.presets:
        assert preset.backend == LTX2.name
        assert preset.size in LTX2.capabilities.sizes
        assert LTX2.capabilities.is_length(preset.frames)


def test_no_file_that_it_loads_is_outside_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns("cache"))
    outside = files_outside_the_identity(
        copy, lambda: backend_of(host_of(copy)).identity(Ltx2Options())
    )
    assert {name.split("/")[0] for name in outside} == {"duration_head"}  # lengths are given
    shutil.rmtree(copy / "duration_head")
    assert generate(backend_of(host_of(copy)), request_of())[1].shape[0] == 9


def test_each_clip_begins_in_the_mode_that_its_plan_allows(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = host_of(checkpoint)
    backend = backend_of(host)
    short, long = request_of(9), request_of(17)
    whole = generate(backend, short)[1]
    with failing(monkeypatch, Ltx2Model, "_decode", MemoryError()):
        assert generate(backend, long)[0].memory_mode == "tiled-decode"
    assert generate(backend, short)[0].memory_mode == "resident"
    assert generate(backend, long)[0].memory_mode == "tiled-decode"
    host.free = 1000
    assert generate(backend, short)[0].memory_mode == "stream"
    host.free = 8_000_000_000
    clip, frames, _ = generate(backend, short)
    assert clip.memory_mode == "resident"
    assert np.array_equal(frames, whole)
    assert host.history.count("load video") == 1


def test_the_released_model_is_planned_for_its_clip_and_the_memory() -> None:
    """In bytes from its parameters: 19 GB of transformer in 8 bits, 5 GB beside it."""
    footprint = Footprint(transformer=19 * 10**9, block=4 * 10**8, beside=5 * 10**9)
    largest = request_of(121).model_copy(update={"size": Size(1280, 704)})
    small = largest.model_copy(update={"size": Size(512, 512), "frames": 49})
    modes = {
        budget: [footprint.mode_for(request, budget * 10**9) for request in (largest, small)]
        for budget in (22, 31, 78)
    }
    assert modes == {
        22: ["stream", "stream"],
        31: ["tiled-decode", "resident"],
        78: ["resident", "resident"],
    }
    assert footprint.peak("stream", largest) < 22 * 10**9


def test_without_room_when_it_loads_it_is_placed_with_less_or_says_what_helps(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = torch.OutOfMemoryError("CUDA out of memory")
    host = host_of(checkpoint)
    with failing(monkeypatch, Ltx2Model, "_enter", short):
        assert generate(backend_of(host), request_of())[0].memory_mode == "tiled-decode"
    host.release("video")
    with (
        failing(monkeypatch, Ltx2Model, "_enter", short, times=2),
        pytest.raises(GenerationError, match="choose a smaller size or fewer frames"),
    ):
        generate(backend_of(host), request_of())
    with (
        failing(monkeypatch, model, "_load", RuntimeError("can't allocate memory")),
        pytest.raises(GenerationError, match="the host's memory ran out while LTX-2 in"),
    ):
        generate(backend_of(host), request_of())


def test_a_text_encoder_without_room_comes_in_layers_and_then_works_on_the_cpu(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, bool]] = []

    class Scarce(TextEncoder):
        def __init__(
            self, folder: Path, device: torch.device, dtype: torch.dtype, streamed: bool
        ) -> None:
            tried.append((device.type, streamed))
            if device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(folder, device, dtype, streamed)

    monkeypatch.setattr(text_encoder, "TextEncoder", Scarce)
    host = host_of(checkpoint)
    host.device = "cuda"
    encoded = backend_of(host).encode(["a fox"])
    assert encoded["a fox"].tokens.shape[0] == 1
    assert tried == [("cuda", False), ("cuda", True), ("cpu", False)]
    assert (host.loaded, host.notices) == ({}, [ENCODED_ON_CPU])
