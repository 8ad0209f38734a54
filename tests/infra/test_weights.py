"""Model files are the ones that were installed, or the run does not start."""

import os
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.adapters.weights import library
from infra.adapters.weights.catalog import MODEL_SETS, MODELS, model_of, models_of, set_models
from infra.adapters.weights.index import decides_pixels, faults, read_index, write_index
from infra.adapters.weights.library import (
    installed_lora,
    installed_model,
    installed_names,
    state_of,
)
from infra.adapters.weights.model import HubSource
from infra.apps.doctor import examine_models
from infra.apps.install import install
from infra.apps.models import accept, models_app, presets_by_model
from pipelines.backends.base import BackendDefinition, ModelFolder
from pipelines.backends.registry import registered
from pipelines.errors import BriefError, WeightsError
from pipelines.schema.capabilities import Capabilities
from pipelines.schema.keys import Digest
from pipelines.schema.presets import BackendOptions, Preset
from pipelines.schema.sizes import Size
from tests.tiny.animatediff import write_stable_diffusion

NET = "realesr-animevideov3"
DEMO = MODEL_SETS["demo"].models


@pytest.fixture
def models(demo_models: Path, tmp_path: Path) -> Path:
    """A copy of the demo set to damage; the large file is linked and must not be written to."""
    target = tmp_path / "models"

    def copy(source: str, destination: str) -> None:
        (os.link if source.endswith(".gguf") else shutil.copy2)(source, destination)

    for name in DEMO:
        source = state_of(demo_models, MODELS[name]).folder
        assert source is not None
        shutil.copytree(source, target / name, copy_function=copy)
    return target


def damage(path: Path, kind: str) -> None:
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    else:
        with path.open("r+b") as handle:
            handle.seek(path.stat().st_size // 2)
            byte = handle.read(1)
            handle.seek(-1, os.SEEK_CUR)
            handle.write(bytes([byte[0] ^ 1]))


def test_intact_models_are_found(models: Path) -> None:
    writer, video = installed_model(models, "gemma-3-270m"), installed_model(models, "tiny-wan")
    assert writer.path.stat().st_size == 253_113_024
    assert writer.sizes == {"file": 253_113_024}
    assert (video.path, video.licence) == (models / "tiny-wan", "Apache-2.0")
    assert set(video.components) == {
        "pipeline",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "transformer",
        "vae",
    }
    assert installed_names(models) == ["gemma-3-270m", "tiny-wan", NET]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("missing", "is missing"), ("truncated", "bytes"), ("bit-flipped", "is altered")],
)
def test_damage_is_named_with_file_and_remedy_and_repaired(
    models: Path, kind: str, words: str
) -> None:
    path = installed_model(models, NET).path  # remembered as right: the damage must still be seen
    damage(path, kind)
    with pytest.raises(WeightsError, match=words) as refusal:
        installed_model(models, NET)
    assert str(path) in str(refusal.value)
    assert f"reelwright models download {NET}" in str(refusal.value)
    install(models, "demo", lambda _: None)
    installed_model(models, NET)


def test_verify_hashes_also_what_looks_untouched(models: Path) -> None:
    path = installed_model(models, NET).path
    before = path.stat()
    damage(path, "bit-flipped")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    index = read_index(path.parent)
    assert index is not None
    assert [name for name, _ in faults(path.parent, index, everything=True)] == [path.name]


def test_a_model_that_is_not_installed_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"run: reelwright models download t2v-1\.3B"):
        installed_model(tmp_path, "t2v-1.3B")


def test_an_interrupted_installation_is_no_installation(models: Path) -> None:
    (models / NET / "index.json").unlink()
    with pytest.raises(WeightsError, match="not installed"):
        installed_model(models, NET)
    assert NET not in installed_names(models)


def test_a_damaged_index_is_named(models: Path) -> None:
    (models / NET / "index.json").write_text("{")
    with pytest.raises(WeightsError, match=r"index\.json is damaged"):
        installed_model(models, NET)
    assert state_of(models, MODELS[NET]).kind == "incomplete"


