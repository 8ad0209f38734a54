"""Every Wan backend makes clips through its session, on a tiny checkpoint of the real classes."""

from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backends.registry import definitions
from pipelines.backends.wan.definitions import DEFINITIONS
from pipelines.errors import BriefError, GenerationError, WeightsError
from pipelines.schema.request import Continuation, FirstFrame, LastFrame, ReferenceImage
from pipelines.schema.sizes import Size
from tests.backends.host import ArrayMedia, MemoryHost, digest
from tests.backends.wan_models import (
    SMALL,
    TinyModels,
    backend_of,
    clip_of,
    freed,
    fresh_host,
    generate,
    host,
    picture,
    request_for,
    same,
    tiny_models,
)

__all__ = ["fresh_host", "host", "tiny_models"]  # fixtures

A, B = digest("a"), digest("b")
PICTURES = ArrayMedia({A: picture(1), B: picture(2)}, {A: [picture(10 + n) for n in range(5)]})
ONE = ArrayMedia({A: picture(1), B: picture(2)}, {A: [picture(10)]})
FIRST = FirstFrame(picture=A)


@pytest.mark.parametrize(
    "name", ["wan-t2v-1.3b", "wan-t2v-14b", "wan-ti2v-5b", "wan-t2v-a14b", "wan-i2v-a14b"]
)
def test_a_clip_has_exactly_the_frames_and_the_size_that_were_asked_for(
    name: str, host: MemoryHost
) -> None:
    inputs = (FIRST,) if "i2v" in name and "ti2v" not in name else ()
    backend = backend_of(name, host)
    wide = Size(64, 32)
    clip = clip_of(backend, request_for(name, 9, inputs, wide), PICTURES)
    frames = list(clip.frames)
    assert clip.memory_mode == "resident"
    assert [frame.shape for frame in frames] == [(32, 64, 3)] * 9
    assert {frame.dtype for frame in frames} == {np.dtype(np.uint8)}
    # One seed gives the same pixels again, another one others.
    requests = [request_for(name, 5, inputs, seed=seed) for seed in (7, 7, 8)]
    first, again, other = (generate(backend, request, PICTURES) for request in requests)
    assert same(first, again)
    assert not same(first, other)


def test_the_demo_model_goes_on_from_a_frame_with_the_guidance_for_it(host: MemoryHost) -> None:
    backend = backend_of("wan-demo", host, "continuation")
    goes_on = (Continuation(chunk=A, frames=1),)
    made = [
        generate(backend, request_for("wan-demo", 5, goes_on, **changes), ONE)
        for changes in ({}, {"guidance": 1.0}, {"guidance": 4.0})
    ]
    assert len(made[0]) == 5
    assert same(made[0], made[1])  # the preset's continued guidance is 1
    assert not same(made[0], made[2])


@pytest.mark.parametrize("name", ["wan-demo", "wan-ti2v-5b"])
def test_a_picture_and_the_last_frame_of_the_chunk_before_are_given_alike(
    name: str, host: MemoryHost
) -> None:
    backend = backend_of(name, host)
    media = ArrayMedia({A: picture(1)}, {A: [picture(1)]})
    begun = generate(backend, request_for(name, 5, [FIRST]), media)
    goes_on = generate(backend, request_for(name, 5, [Continuation(chunk=A, frames=1)]), media)
    assert same(begun, goes_on)
    assert not same(begun, generate(backend, request_for(name, 5)))
    assert not same(
        begun, generate(backend, request_for(name, 5, [FIRST]), ArrayMedia({A: picture(2)}))
    )


def test_ti2v_gives_the_first_frame_s_tokens_a_timestep_of_their_own(host: MemoryHost) -> None:
    backend = backend_of("wan-ti2v-5b", host)
    generate(backend, request_for("wan-ti2v-5b", 5))
    seen: list[torch.Tensor] = []
    transformer = host.loaded["video"][1]._pipeline.transformer
    hook = transformer.register_forward_pre_hook(
        lambda _, __, given: seen.append(given["timestep"]), with_kwargs=True
    )
    generate(backend, request_for("wan-ti2v-5b", 5, [FIRST], guidance=1.0), ONE)
    hook.remove()
    # Two latent frames of one token each: the first is clean, the second is at the step's.
    assert [steps.shape for steps in seen] == [(1, 2)] * 2
    assert all(steps[0, 0] == 0 and steps[0, 1] > 0 for steps in seen)


