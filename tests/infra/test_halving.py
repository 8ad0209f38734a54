"""Float32 weights are stored in 16 bits: the same pixels and identity, half the room."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from typer.testing import CliRunner

from infra.adapters.weights import fetch, halve, library
from infra.adapters.weights.catalog_wan import KEPT, WAN
from infra.adapters.weights.index import read_index, record_of
from infra.adapters.weights.library import installed_model, state_of
from infra.adapters.weights.model import Halving, HubSource, Model
from infra.adapters.weights.space import RESERVE
from infra.adapters.weights.transfer import NoProgress
from infra.apps.install import install_model, shrink
from infra.apps.models import models_app
from pipelines.errors import DiskFullError, WeightsError
from tests.support.fake_hub import COMMIT, FakeHub, fake_hub

ENCODER = "text_encoder/model-0000{}-of-00002.safetensors"
TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
SHARDS = (ENCODER.format(1), ENCODER.format(2), TRANSFORMER)
SOURCE = HubSource(
    "x/y",
    ("model_index.json", "text_encoder/*", "transformer/*", "vae/*"),
    halved={"text_encoder": Halving(), "transformer": Halving(KEPT)},
)
NAME = "t2v-14B"
MODEL = Model(NAME, "video", "Some model", "Apache-2.0", SOURCE, size=0, memory="")


def weights(seed: int, **shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Random float32 numbers; dots in their names are written as double underscores."""
    made = torch.Generator().manual_seed(seed)
    return {
        name.replace("__", "."): torch.randn(shape, generator=made)
        for name, shape in shapes.items()
    }