def test_models_of_older_versions_are_found_where_they_lie(models: Path, tmp_path: Path) -> None:
    """Versions 0.1 and 0.2 kept a folder for each role of a set."""
    before = {name: installed_model(models, name).components for name in DEMO}
    for name, role in zip(DEMO, ("writer", "video", "upscaler"), strict=True):
        (models / "demo").mkdir(exist_ok=True)
        (models / name).rename(models / "demo" / role)
    assert {name: installed_model(models, name).components for name in DEMO} == before
    said: list[str] = []
    install(models, "demo", said.append)
    assert all(line.endswith("is installed") for line in said), said
    assert sorted(path.name for path in models.iterdir() if path.is_dir()) == ["demo"]


def test_one_flipped_byte_changes_the_identity_of_its_component_alone(models: Path) -> None:
    folder = models / "tiny-wan"
    before = installed_model(models, "tiny-wan").components
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in [path for path in files if path.name != "index.json" and path.name[0] != "."]:
        damage(path, "bit-flipped")
        write_index(folder, "package:reelwright", "another")
        after = installed_model(models, "tiny-wan").components
        changed = {name for name in before if before[name] != after[name]}
        relative = path.relative_to(folder)
        expected = relative.parts[0] if len(relative.parts) > 1 else "pipeline"
        assert changed == {expected}, relative
        damage(path, "bit-flipped")  # flipped back


def test_the_identity_does_not_depend_on_the_source_or_on_files_that_people_read(
    models: Path,
) -> None:
    folder = models / "tiny-wan"
    before = installed_model(models, "tiny-wan").components
    for name in ("README.md", "LICENSE.txt", "vae/preview.png", "card/scores.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("for people")
    write_index(folder, "hub:a", "2")
    assert installed_model(models, "tiny-wan").components == before


@pytest.mark.parametrize(
    "name",
    ["model_index.json", "tokenizer/merges.txt", "image_processor/merges.txt", "vae/x.safetensors"],
)
def test_what_a_loader_reads_decides_pixels(name: str) -> None:
    assert decides_pixels(name)


# LoRAs


def test_a_lora_of_the_users_own_has_its_bytes_as_identity(tmp_path: Path) -> None:
    path = tmp_path / "loras" / "house-style.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"one")
    first = installed_lora(tmp_path, "house-style")
    assert (first.path, installed_lora(tmp_path, "house-style")) == (path, first)
    path.write_bytes(b"two")
    assert installed_lora(tmp_path, "house-style").sha256 != first.sha256


@pytest.mark.parametrize("name", ["nothing", "../loras/x", "t2v-1.3B"])
def test_a_lora_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="there is no LoRA"):
        installed_lora(tmp_path, name)


def test_a_lora_of_the_catalog_has_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "lightning-t2v-A14B-high"
    folder = ModelFolder(name, "a LoRA", "Apache-2.0", tmp_path, {"file": Digest("0" * 64)}, {})
    monkeypatch.setattr(library, "installed_model", lambda *_: folder)
    assert installed_lora(tmp_path, name).licence == "Apache-2.0"


def test_a_lora_of_the_catalog_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="models download lightning-t2v-A14B-high"):
        installed_lora(tmp_path, "lightning-t2v-A14B-high")


# Names and licences


def test_a_name_in_another_case_is_suggested() -> None:
    with pytest.raises(BriefError, match=r"did you mean t2v-A14B\?"):
        models_of(["T2V-a14b"])
    with pytest.raises(BriefError, match=r"did you mean t2v-1\.3B\?"):
        model_of("t2v-1.3b")


def test_a_word_names_a_model_or_a_set_and_nothing_twice() -> None:
    names = [model.name for model in models_of(["demo", "tiny-wan", "sd15"])]
    assert names == [*DEMO, "sd15"]


