"""A brief is checked in sentences that name the value, the rule and the remedy."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BriefError
from pipelines.planning.estimate import DEFAULT_RATES, Footprint, estimate
from pipelines.schema.brief import Brief
from pipelines.schema.limits import MINUTES
from pipelines.schema.parsing import parse_brief
from pipelines.schema.presets import PRESETS, SIZES, Size, is_chunk_length
from pipelines.schema.shots import MAX_PROMPT
from pipelines.schema.text import without_control_tokens

REFUSED = {
    "empty": ({"prompt": ""}, "empty", "say in a sentence"),
    "blank": ({"prompt": " \n\t "}, "empty", "say in a sentence"),
    "only control tokens": ({"prompt": "</s> [INST]"}, "empty", "say in a sentence"),
    "too long": ({"prompt": "a" * 100_000}, "100,000", "shorten"),
    "control character": ({"prompt": "a\x07b"}, "U+0007", "remove it"),
    "C1 control character": ({"prompt": "a\x85b"}, "U+0085", "remove it"),
    "lone surrogate": ({"prompt": "a\udc80b"}, "U+DC80", "remove it"),
    "preset": ({"preset": "4k"}, "'4k'", "demo, image_fast"),
    "32 frames": ({"frames": 32}, "32 frames", "29 or 33"),
    "0 frames": ({"frames": 0}, "0 frames", "1 or 5"),
    "81 frames": ({"frames": 81}, "81 frames", "73 or 77"),
    "size": ({"size": "1000*500"}, "'1000*500'", "832*480"),
    "seconds 0": ({"seconds": 0}, "seconds 0", "0.25 to 600"),
    "seconds -1": ({"seconds": -1}, "seconds -1", "0.25 to 600"),
    "seconds nan": ({"seconds": float("nan")}, "seconds nan", "0.25 to 600"),
    "seconds inf": ({"seconds": float("inf")}, "seconds inf", "0.25 to 600"),
    "seconds 1e9": ({"seconds": 1e9}, "seconds 1e+09", "0.25 to 600"),
    "seed": ({"seed": -2}, "seed -2", "-1 to derive"),
    "seed too large": ({"seed": 2**32}, "seed 4294967296", "-1 to derive"),
    "upscale": ({"upscale": 3}, "upscale 3", "1, 2 or 4"),
    "steps": ({"steps": 0}, "steps 0", "1 to 100"),
    "guidance": ({"guidance": 99}, "guidance 99", "0 to 20"),
    "shot twice": ({"shots": [{"shot": 1}, {"shot": 1}]}, "shot 1", "keep one"),
    "shape and size": ({"aspect": "square", "size": "64*64"}, "both set", "keep one"),
    "shape": ({"aspect": "round"}, "round", "'square'"),
    "hours": ({"approval_hours": 0}, "approval_hours 0", "0.01 to 720"),
    "hours nan": ({"approval_hours": float("nan")}, "nan", "0.01 to 720"),
    "empty shot": ({"storyboard": [{"prompt": " "}]}, "no words", "say what it shows"),
    "long campaign": ({"campaign": "x" * 101}, "101", "shorten"),
    "unknown field": ({"colour": "red"}, "colour", "not permitted"),
}


@pytest.mark.parametrize(("values", "value", "remedy"), REFUSED.values(), ids=REFUSED)
def test_bad_values_are_refused_with_value_and_remedy(
    values: dict[str, object], value: str, remedy: str
) -> None:
    with pytest.raises(BriefError) as refusal:
        parse_brief({"prompt": "a red fox", **values})
    assert value in str(refusal.value)
    assert remedy in str(refusal.value)
    assert refusal.value.exit_code == 2


@given(st.text(max_size=MAX_PROMPT))
def test_any_text_becomes_a_printable_prompt_or_a_refusal(text: str) -> None:
    try:
        brief = parse_brief({"prompt": text})
    except BriefError:
        return
    brief.prompt.encode("utf-8")
    assert brief.prompt.strip() == brief.prompt != ""
    assert "\n" not in brief.prompt


@given(st.text(alphabet="</s>[INST]|<> a", max_size=40))
def test_no_control_token_survives_however_they_are_nested(text: str) -> None:
    left = without_control_tokens(text)
    assert without_control_tokens(left) == left
    assert "</s>" not in left
    assert "[inst]" not in left.lower()


def test_newlines_and_composed_letters_are_normalised() -> None:
    assert parse_brief({"prompt": "cafe\u0301\nat  night"}).prompt == "café at night"


@given(st.integers(-100, 200))
def test_chunk_lengths_are_4k_plus_1_up_to_80(frames: int) -> None:
    assert is_chunk_length(frames) == (frames in range(1, 81, 4))


def test_presets_are_the_public_ones() -> None:
    table = {
        name: (str(p.size), p.frames, p.steps, p.guidance)
        for name, p in PRESETS.items()
        if name != "demo"
    }
    assert table == {
        "image_fast": ("832*480", 1, 8, 6.0),
        "image_high": ("1280*720", 1, 20, 7.5),
        "video_fast": ("832*480", 17, 12, 6.0),
        "video_high": ("1280*720", 33, 25, 7.5),
    }


@pytest.mark.parametrize("size", SIZES)
def test_every_offered_size_suits_wan(size: str) -> None:
    parsed = Size.parse(size)
    assert parsed.width % 16 == parsed.height % 16 == 0
    assert str(parsed) == size


def test_the_brief_overrides_single_values_of_its_preset() -> None:
    brief = Brief(prompt="x", preset="video_fast", size="480*832", frames=5, steps=2)
    preset = brief.resolved_preset()
    assert (str(preset.size), preset.frames, preset.steps) == ("480*832", 5, 2)
    assert preset.guidance == PRESETS["video_fast"].guidance


def test_the_form_has_no_field_that_may_be_null() -> None:
    """Prefect's form renders such fields as tabs that read 'Property is type None'."""
    assert '"null"' not in json.dumps(Brief.model_json_schema())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("aspect", ["landscape", "portrait", "square"])
def test_a_shape_keeps_the_pixels_and_the_multiples_of_16(preset: str, aspect: str) -> None:
    before = PRESETS[preset].size
    size = parse_brief({"prompt": "x", "preset": preset, "aspect": aspect}).resolved_preset().size
    assert size.width % 16 == 0
    assert size.height % 16 == 0
    assert 0.9 <= size.megapixels / before.megapixels <= 1.5
    wide = {"landscape": 1, "portrait": -1, "square": 0}[aspect]
    assert (size.width > size.height) - (size.width < size.height) == wide


def test_a_picture_has_one_frame() -> None:
    brief = parse_brief({"prompt": "x", "kind": "image", "seconds": 60})
    assert brief.resolved_preset().is_still


def test_the_minutes_in_the_form_are_those_of_the_estimate() -> None:
    """Of the studio set on CUDA with the sizes of its files, of the demo set on a CPU."""
    footprint = Footprint(4_400_000_000, 11_400_000_000, 3_300_000_000, 70_000_000, 1)

    def minutes(preset: str, device: str) -> str:
        brief = parse_brief({"prompt": "x", "preset": preset})
        return f"{estimate(brief, DEFAULT_RATES[device], footprint).seconds / 60:.1f}"

    assert f"demo {minutes('demo', 'cpu')} on a CPU" in MINUTES
    assert f"video_fast {minutes('video_fast', 'cuda')} and" in MINUTES
    assert f"video_high {minutes('video_high', 'cuda')} on an RTX 5090" in MINUTES
    assert f"stills {float(minutes('image_fast', 'cuda')):.0f}." in MINUTES
