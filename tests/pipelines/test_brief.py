"""A brief is checked in sentences that name the value, the rule and the remedy."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definition_of, definitions, presets
from pipelines.backends.wan.options import WanOptions
from pipelines.documents.brief import Brief
from pipelines.documents.parsing import parse_brief
from pipelines.documents.stored_brief import StoredBrief
from pipelines.errors import BriefError
from pipelines.planning.estimate import default_rates, estimate
from pipelines.planning.memory import Footprint
from pipelines.planning.plan import seed_of
from pipelines.schema.limits import MINUTES
from pipelines.schema.shots import MAX_PROMPT
from pipelines.schema.sizes import Size
from pipelines.schema.text import without_control_tokens
from tests.backends.host import MemoryHost
from tests.support.installed import folder_of
from tests.support.tiny_wan import write_tiny_checkpoint

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
    "0 frames": ({"frames": 0}, "0 frames", "4k+1 from 1 to 77: choose 1"),
    "81 frames": ({"frames": 81}, "81 frames", "4k+1 from 1 to 77: choose 77"),
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


def is_control(character: str) -> bool:
    """Half a character, or a control character other than a line end or a tab."""
    category = unicodedata.category(character)
    return category == "Cs" or (category == "Cc" and character not in "\n\r\t")


@given(st.text(max_size=MAX_PROMPT))
def test_any_text_without_control_characters_becomes_a_printable_prompt(text: str) -> None:
    """`word` holds every text from being empty, which is a reason for refusal of its own."""
    plain = "".join(character for character in text if not is_control(character))
    prompt = parse_brief({"prompt": f"{plain} word"[-MAX_PROMPT:]}).prompt
    prompt.encode("utf-8")
    assert prompt.strip() == prompt
    assert prompt.endswith("word")
    assert not any(character in prompt for character in "\n\r\t")


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
    st.characters(categories=["Cs", "Cc"], exclude_characters="\n\r\t"),
    st.integers(0, 40),
)
def test_one_control_character_anywhere_is_refused_with_its_number(
    text: str, control: str, position: int
) -> None:
    with pytest.raises(BriefError, match=rf"U\+{ord(control):04X}"):
        parse_brief({"prompt": text[:position] + control + text[position:]})


@given(st.text(alphabet="</s>[INST]|<> a", max_size=40))
def test_no_control_token_survives_however_they_are_nested(text: str) -> None:
    left = without_control_tokens(text)
    assert without_control_tokens(left) == left
    assert "</s>" not in left
    assert "[inst]" not in left.lower()


def required_by(preset: str) -> frozenset[str]:
    """Inputs without which the preset makes nothing."""
    return definition_of(presets()[preset]).capabilities.required


def test_newlines_and_composed_letters_are_normalised() -> None:
    assert parse_brief({"prompt": "cafe\u0301\nat  night"}).prompt == "café at night"


LENGTHS = {
    "demo": range(1, 78, 4),  # 77 is the last one up to 80
    "video_fast": range(1, 82, 4),
    "animate": range(5, 78, 4),
    "ltx2_sound": range(9, 122, 8),
    "animatediff_draft": range(1, 65),
}


@given(st.sampled_from(list(LENGTHS)), st.integers(-100, 200))
def test_a_chunk_has_a_length_that_the_model_can_make(preset: str, frames: int) -> None:
    can = definition_of(presets()[preset]).capabilities
    assert can.is_length(frames) == (frames in LENGTHS[preset])
    assert set(can.lengths_around(frames)) <= set(LENGTHS[preset])


def test_presets_are_the_public_ones() -> None:
    table = {}
    for name in ("image_fast", "image_high", "video_fast", "video_high"):
        preset = presets()[name]
        assert isinstance(preset.options, WanOptions)
        options = preset.options
        table[name] = (str(preset.size), preset.frames, options.steps, options.guidance)
    assert table == {
        "image_fast": ("832*480", 1, 8, 6.0),
        "image_high": ("1280*720", 1, 20, 7.5),
        "video_fast": ("832*480", 17, 12, 6.0),
        "video_high": ("1280*720", 33, 25, 7.5),
    }


def test_the_names_of_presets_are_public_and_stay() -> None:
    assert list(presets()) == [
        "demo",
        "image_fast",
        "image_high",
        "video_fast",
        "video_high",
        "video_turbo",
        "video_turbo_high",
        "video_high_safe",
        "video_14b",
        "video_14b_turbo",
        "video_5b",
        "video_best",
        "video_best_turbo",
        "video_picture",
        "video_picture_turbo",
        "animate",
        "replace",
        "animatediff_draft",
        "animatediff_long",
        "animatediff_turbo",
        "ltx2_sound",
        "ltx2_turbo",
    ]


@pytest.mark.parametrize("backend", definitions().values(), ids=definitions())
def test_every_offered_size_suits_its_backend(backend: BackendDefinition) -> None:
    can = backend.capabilities
    for size in can.sizes:
        assert size.width % can.side_step == size.height % can.side_step == 0
        assert Size.parse(str(size)) == size
    assert {preset.size for preset in backend.presets} <= set(can.sizes)
    assert all(can.is_length(preset.frames) for preset in backend.presets)


def test_the_brief_overrides_single_values_of_its_preset() -> None:
    brief = Brief(prompt="x", preset="video_fast", size="480*832", frames=5, steps=2)
    preset = brief.resolved_preset()
    assert (str(preset.size), preset.frames) == ("480*832", 5)
    assert preset.options == presets()["video_fast"].options.replaced(steps=2)


def test_a_guidance_of_the_brief_holds_for_chunks_that_go_on_too() -> None:
    options = Brief(prompt="x", guidance=6).resolved_preset().options
    assert isinstance(options, WanOptions)
    assert [options.guidance_of(begun=begun) for begun in (False, True)] == [6, 6]
    usual = Brief(prompt="x").resolved_preset().options
    assert isinstance(usual, WanOptions)
    assert [usual.guidance_of(begun=begun) for begun in (False, True)] == [2, 1]


def test_two_flow_shifts_of_one_brief_differ_in_nothing_else() -> None:
    briefs = [parse_brief({"prompt": "a fox", "flow_shift": shift}) for shift in (3.5, 8)]
    options = [brief.resolved_preset().options for brief in briefs]
    assert options[0].replaced(flow_shift=8) == options[1]
    assert seed_of(briefs[0]) == seed_of(briefs[1])
    with pytest.raises(BriefError, match=r"flow_shift 0 is outside 0\.1 to 30"):
        parse_brief({"prompt": "a fox", "flow_shift": 0})
    with pytest.raises(BriefError, match="has no such option"):
        parse_brief({"prompt": "a fox", "preset": "ltx2_sound", "flow_shift": 3})


def test_the_preset_says_how_much_to_enlarge_unless_the_brief_does() -> None:
    def upscale(preset: str, **values: object) -> int:
        return parse_brief({"prompt": "x", "preset": preset} | values).upscale

    for values in ({}, {"upscale": -1}):
        assert upscale("video_high_safe", **values) == 2
        assert upscale("video_high", **values) == 1
    for factor in (1, 2, 4):
        assert upscale("video_high_safe", upscale=factor) == factor
        assert upscale("video_high", upscale=factor) == factor
    assert Brief(prompt="x").upscale == 1
    for refused in ({"preset": ["video_high_safe"]}, {"upscale": 3}, {"upscale": [-1]}):
        with pytest.raises(BriefError):
            parse_brief({"prompt": "x"} | refused)


@pytest.mark.parametrize("factor", [-1, 1, 4])
def test_a_brief_that_was_read_once_is_enlarged_as_often_as_before(factor: int) -> None:
    """It goes as JSON from the gateway to two workers and into the manifest."""
    brief = parse_brief({"prompt": "x", "preset": "video_high_safe", "upscale": factor})
    again = Brief.model_validate_json(brief.model_dump_json())
    assert again == brief
    assert StoredBrief.of(again).upscale == brief.upscale > 0


def test_a_stored_brief_of_a_preset_that_is_gone_keeps_its_factor() -> None:
    stored = Brief(prompt="x").model_dump() | {"preset": "video_gone"}
    assert StoredBrief.model_validate(stored).upscale == 1
    assert StoredBrief.model_validate(stored | {"upscale": 4}).upscale == 4


def test_the_form_has_no_field_that_may_be_null() -> None:
    """Prefect's form renders such fields as tabs that read 'Property is type None'."""
    assert '"null"' not in json.dumps(Brief.model_json_schema())


