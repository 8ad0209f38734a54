"""LoRA files merged into a transformer, and transformers from quantised files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.backends.wan.lora import AppliedLora, merge_lora
from pipelines.errors import WeightsError
from tests.backends.host import MemoryHost
from tests.backends.wan_models import (
    TinyModels,
    backend_of,
    freed,
    generate,
    options_of,
    request_for,
    same,
    tiny_models,
)
from tests.tiny.lora import write_wan_lora
from tests.tiny.parts import seeded
from tests.tiny.wan import wan_transformer

__all__ = ["tiny_models"]  # a fixture


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    files = {name: tmp_path / f"{name}.safetensors" for name in ("one", "original", "two")}
    write_wan_lora(files["one"])
    write_wan_lora(files["original"], layout="original")
    write_wan_lora(files["two"], seed=1)
    return files


def transformer() -> Any:
    with seeded(3):
        return wan_transformer()


def applied(file: Path, strength: float = 1.0) -> AppliedLora:
    return AppliedLora("one", file, strength, "transformer")


@pytest.mark.parametrize("layout", ["one", "original"])
def test_a_merged_lora_acts_as_its_two_matrices_beside_the_weight(
    layout: str, files: dict[str, Path]
) -> None:
    from safetensors.torch import load_file

    plain, merged = transformer(), transformer()
    merge_lora(merged, applied(files[layout], 0.7))
    state = load_file(files["one"])
    vector = torch.randn(2, 24)
    for name in ("blocks.0.attn1.to_q", "blocks.3.attn2.to_out.0"):
        down, up = (state[f"transformer.{name}.lora_{side}.weight"] for side in "AB")
        layer, changed = plain.get_submodule(name), merged.get_submodule(name)
        expected = layer(vector) + 0.7 * (vector @ down.T) @ up.T
        assert torch.allclose(changed(vector), expected, atol=6e-6)
    untouched = {"patch_embedding.weight", "proj_out.weight", "blocks.0.norm2.weight"}
    for name in untouched:
        assert torch.equal(plain.get_parameter(name), merged.get_parameter(name))


def test_a_lora_changes_the_clip_by_file_and_strength_and_loads_another_denoiser(
    files: dict[str, Path], tiny_models: TinyModels, tmp_path: Path
) -> None:
    with freed(MemoryHost(tmp_path / "cache", tiny_models, files)) as host:
        backend = backend_of("wan-t2v-14b", host)
        changes: list[dict[str, Any]] = [
            {},
            {"lora": "one"},
            {"lora": "two"},
            {"lora": "one", "lora_strength": 0.5},
        ]
        made = [generate(backend, request_for("wan-t2v-14b", **change)) for change in changes]
        assert not any(same(made[i], made[j]) for i in range(4) for j in range(i))
        assert host.history.count("load video") == 4
        again = generate(backend, request_for("wan-t2v-14b", lora="one", lora_strength=0.5))
        assert same(again, made[3])
        assert host.history.count("load video") == 4


def test_each_transformer_of_a14b_gets_its_own_lora_before_it_is_stored_in_8_bits(
    files: dict[str, Path], tiny_models: TinyModels, tmp_path: Path
) -> None:
    options = {"flow_shift": 3.0, "weights": "fp8"}
    with freed(MemoryHost(tmp_path / "cache", tiny_models, files, dtype="bfloat16")) as host:
        backend = backend_of("wan-t2v-a14b", host)
        weights = {}
        for case, change in {"none": {}, "both": {"lora": "one", "lora_2": "two"}}.items():
            generate(backend, request_for("wan-t2v-a14b", **options, **change))
            pipeline = host.loaded["video"][1]._pipeline
            weights[case] = [
                getattr(pipeline, name).blocks[0].attn1.to_q.weight.float().clone()
                for name in ("transformer", "transformer_2")
            ]
    from diffusers import WanPipeline

    for index, file in enumerate(("one", "two")):
        state = WanPipeline.lora_state_dict(files[file])
        up, down = (state[f"transformer.blocks.0.attn1.to_q.lora_{s}.weight"] for s in "BA")
        change = weights["both"][index] - weights["none"][index]
        # 8 bits keep 3 of the mantissa: a sixteenth of each of the two weights is lost at most.
        bound = (weights["both"][index].abs() + weights["none"][index].abs()) / 14 + 0.01
        assert ((change - up @ down).abs() <= bound).all()


def damaged(files: dict[str, Path], kind: str) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(files["one"])
    name = "transformer.blocks.0.attn1.to_q"
    if kind == "wider":
        state[f"{name}.lora_B.weight"] = torch.zeros(48, 4)
    elif kind == "unknown":
        for side in "AB":
            key = f"transformer.blocks.9.attn1.to_q.lora_{side}.weight"
            state[key] = state[f"{name}.lora_{side}.weight"].clone()
    elif kind == "half":
        del state[f"{name}.lora_A.weight"]
    elif kind == "other":
        state["transformer.blocks.0.attn1.to_q.hada_w1"] = torch.zeros(4, 4)
    save_file(state, files["one"])
    if kind == "cut":
        files["one"].write_bytes(files["one"].read_bytes()[:100])


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("wider", "blocks.0.attn1.to_q is 24x24, not 48x24"),
        ("unknown", "there is no layer blocks.9.attn1.to_q"),
        ("half", "half of blocks.0.attn1.to_q is missing"),
        ("other", "hada_w1 is no low-rank matrix"),
        ("cut", "the LoRA one cannot be read"),
    ],
)
def test_a_lora_that_does_not_fit_is_named_and_changes_nothing(
    kind: str, sentence: str, files: dict[str, Path]
) -> None:
    damaged(files, kind)
    model = transformer()
    with pytest.raises(WeightsError, match=sentence):
        merge_lora(model, applied(files["one"]))
    before = transformer().state_dict()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


_TO_ORIGINAL = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "attn1": "self_attn",
    "attn2": "cross_attn",
    ".to_out.0.": ".o.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    "proj_out": "head.head",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "norm2": "norm_",
    "norm3": "norm2",
    "norm_.": "norm3.",
}


def write_gguf(file: Path, model: Any) -> None:
    """As published: Wan's own names, the blocks' matrices in 8 bits (Q8_0), the rest in float32."""
    import gguf

    writer = gguf.GGUFWriter(str(file), "wan")
    for name, value in model.state_dict().items():
        original = name.replace("scale_shift_table", "modulation")
        if original == "modulation":
            original = "head.modulation"
        for ours, theirs in _TO_ORIGINAL.items():
            original = original.replace(ours, theirs)
        data = value.float().numpy()
        if name.startswith("blocks.") and name.endswith("weight") and data.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(original, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(original, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_quantised_transformer_is_used_if_the_folder_holds_one(
    files: dict[str, Path], tiny_models: TinyModels, tmp_path: Path
) -> None:
    folder = tmp_path / "quantised"
    shutil.copytree(tiny_models["t2v-14B"], folder)
    shutil.rmtree(folder / "transformer")
    with seeded(0):
        model = wan_transformer(attention_head_dim=16, ffn_dim=64)  # Q8_0 packs 32 numbers
    model.save_pretrained(tmp_path / "plain" / "transformer")
    for part in ("vae", "scheduler", "text_encoder", "tokenizer"):
        shutil.copytree(folder / part, tmp_path / "plain" / part)
    shutil.copy(folder / "model_index.json", tmp_path / "plain")
    (folder / "transformer").mkdir()
    write_gguf(folder / "transformer" / "model-Q8_0.gguf", model)
    shutil.copy(tmp_path / "plain" / "transformer" / "config.json", folder / "transformer")
    made = {}
    for name, path in {"plain": tmp_path / "plain", "quantised": folder}.items():
        with freed(MemoryHost(tmp_path / name / "cache", {"t2v-14B": path}, files)) as host:
            backend = backend_of("wan-t2v-14b", host)
            made[name] = generate(backend, request_for("wan-t2v-14b"))
    import numpy as np

    difference = np.abs(np.stack(made["plain"]).astype(int) - np.stack(made["quantised"]))
    assert 0 < difference.max() <= 12  # 8 bits a weight are close, but not the same
    assert backend.identity(options_of("wan-t2v-14b"))["stored"] == "gguf"
    size = (folder / "transformer" / "model-Q8_0.gguf").stat().st_size
    assert backend.footprint(options_of("wan-t2v-14b")).transformers == (size,)  # type: ignore[attr-defined]
    with pytest.raises(WeightsError, match=r"quantised.*install the unquantised one"):
        backend.identity(options_of("wan-t2v-14b", lora="one"))
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "WanPipeline"