def test_vace_makes_the_whole_video_if_a_chunk_goes_on(host: MemoryHost) -> None:
    plain = backend_of("wan-t2v-1.3b", host)
    extended = backend_of("wan-t2v-1.3b", host, "continuation")
    fresh = request_for("wan-t2v-1.3b", 9)
    assert not same(generate(plain, fresh), generate(extended, fresh))
    assert [model.name for model in plain.models(definitions()["wan-demo"].presets[0].options)] == [
        "Tiny t2v-1.3B"
    ]
    named = extended.models(definitions()["wan-demo"].presets[0].options)
    assert [model.name for model in named] == ["Tiny vace-1.3B", "Tiny t2v-1.3B"]
    assert set(named[1].components) == {"text_encoder", "tokenizer"}


@pytest.mark.parametrize(
    ("inputs", "known"),
    [
        ([Continuation(chunk=A, frames=5)], {n: 10 + n for n in range(5)}),
        ([FIRST], {0: 1}),
        ([LastFrame(picture=B)], {8: 2}),
        ([FIRST, LastFrame(picture=B)], {0: 1, 8: 2}),
        ([ReferenceImage(picture=A), ReferenceImage(picture=B)], {}),
        ([], {}),
    ],
    ids=["continuation", "first", "last", "first-and-last", "references", "nothing"],
)
def test_vace_is_given_the_known_frames_in_their_places_and_masks_that_keep_them(
    inputs: list[Any], known: dict[int, int], host: MemoryHost
) -> None:
    backend = backend_of("wan-t2v-1.3b", host, "continuation")
    generate(backend, request_for("wan-t2v-1.3b", 5))
    pipeline = host.loaded["video"][1]._pipeline
    given: list[dict[str, Any]] = []
    whole = type(pipeline).__call__

    class Watched(type(pipeline)):  # type: ignore[misc]
        def __call__(self, **values: Any) -> Any:
            given.append(values)
            return whole(self, **values)

    usual, pipeline.__class__ = type(pipeline), Watched
    frames = generate(backend, request_for("wan-t2v-1.3b", 9, inputs), PICTURES)
    pipeline.__class__ = usual
    assert [frame.shape for frame in frames] == [(32, 32, 3)] * 9
    (values,) = given
    video, mask = ([np.asarray(item) for item in values[name]] for name in ("video", "mask"))
    assert len(video) == len(mask) == values["num_frames"] == 9
    for index in range(9):
        expected = picture(known[index]) if index in known else np.full((32, 32, 3), 128)
        assert np.array_equal(video[index], expected)
        assert set(mask[index].flat) == {0 if index in known else 255}
    references = values["reference_images"] or []
    assert len(references) == sum(isinstance(item, ReferenceImage) for item in inputs)


def test_vace_s_references_decide_pixels_and_are_no_frames_of_the_clip(host: MemoryHost) -> None:
    backend = backend_of("wan-t2v-1.3b", host, "reference_image")
    made = [
        generate(backend, request_for("wan-t2v-1.3b", 5, inputs), PICTURES)
        for inputs in ([], [ReferenceImage(picture=A)], [ReferenceImage(picture=B)])
    ]
    assert [len(frames) for frames in made] == [5, 5, 5]
    assert not same(made[0], made[1])
    assert not same(made[1], made[2])


def test_i2v_heeds_first_and_last_picture_and_goes_on(host: MemoryHost) -> None:
    backend = backend_of("wan-i2v-a14b", host)
    last = LastFrame(picture=B)
    made = [
        generate(backend, request_for("wan-i2v-a14b", 5, inputs), ONE)
        for inputs in ([FIRST], [FIRST, last], [Continuation(chunk=A, frames=1)])
    ]
    assert not same(made[0], made[1])
    assert not same(made[0], made[2])
    with pytest.raises(BriefError, match="makes nothing without first_frame; add it"):
        generate(backend, request_for("wan-i2v-a14b", 5))


