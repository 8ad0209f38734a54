"""What Google's entries of the backends file offer, and which entries are wrong."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.backends.registry import registered
from pipelines.backends.remote.file import read_backends
from pipelines.backends.remote.google.config import OmniConfig, VeoConfig
from pipelines.backends.remote.google.offer import omni_offer, veo_offer
from pipelines.backends.remote.google.prices import OMNI, VEO
from pipelines.documents.brief import Brief
from pipelines.errors import SettingsError
from pipelines.planning.plan import frames_of, timeline
from pipelines.schema.sizes import Size

ENTRIES = """
backends:
  - name: omni
    kind: google-omni
    key: file:/etc/reelwright/google.key
    resolutions: [360p, 720p, 1080p]
    seconds: 10
  - name: veo-fast
    kind: google-veo
    key: env:VEO_TOKEN
    project: films
    seconds: 4
  - name: veo-lite
    title: Veo at our rates
    kind: google-veo
    model: veo-3.1-lite-generate-001
    address: https://aiplatform.googleapis.com
    auth: api-key
    key: env:VEO_KEY
    resolutions: [720p]
    prices:
      as_of: 2026-11-27
      source: our contract
      currency: EUR
      per_second: {720p: 0.045}
"""


def test_the_file_gives_backends_with_presets_of_their_names() -> None:
    omni, fast, lite = read_backends(ENTRIES, "backends.yaml")
    assert [preset.name for preset in omni.presets] == ["omni_360p", "omni_720p", "omni_1080p"]
    assert [preset.frames for preset in omni.presets] == [240] * 3
    assert [(preset.name, preset.frames) for preset in fast.presets] == [
        ("veo_fast_720p", 96),
        ("veo_fast_1080p", 192),  # 1080p is made in 8 s only
    ]
    assert lite.title == "Veo at our rates"
    assert "reference_image" in fast.capabilities.inputs - lite.capabilities.inputs


def test_only_whole_seconds_within_the_limits_are_lengths() -> None:
    omni, fast, _ = (item.capabilities for item in read_backends(ENTRIES, "backends.yaml"))
    assert [n for n in range(400) if omni.is_length(n)] == [24 * s for s in range(3, 16)]
    assert [n for n in range(400) if fast.is_length(n)] == [96, 144, 192]
    assert omni.lengths_around(100) == (96, 120)


def test_every_size_has_its_portrait_and_fits_the_step() -> None:
    for item in read_backends(ENTRIES, "backends.yaml"):
        can = item.capabilities
        assert {size.shaped("portrait", can.side_step) for size in can.sizes} < set(can.sizes)
        assert all(side % can.side_step == 0 for size in can.sizes for side in size)
        assert (can.audio, can.reproducible, can.location, can.overlap) == (
            True,
            False,
            "remote",
            0,
        )
    assert Size(1080, 1920) in read_backends(ENTRIES, "backends.yaml")[1].capabilities.sizes


def test_a_take_that_is_faulty_is_not_bought_again() -> None:
    """A clip that hardly moves counts as frozen; further takes would cost four times the price."""
    assert not any(item.capabilities.retakes for item in read_backends(ENTRIES, "backends.yaml"))


def test_the_model_and_its_recipe_are_the_identity_and_the_address_is_not() -> None:
    given: dict[str, Any] = {"name": "omni", "kind": "google-omni", "key": "env:KEY"}
    here = omni_offer(OmniConfig(**given)).model
    there = omni_offer(OmniConfig(**given, address="https://proxy.example")).model
    newer = omni_offer(OmniConfig(**given, model="gemini-omni-1.1-flash")).model
    assert here == there
    assert here.components["model"] == "gemini-omni-1.2-flash"
    assert here.components != newer.components


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": ""}, "key: none is set"),
        ({"resolutions": ["4k"]}, "resolutions: .* not 4k"),
        ({"resolutions": []}, "not with none"),
        ({"model": "gemini-omni-9"}, "prices: none are known"),
        (
            {"prices": {"as_of": "2026-11-27", "source": "x", "per_second": {"720p": 1}}},
            "no price is set",
        ),
    ],
)
def test_an_omni_entry_that_cannot_work_says_why(changes: dict[str, Any], says: str) -> None:
    given = {"name": "omni", "kind": "google-omni", "key": "env:KEY", **changes}
    with pytest.raises(ValueError, match=says):
        omni_offer(OmniConfig.model_validate(given))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"project": ""}, "project: an access token needs one"),
        ({"resolutions": ["360p"]}, "not 360p"),
        ({"storage": "gs://films/a"}, "add it to download_hosts"),
        ({"storage": "gs://films/a", "auth": "api-key"}, "an API key reads no bucket"),
    ],
)
def test_a_veo_entry_that_cannot_work_says_why(changes: dict[str, Any], says: str) -> None:
    given = {"name": "veo", "kind": "google-veo", "key": "env:KEY", "project": "films", **changes}
    with pytest.raises(ValueError, match=says):
        veo_offer(VeoConfig.model_validate(given))


def test_a_bucket_may_be_used_if_its_host_is_allowed() -> None:
    given = {"name": "veo", "kind": "google-veo", "key": "env:KEY", "project": "films"}
    more = {"storage": "gs://films/a", "download_hosts": ["storage.googleapis.com"]}
    assert veo_offer(VeoConfig.model_validate({**given, **more})).presets


@pytest.mark.parametrize("line", ["seconds: 16", "delivery: post", "per_second: 1", "model: ../x"])
def test_a_wrong_value_is_named_with_its_line(line: str) -> None:
    text = ENTRIES.replace("    seconds: 10\n", f"    {line}\n")
    with pytest.raises(SettingsError, match=rf"(?s)backends\.yaml.*{line.split(':')[0]}"):
        read_backends(text, "backends.yaml")


def test_every_known_price_has_a_date_and_a_source_and_can_be_reserved() -> None:
    for prices in (*OMNI.values(), *VEO.values()):
        assert prices.as_of.year == 2026
        assert len(prices.source) > 20
        for resolution in prices.per_second:
            assert prices.most(8, resolution).amount >= prices.of_seconds(8, resolution).amount > 0


def test_a_reservation_covers_the_tokens_of_the_clip() -> None:
    prices = OMNI["gemini-omni-1.2-flash"]
    counted = {"video_tokens": 5792.0 * 15, "text_tokens": 1000.0, "input_tokens": 6 * 2040.0}
    settled = prices.of_tokens(counted)
    assert settled is not None
    assert settled.amount == Decimal("1.069920")
    assert settled.amount < prices.most(15, "720p").amount


def test_a_price_may_not_be_negative() -> None:
    with pytest.raises(ValidationError):
        OmniConfig.model_validate(
            {
                "name": "omni",
                "kind": "google-omni",
                "prices": {
                    "as_of": "2026-11-27",
                    "source": "x",
                    "per_second": {"720p": "-1"},
                },
            }
        )


@pytest.mark.parametrize("name", ["omni_720p", "veo_fast_720p", "veo_fast_1080p"])
@pytest.mark.parametrize("more", [{}, {"joins": "crossfade"}, {"aspect": "portrait"}])
def test_a_brief_of_any_length_is_planned_in_clips_that_the_model_makes(
    name: str, more: dict[str, Any]
) -> None:
    for definition in read_backends(ENTRIES, "backends.yaml"):
        if name not in {preset.name for preset in definition.presets}:
            continue
        with registered(definition):
            brief = Brief(prompt="A fox runs", preset=name, seconds=20.5, **more)
            slots = timeline(brief)
            assert sum(slot.frame_count for slot in slots) == frames_of(brief) == 492
            assert all(definition.capabilities.is_length(slot.frames) for slot in slots)
            assert brief.resolved_preset().size in definition.capabilities.sizes


def test_chunks_that_go_on_are_refused() -> None:
    omni = read_backends(ENTRIES, "backends.yaml")[0]
    with registered(omni), pytest.raises(ValidationError, match="cannot go on from chunk to chunk"):
        Brief(prompt="A fox runs", preset="omni_720p", seconds=20, joins="continue")
