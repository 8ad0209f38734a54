"""What a run is said to cost, stage by stage, before it starts; models of real size, as headers."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.backends.base import Effort
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import StageCost
from pipelines.planning.disk import disk_of
from pipelines.planning.estimate import default_rates, estimate, learn
from pipelines.planning.memory import Footprint, memory_of
from pipelines.planning.plan import timeline
from pipelines.schema.memory import DEVICE_CONTEXT
from pipelines.schema.plan import Estimate
from pipelines.schema.sizes import Size
from pipelines.upscaling.ladder import Way
from tests.backends.host import MemoryHost
from tests.support.planned import NamedBackend
from tests.support.published import film_of

GB = 10**9
ROOM = int(21.5 * GB)
"""22 GB without CUDA's context."""
STUDIO = Footprint(
    enhancer=int(5.3 * GB),
    upscaler=67_040_989,
    way=Way(4),
    value_bytes=2,
    base=DEVICE_CONTEXT,
    room=ROOM,
)
TRANSFORMER = {
    "num_attention_heads": 12,
    "attention_head_dim": 128,
    "ffn_dim": 8960,
    "num_layers": 30,
    "patch_size": [1, 2, 2],
    "in_channels": 16,
}


def component(folder: Path, parameters: int, **config: Any) -> None:
    """A component whose only file is a header: its numbers are counted, never read."""
    folder.mkdir(parents=True)
    values = {"w": {"dtype": "F32", "shape": [parameters], "data_offsets": [0, 4 * parameters]}}
    text = json.dumps(values).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def host(tmp_path: Path) -> MemoryHost:
    """A card of 22 GB with Wan 2.1 1.3B, by the numbers of its files."""
    model = tmp_path / "model"
    component(model / "text_encoder", 5_680_910_336)
    component(model / "transformer", 1_418_996_800, **TRANSFORMER)
    component(model / "vae", 126_892_531, base_dim=96)
    for part in ("tokenizer", "scheduler"):
        component(model / part, 1)
    (model / "model_index.json").write_text("{}")
    host = MemoryHost(tmp_path / "cache", {"t2v-1.3B": model}, dtype="bfloat16", free=ROOM)
    host.device = "cuda"
    return host


def said(host: MemoryHost, preset: str, **values: object) -> Estimate:
    brief = Brief.model_validate({"prompt": "a red fox", "preset": preset} | values)
    backend = brief.backend.create(host, brief.inputs)
    return estimate(brief, backend, default_rates(brief.backend, "cuda"), STUDIO)


def gigabytes(expected: Estimate) -> dict[str, float]:
    """By stage, the parts of the chunks apart."""
    return {
        name: round(size / GB, 1)
        for item in expected.stages
        for name, size in (item.parts or {item.stage: item.memory_bytes}).items()
    }


@pytest.mark.parametrize("preset", ["image_fast", "image_high", "video_fast", "video_high"])
@pytest.mark.parametrize("upscale", [1, 4])
def test_no_stage_of_the_studio_set_is_said_to_exceed_22_gb(
    host: MemoryHost, preset: str, upscale: int
) -> None:
    expected = said(host, preset, upscale=upscale)
    assert expected.peak_memory_bytes == max(item.memory_bytes for item in expected.stages)
    assert expected.peak_memory_bytes <= 22 * GB


def test_a_picture_takes_what_its_text_encoder_takes(host: MemoryHost) -> None:
    """The encoder's files have 32 bits a number; on the device they take half of that."""
    expected = said(host, "image_fast")
    assert gigabytes(expected)["encode"] == 13.0
    assert expected.peak_memory_bytes == pytest.approx(13.0 * GB, rel=0.01)


def test_every_stage_of_a_video_is_said_as_the_plan_has_it(host: MemoryHost) -> None:
    stages = gigabytes(said(host, "video_high", upscale=4))
    assert list(stages) == [
        *("enhance", "encode", "denoise", "decode", "stitch", "upscale", "upload")
    ]
    assert stages["enhance"] == 5.8
    # Whole frames in float32 need 22.4 GB without the transformer too: they are decoded in tiles.
    assert 5 < stages["decode"] < 7
    assert stages["denoise"] < 8
    assert 17 < stages["upscale"] < 21.5


def test_with_little_room_fewer_frames_are_said_to_be_enlarged_at_once() -> None:
    effort = Effort(1.0, 2 * GB, held_bytes=4 * GB)
    sizes = {}
    for room in (22, 13, 7, 5):
        footprint = Footprint(0, 0, Way(4), value_bytes=2, base=0, room=room * GB)
        sizes[room] = memory_of(effort, footprint, Size(1280, 720))["upscale"].peak / GB
    assert sizes[22] == pytest.approx(4 + 1.1 * 15.1, rel=0.01)
    assert sizes[13] == pytest.approx(4 + 1.1 * 7.55, rel=0.01)
    assert sizes[7] == pytest.approx(1.1 * 3.77, rel=0.01)  # the video model has to go
    assert sizes[5] == pytest.approx(1.1 * 3.77, rel=0.01)