@pytest.mark.parametrize("name", ["wan-t2v-a14b", "wan-i2v-a14b"])
def test_a14b_runs_both_transformers_in_bfloat16_and_the_vae_in_float32(
    name: str, tiny_models: TinyModels, tmp_path: Any
) -> None:
    with freed(MemoryHost(tmp_path, tiny_models, dtype="bfloat16")) as host:
        backend = backend_of(name, host)
        inputs = [FIRST] if "i2v" in name else []
        # With shift 3 the second of two steps is below both boundaries, 0.875 and 0.9.
        first = generate(backend, request_for(name, 5, inputs, flow_shift=3.0), PICTURES)
        pipeline = host.loaded["video"][1]._pipeline
        assert pipeline.transformer.dtype == pipeline.transformer_2.dtype == torch.bfloat16
        assert pipeline.vae.dtype == torch.float32
        ran: list[str] = []
        for part in ("transformer", "transformer_2"):
            module = getattr(pipeline, part)
            module.register_forward_pre_hook(lambda *_, part=part: ran.append(part))
        changed = request_for(name, 5, inputs, flow_shift=3.0, guidance_2=1.5)
        again = generate(backend, changed, PICTURES)
        # With guidance each step runs the prompt and the negative one.
        assert ran == ["transformer"] * 2 + ["transformer_2"] * 2
        assert not same(first, again)


def test_the_encoder_leaves_before_the_denoiser_comes_and_texts_are_encoded_once(
    fresh_host: MemoryHost,
) -> None:
    fresh_host.free = 1_000_000  # so that the tiny encoder is not small
    backend = backend_of("wan-t2v-14b", fresh_host)
    generate(backend, request_for("wan-t2v-14b"))
    assert fresh_host.history == ["load encoder", "free encoder", "load video"]
    generate(backend, request_for("wan-t2v-14b", seed=8))
    assert fresh_host.history == ["load encoder", "free encoder", "load video"]


def test_a_small_encoder_and_the_denoiser_stay_until_the_host_frees_them(
    fresh_host: MemoryHost,
) -> None:
    generate(backend_of("wan-t2v-14b", fresh_host), request_for("wan-t2v-14b"))
    denoiser = fresh_host.loaded["video"][1]
    assert fresh_host.history == ["load encoder", "load video"]
    fresh_host.close()
    assert fresh_host.history[2:] == ["free encoder", "free video"]
    assert denoiser._pipeline is None


@pytest.mark.parametrize("stops_in", ["the text", "a step"])
def test_a_session_that_is_stopped_leaves_only_what_the_host_can_free(
    stops_in: str, fresh_host: MemoryHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        pass

    def stop(*_: object) -> None:
        raise Stopped

    fresh_host.free = 1_000_000
    backend = backend_of("wan-t2v-14b", fresh_host)
    request = request_for("wan-t2v-14b")
    if stops_in == "the text":
        encoder = "pipelines.backends.wan.text_encoder.TextEncoder.encode"
        monkeypatch.setattr(encoder, stop)
    with backend.open() as session, pytest.raises(Stopped):
        session.generate(request, ArrayMedia(), stop)
    assert "encoder" not in fresh_host.loaded
    fresh_host.close()
    assert fresh_host.loaded == {}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"frames": 6}, "makes 4k[+]1 from 1 to 81 frames a clip, not 6; the nearest are 5 and 9"),
        ({"size": Size(40, 32)}, r"multiples of 16, not 40\*32; choose one of 64"),
        ({"fps": 24}, "makes 16 frames a second, not 24; ask for 16"),
        (
            {"inputs": (FIRST,)},
            "takes text, not first_frame; leave it out or choose another",
        ),
        ({"options": {"steps": 0, "guidance": 5, "flow_shift": 3}}, "steps 0 is outside 1 to 100"),
        ({"options": {"guidance": 5, "flow_shift": 3}}, "steps .*field required"),
    ],
    ids=["frames", "size", "fps", "input", "steps", "missing"],
)
def test_a_request_that_does_not_fit_is_refused_before_anything_loads(
    changes: dict[str, Any], sentence: str, fresh_host: MemoryHost
) -> None:
    request = request_for("wan-t2v-14b").model_copy(update=changes)
    with backend_of("wan-t2v-14b", fresh_host).open() as session:
        with pytest.raises(BriefError, match=sentence):
            session.prepare([request])
        with pytest.raises(BriefError, match=sentence):
            session.generate(request, PICTURES, lambda *_: None)
    assert fresh_host.history == []