def test_the_catalog_is_consistent() -> None:
    for item in MODEL_SETS.values():
        chosen = set_models(item.name)
        assert MODELS[chosen.enhancer].enhancer is not None
        assert MODELS[chosen.upscaler].role == "upscaler"
        assert {chosen.enhancer, chosen.upscaler} <= set(item.models) <= set(MODELS)
    for model in MODELS.values():
        assert (model.role == "enhancer") == (model.enhancer is not None), model.name
        assert model.memory, model.name
        if model.role == "lora":
            assert model.file.endswith(".safetensors"), model.name
        if model.file and isinstance(model.source, HubSource):
            assert model.source.patterns == (model.file,), model.name
    folders = [folder for model in MODELS.values() for folder in model.folders]
    assert len(folders) == len({folder.casefold() for folder in folders})


@pytest.mark.parametrize("word", ["sd15", "creativeml openrail-m"])
def test_a_licence_that_restricts_is_shown_and_must_be_accepted(
    tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = models_of(["sd15"])
    with pytest.raises(BriefError, match="accept it with --accept-licence sd15"):
        accept(tmp_path, wanted, [])
    assert "CreativeML OpenRAIL-M: commercial use is allowed" in capsys.readouterr().err
    accept(tmp_path, wanted, [word])


def test_who_has_the_model_accepted_its_licence_before(tmp_path: Path) -> None:
    wanted = models_of(["sd15"])
    with pytest.raises(BriefError, match="was not accepted"):
        accept(tmp_path, wanted, [])
    write_stable_diffusion(tmp_path / "sd15")
    write_index(tmp_path / "sd15", "test", "1")
    accept(tmp_path, wanted, [])


def test_a_model_that_comes_with_a_package_shows_its_licence_and_asks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(tmp_path, models_of(["gemma-3-270m"]), [])
    assert "gemma-3-270m: " in capsys.readouterr().err


def test_the_list_says_role_size_licence_and_state(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELWRIGHT_MODELS_DIR", str(models))
    lines = CliRunner().invoke(models_app, ["list"]).stdout.splitlines()
    by_name = {line.split()[0]: line for line in lines}
    for words in ("enhancer", "253 MB", "installed", "Gemma Terms of Use"):
        assert words in by_name["gemma-3-270m"]
    for words in ("video", "126.2 GB", "missing", "Apache-2.0"):
        assert words in by_name["t2v-A14B"]


def test_doctor_names_what_the_sets_lack_and_the_room_for_it(models: Path) -> None:
    found = {finding.name: finding for finding in examine_models(models)}
    assert found["models demo"].good
    studio = found["models studio"]
    assert (studio.good, studio.needed) == (False, False)
    assert "t2v-1.3B is missing" in studio.text
    assert "about 41.0 GB to fetch" in studio.text
    assert studio.text.endswith(
        "run: reelwright models download mistral-7b t2v-1.3B vace-1.3B realesrgan-x4plus"
    )


def test_the_models_that_presets_need_are_named(models: Path) -> None:
    size = Size(64, 64)
    definition = BackendDefinition(
        name="large",
        title="Large",
        capabilities=Capabilities(
            inputs=frozenset({"text"}), fps=16, frame_step=4, max_frames=81, sizes=(size,)
        ),
        options=BackendOptions,
        presets=(
            Preset(
                name="video_large",
                title="",
                backend="large",
                size=size,
                frames=17,
                options=BackendOptions(),
            ),
        ),
        create=lambda *_: pytest.fail("nothing is loaded"),
        models=("t2v-A14B",),
        more_models={"continuation": ("vace-1.3B",)},
        model_set="demo",
    )
    with registered(definition):
        assert "models large" not in {finding.name for finding in examine_models(models)}
        assert "video_large" in presets_by_model()["vace-1.3B"]
        begun = models / "t2v-A14B"
        begun.mkdir()
        (begun / "model_index.json").write_text("{}")
        found = {finding.name: finding for finding in examine_models(models)}
    text = found["models large"].text
    assert "t2v-A14B is incomplete" in text
    assert "vace-1.3B is missing; about 133.9 GB" in text


def test_doctor_fails_if_no_set_is_complete(tmp_path: Path) -> None:
    last = list(examine_models(tmp_path))[-1]
    assert (last.good, last.needed) == (False, True)
    assert "reelwright models download demo" in last.text