def test_models_of_an_earlier_run_count_while_they_may_stay() -> None:
    effort = Effort(1.0, 0, {"encode": 12 * GB, "denoise": GB})
    peaks = [
        memory_of(effort, Footprint(5 * GB, 0, base=0, room=16 * GB, loaded=loaded), Size(64, 64))
        for loaded in (0, 4 * GB, 6 * GB)
    ]
    assert [peak["enhance"].peak // GB for peak in peaks] == [5, 9, 11]
    assert [peak["encode"].peak // GB for peak in peaks] == [12, 16, 12]


def test_seconds_and_disk_are_the_sums_of_the_stages(host: MemoryHost) -> None:
    expected = said(host, "video_fast", upscale=2)
    assert expected.seconds == pytest.approx(sum(item.seconds for item in expected.stages), abs=0.3)
    assert expected.disk_bytes == sum(item.disk_bytes for item in expected.stages)
    names = [item.stage for item in expected.stages if item.seconds]
    assert names == ["enhance", "encode", "chunks", "upscale"]


def test_the_words_name_every_stage_that_loads_a_model(host: MemoryHost) -> None:
    words = said(host, "video_fast", upscale=2).memory_words
    assert words.startswith("at most ")
    for name in ("enhance 5.8", "encode 13.0", "denoise ", "decode ", "upscale "):
        assert name in words
    assert "upload" not in words


def test_an_estimate_of_an_earlier_version_has_no_stages() -> None:
    old = {"seconds": 1, "peak_memory_bytes": 2 * GB, "disk_bytes": 1, "basis": "then"}
    assert Estimate.model_validate(old).memory_words == "at most 2.0 GB of memory"


def disk(archive: int = 0, **values: object) -> dict[str, int]:
    brief = Brief.model_validate({"prompt": "x", "preset": "demo", "seconds": 4} | values)
    return dict(disk_of(brief, timeline(brief), archive))


def test_an_archive_takes_its_size_and_that_of_its_videos() -> None:
    without, with_archive = disk(), disk(archive=7_000_000)
    assert with_archive["encode"] - without["encode"] == 14_000_000


def test_a_backend_with_sound_takes_room_for_it() -> None:
    """FLAC beside each chunk, and the film once more with its sound."""
    values = {"preset": "ltx2_sound", "seconds": 5}
    brief = Brief.model_validate({"prompt": "x"} | values)
    slots = timeline(brief)
    can = brief.backend.capabilities
    assert can.audio
    pixels = brief.resolved_preset().size.megapixels * 1e6
    seconds = sum(slot.frames - slot.overlap for slot in slots) / can.fps
    silent = 3 * sum(
        pixels * ((slot.frames - slot.overlap) / 2 + 3 * max(can.overlap, 1)) for slot in slots
    )
    assert disk(**values)["chunks"] - silent == pytest.approx(3 * 288_000 * seconds, rel=1e-3)


def test_the_joined_film_and_its_upload_need_room_too() -> None:
    plain, faded, large = disk(), disk(joins="crossfade"), disk(upscale=4)
    assert plain["stitch"] > 0 < plain["upload"]
    assert faded["stitch"] == 2 * plain["stitch"]
    assert large["upload"] == 16 / 2 * plain["upload"]  # half as many bytes a pixel
    assert plain["upscale"] == 0


def test_a_run_teaches_the_rates_what_each_stage_took() -> None:
    brief = Brief(prompt="a red fox", seconds=4, upscale=2)
    names = ("enhance", "encode", "chunks", "stitch", "upscale", "upload")
    costs = tuple(
        StageCost.model_validate({"stage": name, "seconds": 8.0, "peak_rss_bytes": 1})
        for name in names
    )
    film = film_of(brief).model_copy(update={"stages": costs})
    backend = NamedBackend(brief.backend)
    before = default_rates(brief.backend, "cpu")
    after = learn(before, film, backend)
    size = film.plan.size
    assert after.spread("fixed", size).usual == 8
    finished = film.plan.final_size.megapixels * film.plan.frames
    for name in ("stitch", "upload"):
        assert after.spread(name, size).usual == pytest.approx(8 / finished)
    assert learn(after, film, backend).spread("stitch", size).runs == 2
    expected = estimate(brief, backend, after, Footprint(0, 0))
    assert expected.basis == f"median of 1 recent run at {size.width}x{size.height} on this machine"
    longer = estimate(brief, backend, learn(before, film, backend, 60.0), Footprint(0, 0))
    rest = 60 - 8 * len(names)  # what no stage has
    assert longer.seconds == pytest.approx(expected.seconds + rest)
    nothing = film.model_copy(
        update={
            "chunks": tuple(item.model_copy(update={"made": False}) for item in film.chunks),
            "segments": tuple(item.model_copy(update={"made": False}) for item in film.segments),
        }
    )
    assert learn(after, nothing, backend, 60.0) is after