@pytest.mark.parametrize(
    ("inputs", "media", "error", "sentence"),
    [
        ([FIRST, Continuation(chunk=A, frames=1)], ONE, BriefError, "leave one of them out"),
        ([Continuation(chunk=A, frames=5)], ONE, GenerationError, "gives 1 frames instead of 5"),
        ([FIRST], ArrayMedia(), BriefError, "upload the picture again"),
        (
            [Continuation(chunk=A, frames=1)],
            ArrayMedia(overlaps={A: [picture(1, Size(64, 32))]}),
            GenerationError,
            r"64\*32 pixels in a clip of 32\*32",
        ),
        (
            [Continuation(chunk=A, frames=5)],
            PICTURES,
            BriefError,
            "5 of 5 frames are given, so nothing is left to make; ask for 9",
        ),
    ],
    ids=["both", "too-few", "gone", "size", "nothing-new"],
)
def test_inputs_that_contradict_the_request_are_refused_before_anything_loads(
    inputs: list[Any],
    media: ArrayMedia,
    error: type[Exception],
    sentence: str,
    fresh_host: MemoryHost,
) -> None:
    backend = backend_of("wan-t2v-1.3b", fresh_host, "continuation")
    with backend.open() as session, pytest.raises(error, match=sentence):
        session.generate(request_for("wan-t2v-1.3b", 5, inputs), media, lambda *_: None)
    assert fresh_host.history == []


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda item: item.name)
def test_a_missing_model_is_named_with_the_command_that_installs_it(
    definition: Any, tmp_path: Any
) -> None:
    (model,) = definition.models
    with pytest.raises(WeightsError, match=f"reelwright models download {model}"):
        definition.create(MemoryHost(tmp_path, {}), frozenset({"text"}))


@pytest.mark.parametrize("part", ["transformer_2", "text_encoder", "vae", "scheduler"])
def test_a_missing_component_is_named(part: str, tiny_models: TinyModels, tmp_path: Any) -> None:
    import shutil

    shutil.copytree(tiny_models["t2v-A14B"], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / part)
    host = MemoryHost(tmp_path, {"t2v-A14B": tmp_path / "copy"})
    with pytest.raises(WeightsError, match=f"holds no {part}.*models download t2v-A14B"):
        backend_of("wan-t2v-a14b", host)


@pytest.mark.parametrize(
    ("name", "model", "other", "sentence"),
    [
        ("wan-i2v-a14b", "i2v-A14B", "t2v-A14B", "16 input channels.*has 36"),
        ("wan-t2v-14b", "t2v-14B", "ti2v-5B", "48 input channels.*has 16"),
        ("wan-ti2v-5b", "ti2v-5B", "t2v-14B", "sets no expand_timesteps"),
    ],
)
def test_another_model_under_the_name_is_refused(
    name: str, model: str, other: str, sentence: str, tiny_models: TinyModels, tmp_path: Any
) -> None:
    with pytest.raises(WeightsError, match=sentence):
        backend_of(name, MemoryHost(tmp_path, {model: tiny_models[other]}))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda item: item.name)
def test_presets_fit_the_capabilities_and_have_a_rate(definition: Any) -> None:
    can = definition.capabilities
    assert definition.presets
    assert set(definition.rates) == {"cpu", "cuda"}
    assert all(
        not (size.width % can.side_step or size.height % can.side_step) for size in can.sizes
    )
    for preset in definition.presets:
        assert preset.backend == definition.name
        assert preset.size in can.sizes
        assert can.is_length(preset.frames)
        assert preset.title
        assert ("step-distilled" in preset.title) == ("_turbo" in preset.name)
        assert bool(preset.options.lora) == ("_turbo" in preset.name)
    assert can.max_frames == {"wan-demo": 77, "wan-ti2v-5b": 121}.get(definition.name, 81)


def test_effort_grows_with_pixels_frames_and_passes_and_loads_nothing(
    fresh_host: MemoryHost,
) -> None:
    backend = backend_of("wan-t2v-14b", fresh_host)
    one = backend.effort([request_for("wan-t2v-14b", 5)])
    assert one.work == pytest.approx(SMALL.megapixels * 5 * 2)
    assert backend.effort([request_for("wan-t2v-14b", 5)] * 3).work == pytest.approx(3 * one.work)
    unguided = backend.effort([request_for("wan-t2v-14b", 5, guidance=1.0)])
    assert unguided.work == pytest.approx(one.work / 2)
    larger = backend.effort([request_for("wan-t2v-14b", 9, size=Size(64, 64))])
    assert larger.memory_bytes > one.memory_bytes > 0
    assert fresh_host.history == []
