"""The rehearsal itself, with everything shrunk: brief → film from a hub that never existed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from infra.adapters.device.cache import release_all
from infra.adapters.object_store import ObjectStore
from infra.adapters.weights.index import read_index
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import ObjectKey
from tests.rehearsal.__main__ import rehearse, report
from tests.rehearsal.plan import KNOWN_SIZES, RehearsalPlan
from tests.rehearsal.weights import random_tensor, shapes_of, shards_of, write_part


def test_a_tiny_studio_set_is_downloaded_cut_resumed_and_makes_a_film(
    in_process: Callable[..., Manifest],
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # So that what the rehearsal sets is taken back.
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("REELWRIGHT_DTYPE", "auto")

    def film(values: dict[str, Any], target: Path) -> Manifest:
        manifest = in_process(**values)
        objects = {item.key: item for item in manifest.objects}
        still = objects[ObjectKey.poster(manifest.content_id)]
        store.get_file(still, target.with_suffix(".jpg"))
        return manifest

    plan = RehearsalPlan(tiny=True, size="64*64", spend=True)
    seen = rehearse(plan, tmp_path, film)
    release_all()

    models = tmp_path / "models"
    for name in ("t2v-1.3B", "vace-1.3B", "mistral-7b", "realesrgan-x4plus"):
        index = read_index(models / name)
        assert index is not None
        assert bool(index.originals) == (name in ("t2v-1.3B", "vace-1.3B"))
    assert seen.cut.resumed_at >= seen.cut.killed_at > 0
    assert not list((tmp_path / "hub").rglob("*.safetensors"))  # spent
    assert seen.manifest.brief.preset == "image_fast"
    assert seen.manifest.clip.frames == 1
    assert seen.film.with_suffix(".jpg").stat().st_size > 0
    assert [stage.kind for stage in seen.stages] == ["enhancer", "encoder", "video", "upscaler"]
    assert all(stage.planned > 0 and stage.peak > 0 for stage in seen.stages)
    report(seen, tmp_path / "hub")
    assert "went on at that byte" in capsys.readouterr().out


def test_a_part_is_split_as_the_hub_splits_it(tmp_path: Path) -> None:
    shapes = {"a": (10, 10), "b": (10, 20), "c": (5, 5)}
    kinds = {"a": "F32", "b": "F32", "c": "BF16"}
    files = list(write_part(tmp_path, "model", shapes, kinds.__getitem__, 900))
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert [item.path.name for item in files] == names
    index = json.loads((tmp_path / "model.safetensors.index.json").read_bytes())
    assert index["weight_map"] == {"a": names[0], "b": names[1], "c": names[1]}
    for item in files:
        assert item.size == item.path.stat().st_size
        with safe_open(item.path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 (it is no mapping)
                expected = next(random_tensor(name, shapes[name])).view(shapes[name])
                found = opened.get_tensor(name)
                assert (expected.to(found.dtype) == found).all()


def test_what_is_left_out_or_shrunk_is_said() -> None:
    plan = RehearsalPlan(parts=("video", "upscaler"), layers=2)
    assert plan.departures[:3] == [
        "left out: writer (mistral-7b)",
        "left out: extender (vace-1.3B)",
        "shrunk: 2 layers in each network",
    ]
    assert (plan.transformer(vace=True)["num_layers"], plan.encoder()["num_layers"]) == (2, 2)


def test_real_sizes_are_those_of_the_hub() -> None:
    """The numbers of the transformer on meta tensors against public lists of the hub's files."""
    import diffusers

    plan, stem = RehearsalPlan(), "transformer/diffusion_pytorch_model"
    shapes = shapes_of(lambda: diffusers.WanTransformer3DModel(**plan.transformer(vace=False)))
    shards = shards_of(shapes, lambda _: "F32", plan.shard_bytes)
    names = [f"{stem}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    known = [KNOWN_SIZES["t2v-1.3B", name] for name in names]
    # What is left are the headers: about 100 bytes for each of the 825 weights.
    assert 0 < sum(known) - sum(size for size, _ in shards) < 100_000
    # An older diffusers named the weights of a block in another order, and cut some kB earlier.
    for (size, _), bytes_there in zip(shards, known, strict=True):
        assert abs(size - bytes_there) < 100_000