def transformer() -> dict[str, torch.Tensor]:
    """With everything that a rounding could get wrong."""
    odd = torch.tensor([float("nan"), float("inf"), -0.0, 1e-45, 3.4e38, 1 + 2**-8, 1 + 3 * 2**-8])
    return {
        **weights(3, proj__weight=(300, 70), blocks__0__norm2__weight=(70,), scalar=()),
        "blocks.0.ffn.bias": odd,
        "blocks.0.scale_shift_table": torch.randn(1, 6, 5, generator=torch.Generator()),
        "vace_blocks.0.proj.weight": torch.ones(3, dtype=torch.bfloat16),
        "steps": torch.arange(3),
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {
        "model_index.json": b"{}",
        "text_encoder/config.json": b"{}",
        SHARDS[0]: save(weights(1, shared__weight=(400, 90)), {"format": "pt"}),
        SHARDS[1]: save(weights(2, block__weight=(500, 90))),
        "transformer/config.json": b'{"layers": 2}',
        TRANSFORMER: save(transformer()),
        "vae/config.json": b"{}",
        "vae/diffusion_pytorch_model.safetensors": save(weights(4, conv__weight=(20, 20))),
    }
    monkeypatch.setitem(library.MODELS, NAME, MODEL)
    monkeypatch.setattr(halve, "_BLOCK", 4096)  # so that tensors are larger than a block
    with fake_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def install(models: Path, *, keep_float32: bool = False) -> list[str]:
    said: list[str] = []
    install_model(models, MODEL, said.append, NoProgress(), keep_float32=keep_float32)
    return said


def digests(models: Path, dtype: str = "bfloat16") -> dict[str, str]:
    return dict(installed_model(models, NAME, dtype).components)


def in_float32(folder: Path, hub: FakeHub) -> set[str]:
    """Names of the shards that lie as the hub has them."""
    return {name for name in SHARDS if (folder / name).read_bytes() == hub.files[name]}


def test_a_download_stores_float32_weights_in_16_bits(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    folder = tmp_path / NAME
    index = read_index(folder)
    assert index is not None
    assert set(index.originals) == set(SHARDS)
    for name in SHARDS:
        assert index.files[name] == record_of(folder / name)
        original = index.originals[name]
        assert (original.size, original.sha256) == (
            len(hub.files[name]),
            hub.sha256(hub.files[name]),
        )
    assert index.size < 0.55 * sum(map(len, hub.files.values()))
    vae = "vae/diffusion_pytorch_model.safetensors"
    assert (folder / vae).read_bytes() == hub.files[vae]
    assert not list(folder.rglob("*.part"))


def test_a_copy_has_the_bits_that_a_loader_in_bfloat16_makes(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    copy, loaded = load_file(tmp_path / NAME / TRANSFORMER), {}
    for name, value in transformer().items():
        rounded = value.dtype == torch.float32 and not set(name.split(".")) & set(KEPT)
        loaded[name] = value.to(torch.bfloat16) if rounded else value
    assert {name: value.dtype for name, value in copy.items()} == {
        name: value.dtype for name, value in loaded.items()
    }
    for name, value in loaded.items():
        assert copy[name].shape == value.shape
        bits = [item.flatten().view(torch.uint8) for item in (copy[name], value)]
        assert torch.equal(*bits), name
    first = halve.header_of(tmp_path / NAME / SHARDS[0])
    assert first["__metadata__"] == {"format": "pt"}


def test_a_copy_has_the_identity_of_its_original_in_bfloat16_and_its_own_in_float32(
    hub: FakeHub, tmp_path: Path
) -> None:
    install(tmp_path / "copy")
    install(tmp_path / "plain", keep_float32=True)
    plain = digests(tmp_path / "plain")
    assert digests(tmp_path / "copy") == plain == digests(tmp_path / "plain", "float32")
    exact = digests(tmp_path / "copy", "float32")
    assert {name for name in exact if exact[name] != plain[name]} == {"text_encoder", "transformer"}


def die(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, call: int) -> None:
    """The process dies at the beginning of the given call of a function, counted from 1."""
    function: Callable[..., object] = getattr(target, name)
    calls = 0

    def dying(*values: Any, **named: Any) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return function(*values, **named)

    monkeypatch.setattr(target, name, dying)


@pytest.mark.parametrize(
    ("target", "name", "call", "fetched"),
    [
        (fetch, "write_copy", 2, {TRANSFORMER}),
        # Between the note of the first copy and its renaming: the float32 file still lies there.
        (fetch, "copy_of", 2, {SHARDS[1], TRANSFORMER}),
        (fetch, "save_index", 1, set()),
    ],
)
def test_a_download_that_was_killed_makes_no_copy_twice(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    call: int,
    fetched: set[str],
) -> None:
    with monkeypatch.context() as patch:
        die(patch, target, name, call)
        with pytest.raises(KeyboardInterrupt):
            install(tmp_path)
    assert state_of(tmp_path, MODEL).kind != "installed"
    before = {path: path.stat().st_ino for path in (tmp_path / NAME).rglob("*.safetensors")}
    hub.sent.clear()
    install(tmp_path)
    assert set(hub.names()) & set(SHARDS) == fetched
    assert in_float32(tmp_path / NAME, hub) == set()
    kept = {path for path, inode in before.items() if path.stat().st_ino == inode}
    assert (tmp_path / NAME / SHARDS[0] in kept) == (name != "copy_of")
    assert not list((tmp_path / NAME).rglob("*.part"))


def test_a_damaged_copy_is_fetched_and_made_again(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    path, before = tmp_path / NAME / SHARDS[1], digests(tmp_path)
    record = record_of(path)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    with pytest.raises(WeightsError, match="is altered"):
        installed_model(tmp_path, NAME)
    hub.sent.clear()
    install(tmp_path)
    assert hub.names() == [SHARDS[1]]
    assert (record_of(path), digests(tmp_path)) == (record, before)


def test_a_copy_that_differs_does_not_replace_its_original(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halve, "_rounded", lambda block: bytes(len(block) // 2))
    with pytest.raises(WeightsError, match="differs from its original, which is kept"):
        install(tmp_path)
    assert (tmp_path / NAME / SHARDS[0]).read_bytes() == hub.files[SHARDS[0]]
    assert not halve.copy_of(tmp_path / NAME / SHARDS[0]).exists()


def test_the_disk_must_have_room_for_a_file_beside_its_copy_and_no_more(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {name: len(data) for name, data in hub.files.items()}
    before = sizes["model_index.json"] + sizes["text_encoder/config.json"]
    # The second shard is the largest: it lies beside its copy and that of the first.
    need = before + int(0.51 * sizes[SHARDS[0]]) + int(1.51 * sizes[SHARDS[1]])
    assert need < sum(sizes.values())
    free = need + RESERVE - 1
    monkeypatch.setattr("infra.adapters.weights.space.free_bytes", lambda _: free)
    with pytest.raises(DiskFullError, match="nothing was fetched"):
        install(tmp_path)
    assert hub.sent == []
    free += 1
    install(tmp_path)
    with pytest.raises(DiskFullError):
        install(tmp_path / "plain", keep_float32=True)


def test_float32_weights_are_kept_or_fetched_again_on_demand(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path)
    hub.sent.clear()
    install(tmp_path, keep_float32=True)
    assert set(hub.names()) == set(SHARDS)
    assert in_float32(tmp_path / NAME, hub) == set(SHARDS)
    said = install(tmp_path)  # what is installed in float32 stays so
    assert said[0].endswith("it is smaller after: reelwright models shrink t2v-14B")
    damaged = tmp_path / NAME / TRANSFORMER
    damaged.write_bytes(b"")
    install(tmp_path)
    assert damaged.read_bytes() == hub.files[TRANSFORMER]


def test_an_installed_model_is_shrunk_and_keeps_its_identity(hub: FakeHub, tmp_path: Path) -> None:
    install(tmp_path, keep_float32=True)
    before, said = digests(tmp_path), list[str]()
    hub.sent.clear()
    shrink(tmp_path, MODEL, said.append)
    assert said[-1].startswith("t2v-14B: ")
    assert "on disk instead of" in said[-1]
    assert (hub.sent, digests(tmp_path)) == ([], before)
    assert in_float32(tmp_path / NAME, hub) == set()
    index = read_index(tmp_path / NAME)
    assert index is not None
    assert set(index.originals) == set(SHARDS)
    shrink(tmp_path, MODEL, said.append)
    assert read_index(tmp_path / NAME) == index
    assert install(tmp_path) == ["t2v-14B: Some model is installed"]


@pytest.mark.parametrize(
    ("target", "name", "call"),
    [
        (halve, "write_copy", 2),
        (halve, "save_index", 2),
        (halve, "copy_of", 4),  # the renaming of the second
        (halve, "save_index", 4),
    ],
)
def test_shrinking_that_was_killed_leaves_a_model_that_works_and_goes_on(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: Any,
    name: str,
    call: int,
) -> None:
    install(tmp_path, keep_float32=True)
    before = digests(tmp_path)
    with monkeypatch.context() as patch:
        die(patch, target, name, call)
        with pytest.raises(KeyboardInterrupt):
            shrink(tmp_path, MODEL, lambda _: None)
    assert digests(tmp_path) == before
    left = in_float32(tmp_path / NAME, hub)
    exact = digests(tmp_path, "float32")
    for part in ("text_encoder", "transformer"):
        whole = all(shard in left for shard in SHARDS if shard.startswith(part))
        assert (exact[part] == before[part]) == whole
    shrink(tmp_path, MODEL, lambda _: None)
    assert digests(tmp_path) == before
    assert in_float32(tmp_path / NAME, hub) == set()


def test_the_commands_shrink_and_keep(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(tmp_path))
    runner = CliRunner()
    assert runner.invoke(models_app, ["download", NAME, "--keep-float32"]).exit_code == 0
    assert in_float32(tmp_path / NAME, hub) == set(SHARDS)
    assert runner.invoke(models_app, ["shrink", NAME]).exit_code == 0
    assert in_float32(tmp_path / NAME, hub) == set()
    assert runner.invoke(models_app, ["verify", NAME]).exit_code == 0
    (tmp_path / NAME / "index.json").unlink()
    failed = runner.invoke(models_app, ["shrink", NAME])
    assert "run: reelwright models download t2v-14B" in str(failed.exception)


def test_an_index_of_an_older_version_is_read_and_a_plain_one_is_written_as_before(
    hub: FakeHub, tmp_path: Path
) -> None:
    install(tmp_path, keep_float32=True)
    written = json.loads((tmp_path / NAME / "index.json").read_bytes())
    assert set(written) == {"source", "revision", "files"}


# What public sources say about the hub's files


def held_to(known: dict[str, str]) -> Model:
    source = HubSource(SOURCE.repository, SOURCE.patterns, COMMIT, sha256=known)
    return Model(NAME, "video", "Some model", "Apache-2.0", source, size=0, memory="")


def test_a_mirror_that_announces_other_bytes_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    wanted = held_to({SHARDS[1]: "0" * 64})
    with pytest.raises(WeightsError, match=r"other bytes .* HF_ENDPOINT names a mirror"):
        install_model(tmp_path, wanted, lambda _: None, NoProgress())
    assert hub.sent == []


def test_a_small_file_is_held_to_its_known_sha256_too(hub: FakeHub, tmp_path: Path) -> None:
    good = {name: hub.sha256(data) for name, data in hub.files.items()}
    install_model(tmp_path, held_to(good), lambda _: None, NoProgress())
    wrong = good | {"transformer/config.json": "0" * 64}
    with pytest.raises(WeightsError, match=r"transformer/config\.json arrived altered"):
        install_model(tmp_path / "other", held_to(wrong), lambda _: None, NoProgress())


# Against the real classes, on a tiny checkpoint


def test_the_catalog_keeps_in_float32_what_the_classes_keep() -> None:
    import diffusers
    from transformers import UMT5EncoderModel

    for name in (
        "WanTransformer3DModel",
        "WanVACETransformer3DModel",
        "WanAnimateTransformer3DModel",
    ):
        assert set(getattr(diffusers, name)._keep_in_fp32_modules) <= set(KEPT), name
    assert not UMT5EncoderModel._keep_in_fp32_modules_strict
    for model in WAN:
        assert isinstance(model.source, HubSource)
        assert "vae" not in model.source.halved
        assert model.installed_size < model.size
        for part in model.source.halved:
            assert f"{part}/*" in model.source.patterns


def test_a_copy_makes_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tiny.running import film, load
    from tests.tiny.wan import write_wan_t2v

    folder = tmp_path / "hub"
    write_wan_t2v(folder)
    for file in folder.glob("*/*.safetensors"):  # float32 throughout, and no number fits 16 bits
        values = {key: value.float() * 1.001 for key, value in load_file(file).items()}
        save_file(values, file, {"format": "pt"})
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    (wan,) = (model for model in WAN if model.name == "t2v-1.3B")
    assert isinstance(wan.source, HubSource)
    source = HubSource("x/y", wan.source.patterns, halved=wan.source.halved)
    model = Model(NAME, "video", "Tiny", "Apache-2.0", source, size=0, memory="")
    monkeypatch.setenv("NO_PROXY", "*")
    with fake_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        install_model(tmp_path, model, lambda _: None, NoProgress())
    index = read_index(tmp_path / NAME)
    assert index is not None
    assert {name.partition("/")[0] for name in index.originals} == {"text_encoder", "transformer"}
    old, new = load("WanPipeline", folder), load("WanPipeline", tmp_path / NAME)
    for part in ("text_encoder", "transformer"):
        before, after = (getattr(item, part).state_dict() for item in (old, new))
        assert {key: value.dtype for key, value in before.items()} == {
            key: value.dtype for key, value in after.items()
        }
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.float32 in {value.dtype for value in new.transformer.state_dict().values()}
    assert (film(old) == film(new)).all()