@pytest.mark.parametrize("preset", [name for name in presets() if not required_by(name)])
@pytest.mark.parametrize("aspect", ["landscape", "portrait", "square"])
def test_a_shape_keeps_the_pixels_and_the_multiples_of_the_sides(preset: str, aspect: str) -> None:
    before = presets()[preset].size
    size = parse_brief({"prompt": "x", "preset": preset, "aspect": aspect}).resolved_preset().size
    step = definition_of(presets()[preset]).capabilities.side_step
    assert size.width % step == 0
    assert size.height % step == 0
    assert 0.9 <= size.megapixels / before.megapixels <= 1.5
    wide = {"landscape": 1, "portrait": -1, "square": 0}[aspect]
    assert (size.width > size.height) - (size.width < size.height) == wide


def test_a_picture_has_one_frame() -> None:
    brief = parse_brief({"prompt": "x", "kind": "image", "seconds": 60})
    assert brief.resolved_preset().is_still


def test_the_minutes_in_the_form_are_those_of_the_estimate(
    demo_models: Path, tmp_path: Path
) -> None:
    """The studio set on CUDA, the demo set on a CPU: the time does not hang on the weights."""
    write_tiny_checkpoint(tmp_path / "tiny")
    models = {"tiny-wan": folder_of(demo_models, "tiny-wan"), "t2v-1.3B": tmp_path / "tiny"}
    host = MemoryHost(tmp_path, models)

    def minutes(preset: str, device: str) -> str:
        brief, host.device = parse_brief({"prompt": "x", "preset": preset}), device
        backend = brief.backend.create(host, brief.inputs)
        rates = default_rates(brief.backend, device)
        return f"{estimate(brief, backend, rates, Footprint(0, 0)).seconds / 60:.1f}"

    assert f"demo {minutes('demo', 'cpu')} on a CPU" in MINUTES
    assert f"video_fast {minutes('video_fast', 'cuda')} and" in MINUTES
    assert f"video_high {minutes('video_high', 'cuda')} on an RTX 5090" in MINUTES
    assert f"stills {float(minutes('image_fast', 'cuda')):.0f}." in MINUTES
