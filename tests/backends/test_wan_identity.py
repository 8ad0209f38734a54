"""What decides the pixels of a Wan clip is in its identity, and nothing else is."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines.backends.base import Lora
from pipelines.backends.checks import check_request
from pipelines.backends.registry import definitions
from pipelines.backends.wan.options import WanOptions
from pipelines.errors import BriefError, WeightsError
from pipelines.schema.request import Continuation
from tests.backends.host import MemoryHost, digest
from tests.backends.wan_models import TinyModels, backend_of, options_of, request_for, tiny_models
from tests.tiny.lora import write_wan_lora

__all__ = ["tiny_models"]  # a fixture

ENCODING = {"text_encoder", "tokenizer"}
DENOISING = {"transformer", "vae", "scheduler", "pipeline"}
USES: dict[tuple[str, ...], dict[str, set[str]]] = {
    ("wan-t2v-1.3b",): {"t2v-1.3B": ENCODING | DENOISING},
    ("wan-t2v-1.3b", "continuation"): {"t2v-1.3B": ENCODING, "vace-1.3B": DENOISING},
    ("wan-t2v-a14b",): {"t2v-A14B": ENCODING | DENOISING | {"transformer_2"}},
}
"""Components by model, for each backend with the inputs of a video."""


@pytest.mark.parametrize("model", ["t2v-1.3B", "vace-1.3B", "t2v-A14B"])
def test_one_flipped_byte_changes_exactly_the_identities_that_use_it(
    model: str, tiny_models: TinyModels, tmp_path: Path
) -> None:
    models: dict[str, Path] = {
        name: tiny_models[name] for name in ("t2v-1.3B", "t2v-A14B", "vace-1.3B")
    }
    models[model] = tmp_path / "copy"
    shutil.copytree(tiny_models[model], models[model])

    def identities() -> dict[tuple[str, ...], dict[str, str]]:
        host = MemoryHost(tmp_path, models)
        return {
            case: dict(backend_of(case[0], host, *case[1:]).identity(options_of(case[0])))
            for case in USES
        }

    before = identities()
    for part in sorted(ENCODING | DENOISING | {"transformer_2"}):
        folder = models[model] if part == "pipeline" else models[model] / part
        # Weights where there are some: their last byte is a number, and the file still loads.
        files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.json"))
        if not files:
            continue
        data = bytearray(files[0].read_bytes())
        position = -1 if files[0].suffix == ".safetensors" else data.rindex(b"\n")
        data[position] ^= 1 if files[0].suffix == ".safetensors" else ord("\n") ^ ord(" ")
        files[0].write_bytes(data)
        after = identities()
        changed = {
            case: {name for name in after[case] if after[case][name] != before[case][name]}
            for case in USES
        }
        assert changed == {case: {part} & parts.get(model, set()) for case, parts in USES.items()}
        before = after


@pytest.mark.parametrize("case", USES, ids=str)
def test_an_identity_names_every_component_dtype_and_recipe(
    case: tuple[str, ...], tiny_models: TinyModels, tmp_path: Path
) -> None:
    names = [MemoryHost(tmp_path, tiny_models, dtype=dtype) for dtype in ("float32", "bfloat16")]
    ours, other = (
        backend_of(case[0], host, *case[1:]).identity(options_of(case[0])) for host in names
    )
    assert set(ours) == set().union(*USES[case].values()) | {"dtype", "recipe"}
    assert ours["recipe"] == "wan/3"
    assert {name for name in ours if ours[name] != other[name]} == {"dtype"}


def test_storing_in_8_bits_is_in_the_identity_and_steps_are_not(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    backend = backend_of("wan-t2v-14b", MemoryHost(tmp_path, tiny_models))
    full = backend.identity(options_of("wan-t2v-14b"))
    assert backend.identity(options_of("wan-t2v-14b", steps=9)) == full
    eight = backend.identity(options_of("wan-t2v-14b", weights="fp8"))
    assert eight == {**full, "stored": "fp8"}


def test_a_lora_s_bytes_and_strength_are_in_the_identity_and_in_the_models(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    files = {name: tmp_path / f"{name}.safetensors" for name in ("one", "two")}
    for seed, file in enumerate(files.values()):
        write_wan_lora(file, seed)
    backend = backend_of("wan-t2v-a14b", MemoryHost(tmp_path, tiny_models, files))
    chosen: list[dict[str, Any]] = [
        {},
        {"lora": "one"},
        {"lora": "two"},
        {"lora": "one", "lora_strength": 0.5},
        {"lora_2": "one"},
        {"lora": "one", "lora_2": "two"},
    ]
    made = [backend.identity(options_of("wan-t2v-a14b", **changes)) for changes in chosen]
    assert len({tuple(sorted(identity.items())) for identity in made}) == len(chosen)
    unused = backend.identity(options_of("wan-t2v-a14b", lora="one", lora_strength=0.0))
    assert unused == made[0]
    named = backend.models(options_of("wan-t2v-a14b", lora="one", lora_2="two"))
    assert [model.name for model in named] == ["Tiny t2v-A14B", "one", "two"]
    before = made[1]
    write_wan_lora(files["one"], seed=5)
    after = backend.identity(options_of("wan-t2v-a14b", lora="one"))
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"lora of transformer", "lora of transformer_2"}


def test_a_lora_that_cannot_be_used_is_refused_with_a_remedy(
    tiny_models: TinyModels, tmp_path: Path
) -> None:
    write_wan_lora(tmp_path / "one.safetensors")
    host = MemoryHost(tmp_path, tiny_models, {"one": tmp_path / "one.safetensors"})
    backend = backend_of("wan-t2v-14b", host)
    with pytest.raises(WeightsError, match="models download two"):
        backend.identity(options_of("wan-t2v-14b", lora="two"))
    with pytest.raises(WeightsError, match=r"has one transformer.*leave lora_2 empty"):
        backend.identity(options_of("wan-t2v-14b", lora_2="one"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"steps": 0},
            "steps 0 is outside 1 to 100; choose a number in that range, or -1 for the preset's",
        ),
        (
            {"guidance": 20.5},
            "guidance 20.5 is outside 0 to 20; choose a number in that range, "
            "or -1 for the preset's",
        ),
        ({"guidance": float("nan")}, "guidance nan is outside 0 to 20"),
        ({"steps": "many"}, "steps 'many': input should be a valid integer"),
        ({"speed": 3}, "option speed is unknown; choose of steps, guidance"),
        ({"steps": 101, "flow_shift": 0}, "steps 101 .*; flow_shift 0 is outside"),
    ],
)
def test_options_are_refused_in_sentences(changes: dict[str, Any], sentence: str) -> None:
    options = WanOptions(steps=8, guidance=4.0, flow_shift=3.0)
    with pytest.raises(ValueError, match=sentence):
        options.replaced(**changes)


def test_new_guidance_holds_for_the_whole_video() -> None:
    demo = definitions()["wan-demo"].presets[0].options
    assert isinstance(demo, WanOptions)
    assert (demo.guidance_of(begun=False), demo.guidance_of(begun=True)) == (2.0, 1.0)
    changed = demo.replaced(guidance=6.0)
    assert (changed.guidance_of(begun=False), changed.guidance_of(begun=True)) == (6.0, 6.0)
    assert demo.replaced(steps=3).guidance_of(begun=True) == 1.0
    both = demo.replaced(guidance=6.0, continued_guidance=2.0)
    assert both.guidance_of(begun=True) == 2.0


def test_an_own_lora_and_its_strength_hold_for_both_transformers_of_a14b() -> None:
    best = {item.name: item for item in definitions()["wan-t2v-a14b"].presets}
    plain, turbo = best["video_best"].options, best["video_best_turbo"].options

    def loras(options: Any) -> tuple[object, ...]:
        names = ("lora", "lora_strength", "lora_2", "lora_2_strength")
        return tuple(options.model_dump()[name] for name in names)

    assert loras(plain.replaced(lora="mine")) == ("mine", 1.0, "mine", 1.0)
    assert loras(plain.replaced(lora="mine", lora_strength=0.5)) == ("mine", 0.5, "mine", 0.5)
    assert loras(plain.replaced(lora="mine", lora_2="low")) == ("mine", 1.0, "low", 1.0)
    own = loras(turbo)
    assert loras(turbo.replaced(lora_strength=0.5)) == (own[0], 0.5, own[2], 0.5)
    one = definitions()["wan-t2v-14b"].presets[0].options
    assert loras(one.replaced(lora="mine", lora_strength=0.5)) == ("mine", 0.5, "", 1.0)


@pytest.mark.parametrize("name", ["wan-t2v-1.3b", "wan-t2v-14b", "wan-t2v-a14b", "wan-i2v-a14b"])
def test_the_lora_by_which_a_preset_is_distilled_cannot_be_replaced(name: str) -> None:
    (turbo,) = (item for item in definitions()[name].presets if item.name.endswith("_turbo"))
    with pytest.raises(ValueError, match=r"lora 'mine' cannot .* to 4 steps; .* without turbo"):
        turbo.options.replaced(lora="mine")
    own = turbo.options.model_dump()["lora"]
    assert turbo.options.replaced(lora=own) == turbo.options


def test_a_lora_s_licence_is_in_the_models_and_one_of_both_transformers_is_named_once(
    tiny_models: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wan_lora(tmp_path / "one.safetensors")
    host = MemoryHost(tmp_path, tiny_models)
    lora = Lora("one", tmp_path / "one.safetensors", digest("one"), "Apache-2.0")
    monkeypatch.setattr(host, "lora", lambda _: lora)
    backend = backend_of("wan-t2v-a14b", host)
    used = backend.models(options_of("wan-t2v-a14b", lora="one"))
    assert [(model.name, model.licence) for model in used[1:]] == [("one", "Apache-2.0")]


def test_a_chunk_that_goes_on_needs_no_first_frame_of_its_own() -> None:
    definition = definitions()["wan-i2v-a14b"]
    fresh = request_for("wan-i2v-a14b")
    with pytest.raises(BriefError, match="is given text and makes nothing without first_frame; "):
        check_request(definition, fresh)
    before = Continuation(chunk=digest("chunk before"), frames=1)
    check_request(definition, fresh.model_copy(update={"inputs": (before,)}))
