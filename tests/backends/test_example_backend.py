"""The example backend, and what the guide to backends says about it."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipelines.errors
from examples.gradient_backend import (
    DEFINITIONS,
    GRADIENT,
    GRADIENT_WITH_SOUND,
    RATE,
    GradientOptions,
)
from pipelines.backends import base
from pipelines.errors import BriefError, GenerationError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.keys import Digest
from pipelines.schema.presets import Preset
from pipelines.schema.request import ClipRequest, Continuation, FirstFrame
from pipelines.schema.sizes import Size
from tests.backends.clips import generate
from tests.backends.host import ArrayMedia

REPOSITORY = Path(__file__).parents[2]
GUIDE = (REPOSITORY / "docs" / "adding-a-backend.md").read_text()
TEXT = frozenset({"text"})
NO_HOST: Any = None
"""A remote backend asks the host for nothing, which this proves."""


def request_of(frames: int = 12, **changes: Any) -> ClipRequest:
    values = {"prompt": "A red circle", "negative": "", "size": Size(64, 32), "fps": 12, "seed": 1}
    options = GradientOptions().model_dump()
    return ClipRequest(**{**values, "frames": frames, "options": options, **changes})


def frames_of(request: ClipRequest, media: ArrayMedia | None = None) -> np.ndarray:
    return generate(GRADIENT.create(NO_HOST, TEXT), request, media)[1]


@pytest.mark.parametrize("count", [1, 7, 48])
def test_a_clip_has_exactly_the_frames_that_were_asked_for(count: int) -> None:
    clip, frames, steps = generate(GRADIENT.create(NO_HOST, TEXT), request_of(count))
    assert frames.shape == (count, 32, 64, 3)
    assert steps == [(step, count) for step in range(1, count + 1)]
    assert clip.sound is None


def test_prompt_seed_and_speed_change_the_pixels_and_nothing_else_does() -> None:
    first = frames_of(request_of())
    assert np.array_equal(first, frames_of(request_of()))
    for changes in ({"prompt": "A blue one"}, {"seed": 2}, {"options": {"speed": 5}}):
        assert not np.array_equal(first, frames_of(request_of(**changes)))
    assert not np.array_equal(first[0], first[1])
    still = frames_of(request_of(options={"speed": 0}))
    assert np.array_equal(still[0], still[-1])


def test_another_process_makes_the_same_pixels() -> None:
    code = (
        "import hashlib, tests.backends.test_example_backend as t;"
        "print(hashlib.sha256(t.frames_of(t.request_of()).tobytes()).hexdigest())"
    )
    import hashlib

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    digest = hashlib.sha256(frames_of(request_of()).tobytes()).hexdigest()
    assert done.stdout.strip() == digest


class Before(ArrayMedia):
    """The chunk before, whose last frame is `last`."""

    def __init__(self, last: np.ndarray) -> None:
        self._last = last

    def overlap(self, given: Continuation) -> list[np.ndarray]:
        assert given.frames == 1
        return [self._last]


def test_a_continued_chunk_repeats_the_last_frame_and_moves_on() -> None:
    before = frames_of(request_of(12))
    given = Continuation(chunk=Digest("0" * 64), frames=GRADIENT.capabilities.overlap)
    after = frames_of(request_of(13, inputs=(given,)), Before(before[-1]))
    assert np.array_equal(after[0], before[-1])
    # Both together are what one longer chunk would be.
    assert np.array_equal(np.concatenate([before, after[1:]]), frames_of(request_of(24)))
    with pytest.raises(GenerationError, match=r"shape \(64, 64, 3\), this one is 64\*32"):
        frames_of(request_of(13, inputs=(given,)), Before(np.zeros((64, 64, 3), np.uint8)))


@pytest.mark.parametrize("count", [1, 7, 48])
def test_sound_is_a_tone_of_exactly_the_frames_length(count: int) -> None:
    clip, _, _ = generate(GRADIENT_WITH_SOUND.create(NO_HOST, TEXT), request_of(count))
    assert clip.sound is not None
    assert clip.sound.samples.shape == (count * 4000, 1)
    assert clip.sound.samples.dtype == np.float32
    assert clip.sound.rate == RATE
    assert 0.19 < np.abs(clip.sound.samples).max() <= 0.2
    if count == 48:  # 4 s: the strongest frequency, to a quarter of a hertz
        spectrum = np.abs(np.fft.rfft(clip.sound.samples[:, 0]))
        assert 220 <= spectrum.argmax() / 4 <= 475


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 49}, "makes 1 to 48 frames a clip, not 49"),
        ({"fps": 24}, "makes 12 frames a second, not 24"),
        ({"size": Size(60, 64)}, r"multiples of 16, not 60\*64; choose one of 64\*64"),
        ({"inputs": (FirstFrame(picture=Digest("0" * 64)),)}, "takes continuation, text, not fir"),
    ],
)
def test_what_it_cannot_make_is_refused_with_value_rule_and_remedy(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BriefError, match=message):
        frames_of(request_of(**changes))


def test_its_description_imports_no_model_library() -> None:
    code = "import sys, examples.gradient_backend; print({'torch', 'diffusers'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_identity_models_and_effort_say_what_the_guide_asks_for() -> None:
    backend = GRADIENT.create(NO_HOST, TEXT)
    options = GradientOptions()
    assert backend.identity(options) == {"recipe": "gradient/1"}
    assert [model.licence for model in backend.models(options)] == ["Apache-2.0"]
    effort = backend.effort([request_of(12), request_of(24)])
    assert effort.work == pytest.approx(36 * 64 * 32 / 1e6)
    assert effort.memory_bytes == 0
    for definition in DEFINITIONS:
        for preset in definition.presets:
            assert preset.backend == definition.name
            assert preset.size in definition.capabilities.sizes
            assert definition.capabilities.is_length(preset.frames)


def test_the_code_of_the_guide_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "adding-a-backend.md", "exec"), names)
    assert len(names["frames"]) == 24


def test_the_guide_names_every_field_and_method() -> None:
    named = set(re.findall(r"`(\w+)[^`]*`", GUIDE))
    for described in (base.BackendDefinition, base.GeneratedClip, base.Sound, base.Effort):
        assert {field.name for field in dataclasses.fields(described)} <= named
    for model in (Capabilities, ClipRequest, Preset):
        assert model.model_fields.keys() <= named
    protocols = (base.VideoBackend, base.BackendSession, base.BackendHost, base.InputMedia)
    for protocol in protocols:
        assert {name for name in vars(protocol) if not name.startswith("_")} <= named


def test_the_guide_s_errors_files_and_line_exist() -> None:
    for name in re.findall(r"`(\w+Error)`", GUIDE):
        assert hasattr(pipelines.errors, name)
    for path in re.findall(r"`((?:pipelines|tests|examples)/[\w/.]+)`", GUIDE):
        assert (REPOSITORY / path).exists(), path
    (line,) = re.findall(r"```text\n(.*)\n```", GUIDE)
    registry = (REPOSITORY / "pipelines" / "backends" / "registry.py").read_text()
    assert line.split("=")[0] in registry
