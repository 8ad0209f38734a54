"""Who asked for a video and who approved it stands in its manifest."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType

from infra.adapters.object_store import ObjectStore
from pipelines.documents.manifest import Manifest
from pipelines.documents.people import Act
from pipelines.schema.keys import ObjectKey
from tasks import people
from tasks.publish import publish_film
from tests.support.films import brief_of, film_of

RUN = uuid4()
BRIEF = brief_of("a red ball moves right")


def asked(name: str) -> Act:
    return Act(did="asked", name=name, when="2026-11-27T10:00:00+00:00", run=RUN)


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        (["api", "client:ann", "owner:user-1"], "ann"),
        (["webhook", "webhook:shop"], "webhook:shop"),
        (["calendar", "calendar:morning"], "calendar:morning"),
        ([], "prefect"),
    ],
)
def test_a_run_s_tags_say_who_asked(tags: list[str], name: str) -> None:
    act = people.asked(FlowRun(id=RUN, flow_id=uuid4(), tags=tags))
    assert (act.did, act.name, act.run) == ("asked", name, RUN)


class Server:
    """Prefect's answers to questions, by their keys."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def read_flow_run_input(self, _: object, key: str) -> str:
        if key not in self._answers:
            request = httpx.Request("GET", "http://prefect")
            raise httpx.HTTPStatusError(
                "no", request=request, response=httpx.Response(404, request=request)
            )
        return json.dumps(self._answers[key])


def history(*names: str) -> list[State[Any]]:
    """The states of a run that was asked under these keys, and resumed each time."""
    found: list[State[Any]] = []
    for name in names:
        details = StateDetails(pause_key=name, run_input_keyset={"response": name})
        found.append(State(type=StateType.PAUSED, name="Suspended", state_details=details))
        found.append(State(type=StateType.SCHEDULED, name="Resuming"))
        found.append(State(type=StateType.RUNNING, name="Running"))
    return found


def test_every_approval_has_its_name_and_rejections_are_none() -> None:
    server: Any = Server(
        cost={"decision": "approve", "by": "ann"},
        storyboard={"decision": "approve", "by": ""},
        video={"decision": "reject", "by": "bob"},
    )
    states = history("cost", "storyboard", "storyboard-2", "video")
    found = list(people._approvals(server, RUN, states))
    assert [(act.about, act.name) for act in found] == [
        ("cost", "ann"),
        ("storyboard", "prefect"),
        ("storyboard", "prefect"),  # resumed without values, which approves
    ]


def test_the_manifest_names_everybody_once_and_is_written_again_for_new_names_alone(
    store: ObjectStore,
) -> None:
    film = film_of(store, BRIEF)
    film = film.model_copy(
        update={"chunks": tuple(c.model_copy(update={"made": False}) for c in film.chunks)}
    )
    key = ObjectKey.manifest(film.plan.content_id)
    publish_film(store, BRIEF, film, None, (asked("ann"),))
    first = store.get_bytes(key)
    assert first is not None
    assert Manifest.model_validate_json(first).people == (asked("ann"),)
    publish_film(store, BRIEF, film, None, (asked("ann"),))
    assert store.get_bytes(key) == first
    published = publish_film(store, BRIEF, film, None, (asked("bob"),))
    assert published.people == (asked("ann"), asked("bob"))
    written = store.get_bytes(key)
    assert written is not None
    assert Manifest.model_validate_json(written).people == published.people
    assert published.content_id == Manifest.model_validate_json(first).content_id
