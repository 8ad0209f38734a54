"""The approval page of a storyboard: what an editor changes there, and what he is told."""

import html
import re
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from infra.apps.gateway.outbox import events_of
from infra.apps.gateway.views import RunView
from pipelines.documents.draft import Draft
from tests.conftest import Cli
from tests.gateway.test_gateway import error_of
from tests.support.gateway import Gateway, gateway
from tests.support.studio import wait_for
from tests.support.waiting import BALL, answer_of, let_it_wait

pytestmark = pytest.mark.xdist_group("gateway")
FIELDS = ("drafted", "prompt", "seed", "chunks", "size", "camera", "wish")


@pytest.fixture(scope="module")
def asked(deployed: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(deployed, tmp_path_factory.mktemp("storyboard")) as found:
        yield found


@pytest.fixture(scope="module")
def client(asked: Gateway) -> Iterator[httpx.Client]:
    with asked.client() as client:
        yield client


@pytest.fixture
def store(gateway_store: StoreSettings) -> ObjectStore:
    return ObjectStore(gateway_store)


def started(client: httpx.Client, **values: object) -> str:
    brief = {"prompt": f"a ball {secrets.token_hex(6)}", "seconds": 4, "approval": "storyboard"}
    return str(client.post("/briefs", json=brief | values).json()["id"])


@pytest.fixture
def waiting(asked: Gateway, client: httpx.Client, store: ObjectStore) -> tuple[str, Draft]:
    """A run that waits for an answer about two shots, and their draft."""
    run = started(client)
    draft = let_it_wait(asked.cli, store, UUID(run))
    # The gateway shows for less than a second what it knew before.
    wait_for("the question", lambda: client.get(f"/runs/{run}").json()["waiting_for"])
    return run, draft


def form_of(draft: Draft) -> dict[str, list[str]]:
    """What a browser sends if nothing was changed."""
    rows = [
        {"drafted": s.number, "prompt": s.prompt, "seed": s.seed, "chunks": s.chunks}
        | {"size": s.size, "camera": s.camera, "wish": ""}
        for s in draft.shots
    ]
    columns = {name: [str(row[name]) for row in rows] for name in FIELDS}
    return columns | {"entry": ["ball"], "looks": [BALL]}


def values_in(page: str, name: str) -> list[str]:
    """The texts of all fields of that name in the form, without those of a blank shot."""
    shown = re.sub(r"<template.*?</template>", "", page, flags=re.DOTALL)
    areas = re.findall(rf'<textarea name="{name}"[^>]*>([^<]*)<', shown)
    inputs = re.findall(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', shown)
    return [html.unescape(text) for text in areas or inputs]


def test_the_page_says_what_can_be_changed_until_when_and_what_silence_means(
    client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    run, draft = waiting
    page = client.get(f"/jobs/{run}").text
    assert values_in(page, "prompt") == [shot.prompt for shot in draft.shots]
    assert values_in(page, "seed") == [str(shot.seed) for shot in draft.shots]
    assert values_in(page, "size") == ["Wide shot", "Wide shot"]
    assert values_in(page, "looks") == [BALL]
    assert "shown in shot 1, 2" in page
    assert "whole chunks of 2.1 s" in page
    assert page.count('alt="Still of shot') == 2
    view = client.get(f"/runs/{run}").json()
    assert f'datetime="{datetime.fromisoformat(view["answer_by"]).isoformat()}"' in page
    left = datetime.fromisoformat(view["answer_by"]) - datetime.fromisoformat(view["created"])
    assert timedelta(hours=24) <= left < timedelta(hours=25)
    assert "Without an answer it is rejected" in page
    still = re.search(r'src="(/stills/[^"]+)"', page)
    assert still
    assert client.get(still.group(1)).headers["content-type"] == "image/png"


def test_buttons_move_add_and_remove_shots_and_keep_what_was_typed(
    client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    """As a browser without scripts sends them."""
    run, draft = waiting
    form = form_of(draft)
    form["prompt"][0], form["seed"][1] = "typed <b>, not sent", "no number"
    page = client.post(f"/jobs/{run}/answer", data=form | {"edit": "up:2"}).text
    assert values_in(page, "prompt") == [draft.shots[1].prompt, "typed <b>, not sent"]
    assert values_in(page, "seed") == ["no number", str(draft.shots[0].seed)]
    assert values_in(page, "drafted") == ["2", "1"]
    page = client.post(f"/jobs/{run}/answer", data=form | {"edit": "add"}).text
    assert values_in(page, "prompt") == [form["prompt"][0], draft.shots[1].prompt, ""]
    page = client.post(f"/jobs/{run}/answer", data=form | {"edit": "remove:1"}).text
    assert values_in(page, "prompt") == [draft.shots[1].prompt]
    for nonsense in ("remove:9", "up:1", "down:-1", "eat:1", "keep"):
        page = client.post(f"/jobs/{run}/answer", data=form | {"edit": nonsense}).text
        assert values_in(page, "drafted") == ["1", "2"]
    assert client.get(f"/runs/{run}").json()["waiting_for"] == "storyboard"


def test_what_cannot_be_made_is_said_at_its_shot_and_nothing_is_lost(
    client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    run, draft = waiting
    form = form_of(draft) | {"decision": ["approve"], "reason": ["typed, too"]}
    form["prompt"], form["seed"] = ["  ", "a blue ball"], ["17", "99999999999"]
    form["looks"] = ["a blue ball with dots"]
    answer = client.post(f"/jobs/{run}/answer", data=form)
    assert answer.status_code == 422
    shots = re.sub(r"<template.*?</template>", "", answer.text, flags=re.DOTALL).split("<li ")[1:]
    assert "says what it shows" not in shots[1]
    assert 'role="alert">a shot by hand has no words' in shots[0]
    assert "the seed 99999999999 is outside 0 to 4294967295" in shots[1]
    assert "Nothing was sent" in answer.text
    assert values_in(answer.text, "prompt")[1] == "a blue ball"
    assert values_in(answer.text, "seed") == ["17", "99999999999"]
    assert values_in(answer.text, "looks") == ["a blue ball with dots"]
    assert values_in(answer.text, "reason") == ["typed, too"]
    form["prompt"], form["seed"] = ["a ball", "a ball"], ["seven", "1"]
    answer = client.post(f"/jobs/{run}/answer", data=form)
    assert "the seed &#39;seven&#39; is no whole number" in answer.text
    assert client.get(f"/runs/{run}").json()["waiting_for"] == "storyboard"


def test_a_form_whose_parts_do_not_belong_together_is_refused(
    client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    run, draft = waiting
    form = form_of(draft) | {"decision": ["approve"]}
    form["seed"] = form["seed"][:1]
    assert client.post(f"/jobs/{run}/answer", data=form).status_code == 422
    undecided = client.post(f"/jobs/{run}/answer", data=form_of(draft))
    assert "nothing was decided" in undecided.text
    assert client.get(f"/runs/{run}").json()["waiting_for"] == "storyboard"


def test_new_stills_are_asked_for_with_all_edits(
    asked: Gateway, client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    run, draft = waiting
    form = form_of(draft)
    for name in FIELDS:
        form[name] = [form[name][1], form[name][0], ""]
    form["prompt"][2], form["wish"][1] = "a green ball", "closer"
    answer = client.post(f"/jobs/{run}/answer", data=form | {"decision": "revise"})
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"]).text
    assert "new stills are made of what changed" in page
    given = answer_of(asked.cli, UUID(run))
    assert given.decision == "revise"
    assert [shot.drafted for shot in given.shots] == [2, 1, 0]
    assert [shot.wish for shot in given.shots] == ["", "closer", ""]
    assert given.shots[0].seed == draft.shots[1].seed
    assert given.shots[2].prompt == "a green ball"


@pytest.mark.parametrize(
    ("decision", "next_words"),
    [("approve", "approved; the video is made next"), ("reject", "rejected (too red); nothing")],
)
def test_after_an_answer_the_page_says_what_comes_next_and_percent_does_not_fall(
    client: httpx.Client, waiting: tuple[str, Draft], decision: str, next_words: str
) -> None:
    run, _ = waiting
    before = client.get(f"/runs/{run}").json()["percent"]
    assert before == 10
    values = {"decision": decision, "reason": "too red" if decision == "reject" else ""}
    answer = client.post(f"/jobs/{run}/answer", data=values)
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"]).text  # the first look, not one a second later
    assert next_words in page
    assert "waits for you" not in page
    assert client.get(f"/runs/{run}").json()["percent"] >= before


def test_a_stopped_run_says_at_once_that_it_is_being_stopped(
    asked: Gateway, client: httpx.Client
) -> None:
    run = started(client)
    asked.set_running(run)
    assert "Stop it" in client.get(f"/jobs/{run}").text
    answer = client.post(f"/jobs/{run}/cancel")
    page = client.get(answer.headers["location"]).text
    assert "it is being stopped" in page
    assert "Stop it" not in page
    assert client.get(f"/runs/{run}").json()["stopping"] is True


def test_the_api_takes_the_same_edits_and_refuses_what_cannot_be_made(
    asked: Gateway, client: httpx.Client, waiting: tuple[str, Draft]
) -> None:
    run, draft = waiting
    path = f"/runs/{run}/answer"
    bad = {"decision": "approve", "shots": [{"prompt": "a ball"}, {"prompt": " "}]}
    assert "shot 2: a shot by hand has no words" in error_of(client.post(path, json=bad), 422)
    unknown = {"decision": "approve", "sheet": [{"name": "owl", "appearance": "white"}]}
    assert "has no 'owl'" in error_of(client.post(path, json=unknown), 422)
    sheet = [{"name": "ball", "appearance": "a blue ball"}]
    good = {"decision": "revise", "shots": [{"prompt": draft.shots[1].prompt}], "sheet": sheet}
    answer = client.post(path, json=good)
    assert answer.status_code == 202, answer.text
    given = answer_of(asked.cli, UUID(run))
    assert [shot.prompt for shot in given.shots] == [draft.shots[1].prompt]
    assert given.sheet[0].appearance == "a blue ball"
    assert "does not wait" in error_of(client.post(path, json={"decision": "approve"}), 409)


def test_only_a_storyboard_is_revised(
    asked: Gateway, client: httpx.Client, store: ObjectStore
) -> None:
    run = started(client, approval="video")
    let_it_wait(asked.cli, store, UUID(run), "video")
    wait_for("the question", lambda: client.get(f"/runs/{run}").json()["waiting_for"])
    refused = client.post(f"/runs/{run}/answer", json={"decision": "revise"})
    assert "only a storyboard can" in error_of(refused, 422)


def test_a_second_question_about_a_storyboard_is_another_event(
    asked: Gateway, client: httpx.Client, store: ObjectStore, waiting: tuple[str, Draft]
) -> None:
    run, _ = waiting
    first = RunView.model_validate(client.get(f"/runs/{run}").json())
    assert client.post(f"/runs/{run}/answer", json={"decision": "revise"}).status_code == 202
    let_it_wait(asked.cli, store, UUID(run), "storyboard-round-2")

    def asks_again() -> RunView | None:
        found = RunView.model_validate(client.get(f"/runs/{run}").json())
        return found if found.round == 2 else None

    second = wait_for("the second question", asks_again)
    assert second.waiting_for == "storyboard"
    assert ("awaiting_approval", "storyboard") in events_of(first)
    assert ("awaiting_approval", "storyboard-2") in events_of(second)
