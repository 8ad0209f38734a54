"""The page of all models, and the same as JSON."""

from collections.abc import Iterator

import httpx
import pytest

from pipelines.backends.registry import definitions, presets
from pipelines.media.ffmpeg import Ffmpeg
from tests.conftest import Cli
from tests.support.fake_videos import fake_videos
from tests.support.gateway import Gateway, gateway

pytestmark = pytest.mark.xdist_group("gateway")


BACKENDS = """\
backends:
- {{name: works, kind: videos, dialect: sglang, address: "{address}", model: some-model,
   fps: 16, sizes: [832x480], frames: 33, max_frames: 81, inputs: [first_frame]}}
- {{name: dead, kind: videos, dialect: sglang, address: "http://127.0.0.1:9", model: some-model,
   fps: 16, sizes: [832x480], frames: 33, max_frames: 81}}
"""


@pytest.fixture(scope="module")
def asked(
    deployed: Cli, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with fake_videos("sglang", ffmpeg, folder) as server:
        path = folder / "backends.yaml"
        path.write_text(BACKENDS.format(address=server.url))
        with gateway(deployed, folder / "data", REELWRIGHT_BACKENDS=str(path)) as found:
            yield found


@pytest.fixture
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


def cards(client: httpx.Client, query: str = "") -> dict[str, dict[str, object]]:
    answer = client.get(f"/api/v1/backends{query}")
    assert answer.status_code == 200, answer.text
    return {card["name"]: card for card in answer.json()}


def test_every_backend_and_preset_has_its_place(client: httpx.Client) -> None:
    found = cards(client)
    assert list(found) == [*definitions(), "works", "dead"]
    listed = [item["name"] for card in found.values() for item in card["presets"]]  # type: ignore[attr-defined]
    assert listed == [*presets(), "works", "dead"]


def test_what_is_installed_can_be_used_and_says_how_long_it_takes(client: httpx.Client) -> None:
    demo = next(card for card in cards(client).values() if card["available"])
    (preset,) = [item for item in demo["presets"] if item["name"] == "demo"]  # type: ignore[attr-defined]
    assert preset["seconds"] > 0
    assert preset["price"] == ""
    assert all(model["installed"] for model in demo["models"])  # type: ignore[attr-defined]


def test_what_is_not_installed_says_how_it_is_got(client: httpx.Client) -> None:
    absent = [card for card in cards(client).values() if card["models"] and not card["available"]]
    assert absent
    for card in absent:
        names = [model["name"] for model in card["models"] if not model["installed"]]  # type: ignore[attr-defined]
        for name in names:
            assert name in str(card["reason"])
        assert "reelwright models download" in str(card["reason"])


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("need=picture", "first_frame"),
        ("need=reference", "reference_image"),
        ("need=continue", "continuation"),
    ],
)
def test_cards_are_chosen_by_what_is_needed(client: httpx.Client, query: str, kind: str) -> None:
    found = cards(client, f"?{query}")
    fitting = {item.name for item in definitions().values() if kind in item.capabilities.inputs}
    fitting |= {"works"} if kind == "first_frame" else set()
    assert set(found) == fitting
    assert 0 < len(fitting) < len(definitions())


def test_a_need_that_does_not_exist_is_refused(client: httpx.Client) -> None:
    assert client.get("/api/v1/backends?need=smell").status_code == 422


def test_the_page_shows_the_cards_and_leads_to_the_form(client: httpx.Client) -> None:
    page = client.get("/marketplace?usable=true")
    assert page.status_code == 200
    usable = [card for card in cards(client).values() if card["available"]]
    for card in usable:
        assert str(card["title"]) in page.text
    assert 'href="/new?preset=demo"' in page.text
    form = client.get("/new?preset=demo").text
    assert '<option value="demo" selected>' in form


def test_a_server_that_answers_is_told_from_one_that_does_not(client: httpx.Client) -> None:
    found = cards(client)
    assert found["works"]["place"] == found["dead"]["place"] == "another machine"
    assert found["works"]["available"]
    assert not found["dead"]["available"]
    assert "cannot be reached" in str(found["dead"]["reason"])


def test_who_may_not_read_sees_no_card(asked: Gateway) -> None:
    with httpx.Client(
        base_url=asked.url, headers={"Authorization": "Bearer wrong"}, timeout=60
    ) as stranger:
        assert stranger.get("/api/v1/backends").status_code == 401
        led = stranger.get("/marketplace")
        assert (led.status_code, led.headers["location"]) == (303, "/login?to=%2Fmarketplace")


def test_the_route_to_a_remote_backend_names_no_set_of_local_models(client: httpx.Client) -> None:
    found = client.post("/api/v1/route", json={"query": "a fox", "preset": "works"}).json()
    assert (found["preset"], found["model_set"]) == ("works", "")
