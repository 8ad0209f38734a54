"""What a clip takes is told from its steps, for every backend by the same interface."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.backends.base import Frame, GeneratedClip, InputMedia, StepReport
from pipelines.backends.checks import check_request
from pipelines.backends.measuring import (
    ClipCost,
    GreyMedia,
    measure_clip,
    steps_of,
    trial_request,
)
from pipelines.backends.registry import definitions
from pipelines.backends.wan.random_weights import (
    UMT5_XXL,
    VACE_1_3B,
    WAN_1_3B,
    WanShape,
    components_of,
)
from pipelines.schema.computation import Computation
from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest
from pipelines.schema.sizes import Size

SIZE = Size(32, 16)


class SteppedClock:
    """Goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeSession:
    """Makes grey frames; each step and each frame takes the seconds that it is given."""

    def __init__(self, clock: SteppedClock, steps: Sequence[float], frame: float) -> None:
        self._clock, self._steps, self._frame = clock, steps, frame
        self.fails_after = 0

    def prepare(self, requests: Sequence[ClipRequest]) -> None:
        """Nothing to do."""

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        for number, seconds in enumerate(self._steps[: self.fails_after], start=1):
            self._clock.now += seconds
            on_step(number, len(self._steps))
        for number, seconds in enumerate(self._steps, start=1):
            self._clock.now += seconds
            on_step(number, len(self._steps))
        computation = Computation(attention="native", compiled=True)
        return GeneratedClip(self._frames(request.frames), "resident", computation=computation)

    def _frames(self, count: int) -> Iterator[Frame]:
        for _ in range(count):
            self._clock.now += self._frame
            yield np.zeros((SIZE.height, SIZE.width, 3), np.uint8)


def request() -> ClipRequest:
    return ClipRequest(prompt="", negative="", size=SIZE, fps=16, frames=5, seed=0)


def measured(
    steps: Sequence[float], frame: float, fails_after: int = 0
) -> tuple[ClipCost, list[Frame]]:
    clock = SteppedClock()
    session = FakeSession(clock, steps, frame)
    session.fails_after = fails_after
    return measure_clip(session, request(), GreyMedia(SIZE), clock)


def test_denoising_ends_with_the_last_step_and_decoding_with_the_last_frame() -> None:
    cost, frames = measured([3.0, 1.0, 1.0, 1.25], frame=0.5)
    assert len(frames) == 5
    assert (cost.denoise, cost.decode, cost.seconds) == (6.25, 2.5, 8.75)
    assert (cost.step, cost.steps, cost.memory_mode) == (1.0, 4, "resident")
    assert cost.compiled


def test_other_steps_are_calculated_from_the_measured_one() -> None:
    cost, _ = measured([3.0, 1.0], frame=0.5)
    whole = cost.with_steps(25)
    assert whole.seconds == cost.seconds + 23 * 1.0
    assert (whole.decode, whole.steps) == (cost.decode, 25)
    assert cost.with_steps(2) == cost


def test_a_single_step_counts_by_itself() -> None:
    cost, _ = measured([3.0], frame=0.0)
    assert (cost.step, cost.steps, cost.decode) == (3.0, 1, 0.0)


def test_steps_before_memory_ran_out_are_no_steps_of_the_clip_but_take_their_time() -> None:
    cost, _ = measured([2.0, 1.0, 1.0], frame=0.0, fails_after=2)
    assert cost.steps == 3
    assert cost.seconds == 2.0 + 1.0 + 2.0 + 1.0 + 1.0
    assert cost.step == 1.0


def test_on_a_gpu_every_step_is_waited_for_and_the_peak_is_of_this_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    peak = {"bytes": 9}  # of the work before

    def reset() -> None:
        calls.append("reset")
        peak["bytes"] = 5

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: calls.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: peak["bytes"])
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: peak["bytes"] + 1)
    cost, _ = measured([1.0, 1.0, 1.0], frame=0.1)
    assert calls == ["wait", "reset", *["wait"] * 3, "wait"]
    assert (cost.allocated, cost.reserved) == (5, 6)


ON_DEVICE = [
    preset
    for item in definitions().values()
    if item.capabilities.location == "device"
    for preset in item.presets
]


@pytest.mark.parametrize("preset", ON_DEVICE, ids=lambda preset: preset.name)
def test_every_preset_has_a_trial_that_its_backend_takes(preset: Preset) -> None:
    definition = definitions()[preset.backend]
    trial = trial_request(definition, preset, steps=2)
    check_request(definition, trial)
    assert definition.capabilities.required <= trial.kinds
    assert trial.options.get("steps", 2) <= 2
    assert trial_request(definition, preset).options == preset.options.identity()
    assert steps_of(preset.options) >= 0


@pytest.mark.parametrize("kind", ["continuation", "reference_image", "first_frame"])
def test_a_trial_has_the_inputs_that_are_asked_for(kind: str) -> None:
    definition = definitions()["wan-t2v-1.3b"]
    trial = trial_request(definition, definition.presets[0], 1, [kind])  # type: ignore[list-item]
    assert trial.kinds == {"text", kind}
    media = GreyMedia(SIZE)
    if trial.continuation:
        assert len(media.overlap(trial.continuation)) == definition.capabilities.overlap


def test_an_input_that_no_local_backend_takes_is_refused() -> None:
    definition = definitions()["wan-t2v-1.3b"]
    with pytest.raises(ValueError, match=r"kind 'audio'; measure without it"):
        trial_request(definition, definition.presets[0], 1, ["audio"])


@pytest.mark.parametrize(
    ("shape", "transformer"),
    [(WAN_1_3B, 1_418_996_800), (VACE_1_3B, 2_153_972_032)],
    ids=["text", "vace"],
)
def test_random_models_have_as_many_parameters_as_the_released_ones(
    shape: WanShape, transformer: int
) -> None:
    with torch.device("meta"):
        parts = components_of(replace(shape, encoder=UMT5_XXL))
    counts = {name: sum(value.numel() for value in parts[name].parameters()) for name in parts}
    assert counts["transformer"] == transformer
    assert counts["vae"] == 126_892_531
    assert counts["text_encoder"] == pytest.approx(5.68e9, rel=0.001)
    assert parts["text_encoder"].dtype == parts["transformer"].dtype == torch.bfloat16
