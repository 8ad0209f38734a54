"""The GPU check runs through on a CPU with tiny models: what it measures is there and sensible."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backends.measuring import ClipCost
from pipelines.schema.memory import DEVICE_CONTEXT
from tests.conftest import REPOSITORY
from tests.gpu.__main__ import STAGES, main
from tests.gpu.check import GB, TINY, Check
from tests.gpu.product import Product, difference, row_of
from tests.gpu.table import ANCHORS, aims, failures, report
from tests.support.fake_gpu import FakeCard, environment, install


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    out = tmp_path_factory.mktemp("gpu")
    return main(["--tiny", "--no-compile", "--out", str(out), "--budget", "600"]), out


@pytest.fixture
def results(finished: tuple[int, Path]) -> dict[str, dict[str, Any]]:
    return json.loads((finished[1] / "gpu_check.json").read_text())


def test_every_stage_runs_through_and_leaves_only_its_results(
    finished: tuple[int, Path], results: dict[str, dict[str, Any]]
) -> None:
    code, out = finished
    assert failures(results) == {}
    assert code == 0
    assert list(results) == list(STAGES)
    assert [path.name for path in out.iterdir()] == ["gpu_check.json"]
    assert results["host"]["bf16_works"]
    assert set(results["weights"]["files_gb"]) == {"text_encoder", "transformer", "vae"}


def test_a_chunk_is_calculated_from_the_steps_that_were_measured(
    results: dict[str, dict[str, Any]],
) -> None:
    rows = {name: row for name, row in results["presets"].items() if isinstance(row, dict)}
    assert {"image_fast", "image_high", "video_fast", "video_high", "video_turbo"} <= set(rows)
    for row in rows.values():
        assert row["measured_steps"] == TINY.steps
        assert row["steps"] > row["measured_steps"]
        assert row["decode_s"] > 0
        assert row["denoise_s"] >= row["step_s"] * (row["steps"] - row["measured_steps"]) * 0.99
        assert row["chunk_s"] == pytest.approx(row["denoise_s"] + row["decode_s"], abs=0.002)
        assert row["memory_mode"] == "resident"


def test_our_pixels_are_those_of_stock_diffusers(results: dict[str, dict[str, Any]]) -> None:
    rows = [row for row in results["stock"].values() if isinstance(row, dict)]
    assert len(rows) >= 5
    for row in rows:
        assert row["same_pixels"]
        assert row["largest_difference"] <= 1
        assert row["spread"] > 5


def test_under_a_low_cap_a_slower_way_is_taken_and_then_the_fast_one_again(
    results: dict[str, dict[str, Any]],
) -> None:
    rows = [row for row in results["cap"].values() if isinstance(row, dict)]
    assert [("tiled-decode" in row["memory_mode"]) for row in rows] == [True, True, False]
    assert rows[-1]["memory_mode"] == "resident"


def test_what_is_compared_is_measured_on_both_sides(results: dict[str, dict[str, Any]]) -> None:
    for name in ("video_fast", "video_high"):
        assert results["decode"][name]["ours"]["over_bare"] > 0
        assert results["decode"][name]["bfloat16"]["largest_difference"] > 0
        assert results["options"][name]["native_s"] > 0
        assert results["vace"][name]["steps"] > 2
    (row,) = (item for item in results["upscale"].values() if isinstance(item, dict))
    assert set(row) == {"plain", "batch 1", "batch 2", "batch 4"}
    assert all(item["frame_s"] > 0 for item in row.values())
    assert row["batch 4"]["mean_difference"] < 1
    assert results["anchor"]["steps"] == 50
    assert results["text"]["prepare_1_s"] > 0
    assert "skipped" in results["compiled"]


def test_the_tables_show_presets_anchors_aims_and_failures(
    results: dict[str, dict[str, Any]],
) -> None:
    text = report(results)
    assert all(f"| `{name}` |" in text for name in ("video_fast", "video_high", "image_high"))
    assert text.count(", published |") == len(ANCHORS)
    assert "FAIL" not in text
    results["vace"]["video_fast"] = {"error": "OutOfMemoryError: too little"}
    results["text"] = {"skipped": "the budget was used up"}
    assert "FAIL vace, video_fast: OutOfMemoryError: too little" in report(results)
    assert "--   text: the budget was used up" in report(results)


def test_an_aim_is_reached_or_missed_by_the_figures() -> None:
    figures = {
        "presets": {"video_fast": {"chunk_s": 2.0, "reserved_gb": 21.0}},
        "compiled": {"video_fast": {"chunk_s": 2.2}},
        "stock": {"video_fast": {"chunk_s": 3.2}},
        "decode": {"video_fast": {"ours": {"over_bare": 1.4}}},
        "upscale": {"64*64": {"plain": {"frame_s": 0.7}, "batch 4": {"frame_s": 0.1}}},
    }
    assert {name: reached for name, (_, _, reached) in aims(figures).items()} == {
        "`video_fast`: times stock": True,
        "`video_fast`, compiled: times stock": False,
        "`video_fast`: decode over bare network": False,
        "upscale 64*64: times RealESRGANer's loop": True,
        "`video_fast`: GB reserved": True,
    }


def check_in(folder: Path, **other: Any) -> Check:
    return Check(folder, folder, TINY, **{"budget": 600.0, **other})


def test_a_failed_stage_is_recorded_and_the_next_goes_on(tmp_path: Path) -> None:
    check = check_in(tmp_path)

    def fails(result: dict[str, Any]) -> None:
        result["before"] = 1
        raise torch.OutOfMemoryError("CUDA out of memory")

    check.stage("first", fails)
    check.stage("second", lambda result: result.update(done=True))
    saved = json.loads((tmp_path / "gpu_check.json").read_text())
    assert saved["first"]["error"] == "OutOfMemoryError: CUDA out of memory"
    assert saved["first"]["before"] == 1
    assert saved["second"]["done"]
    assert failures(saved) == {("first", ""): "OutOfMemoryError: CUDA out of memory"}


def test_no_stage_begins_when_the_budget_is_used_up_or_it_is_not_wanted(tmp_path: Path) -> None:
    check = check_in(tmp_path, budget=-1.0, wanted=("late",))
    check.stage("late", lambda result: result.update(done=True))
    check.stage("other", lambda result: result.update(done=True))
    assert list(check.results) == ["late"]
    assert "skipped" in check.results["late"]


def test_the_cap_is_a_share_of_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []

    class Card:
        total_memory = 32_000_000_000

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    check = check_in(tmp_path)
    check.cuda = True
    for gigabytes in (22.0, 16.0, 80.0, None):
        check.enforce(gigabytes)
    assert shares == [0.6875, 0.5, 1.0, 1.0]


def test_the_product_s_cap_leaves_room_for_the_context_as_in_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with environment():
        card = install(monkeypatch, FakeCard())
        check = check_in(tmp_path)
        check.cuda = True
        product = Product(check)
        for gigabytes in (22.0, 6.0):
            product.host.limit(gigabytes)
            product.enforce()
            assert card.share == (gigabytes * GB - DEVICE_CONTEXT) / card.total


def test_a_row_says_how_far_the_peak_is_from_the_plan_and_what_all_steps_take() -> None:
    cost = ClipCost(3.0, 2.5, 0.5, 4, "resident", 11_000_000_000, 12_500_000_000)
    row = row_of(cost, 12, planned=10_000_000_000)
    assert (row["chunk_s"], row["denoise_s"], row["decode_s"]) == (7.0, 6.5, 0.5)
    assert (row["allocated_gb"], row["reserved_gb"], row["plan_gb"]) == (11.0, 12.5, 10.0)
    assert row["off_plan_percent"] == 10.0


def test_pixels_are_the_same_up_to_rounding_and_not_beyond() -> None:
    picture = np.random.default_rng(0).integers(0, 250, (2, 8, 8, 3)).astype(np.uint8)
    assert difference(picture, picture + 1)["same_pixels"]
    assert not difference(picture, picture + 5)["same_pixels"]
    one_frame = picture.copy()
    one_frame[0, 0] += 6  # a row of one frame, 1 value in 16
    found = difference(picture, one_frame)
    assert found["mean_difference"] < 1
    assert not found["same_pixels"]
    assert difference(picture, np.full_like(picture, 7))["spread"] == 0


def test_an_unknown_stage_is_refused_with_those_that_are_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["--tiny", "--stages", "host,nonsense"])
    assert "nonsense: choose of host, weights" in capsys.readouterr().err


PACK = REPOSITORY / "tests" / "gpu" / "pack.sh"
_ABSENT = ("prefect", "fastapi", "sqlalchemy", "typer", "minio", "av", "ffmpeg", "llama_cpp")
_ABSENT += ("imageio_ffmpeg", "uvicorn", "jinja2", "cryptography", "asyncpg", "gguf")
"""Packages of ours that neither the pack nor such a machine has."""


def test_the_pack_names_a_version_for_each_package_and_no_address() -> None:
    listed = subprocess.run(["bash", PACK, "--list"], capture_output=True, text=True, check=True)
    names = [line.split("==")[0].lower().replace("_", "-") for line in listed.stdout.split()]
    assert len(names) == len(set(names)) == 13
    assert {"diffusers", "spandrel", "pydantic", "pydantic-core"} <= set(names)
    assert "://" not in PACK.read_text()


def test_the_check_imports_nothing_that_is_neither_packed_nor_there() -> None:
    """Of the modules that it loads before a stage runs, in a process of its own."""
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {_ABSENT!r}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import tests.gpu.__main__\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-600:]
