"""A brief that breaks a rule is refused in Prefect's form, or by its run in one sentence."""

import logging
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.states import Failed
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

import tasks.refusals
from flows.produce_content import produce_content
from infra.apps.gateway.views import view_of_run
from infra.apps.studio import status
from pipelines.documents.failure import Failure
from pipelines.errors import BriefError
from tasks.refusals import REFUSED, told

GOOD: list[dict[str, Any]] = [
    {},
    {"steps": 1, "guidance": 0, "flow_shift": 0.1, "lora_strength": 0, "frames": 1},
    {"steps": 100, "guidance": 20, "flow_shift": 30, "lora_strength": 2, "preset": "video_fast"},
    {"steps": -1, "guidance": -1, "flow_shift": -1, "lora_strength": -1, "frames": -1},
    {"seconds": 600, "approval_hours": 720},
]
BAD: list[dict[str, Any]] = [
    {"steps": 101},
    {"steps": -2},
    {"guidance": 20.5},
    {"guidance": -1.5},
    {"flow_shift": 31},
    {"lora_strength": 2.1},
    {"frames": 100_000},
    {"frames": -2},
    {"seconds": 0.1},
    {"seconds": 601},
    {"approval_hours": 0},
    {"approval_hours": 721},
    {"preset": "video_fats"},
    {"prompt": ""},
]


@cache
def form() -> dict[str, Any]:
    """The schema that Prefect gets of the deployments of produce-content."""
    return parameter_schema(produce_content).model_dump_for_openapi()


def errors_of_form(values: dict[str, Any]) -> list[str]:
    """What Prefect's server says of a form with `values`; it uses the same function."""
    parameters = {"brief": {"prompt": "a red ball"} | values}
    return [error.message for error in validate(parameters, form(), raise_on_error=False)]


@pytest.mark.parametrize("values", GOOD, ids=str)
def test_the_form_takes_every_value_that_a_rule_allows(values: dict[str, Any]) -> None:
    assert errors_of_form(values) == []


@pytest.mark.parametrize("values", BAD, ids=str)
def test_the_form_refuses_a_value_that_a_rule_forbids(values: dict[str, Any]) -> None:
    assert errors_of_form(values)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow believes that a worker runs it."""
    monkeypatch.setattr(tasks.refusals, "is_deployed", lambda: True)


def message_of(brief: Any) -> str:
    """The message of the state in which the flow's function ends."""
    state = produce_content.fn(brief)
    assert isinstance(state, State)
    assert state.is_failed(), state
    return str(state.message)


WRONG: dict[str, tuple[Any, str]] = {
    "a value": ({"seconds": 0}, "seconds 0 is outside 0.25 to 600; choose a number in that range"),
    "a step": ({"steps": 0}, "steps 0 is outside 1 to 100; choose a number in that range, or -1"),
    "a length": ({"frames": 7}, "7 frames a chunk cannot be made; it must be 4k+1 from 1 to 77"),
    "a word": ({"seconds": "long"}, "seconds 'long': input should be a valid number"),
    "a field": ({"second": 4}, "second 4: extra inputs are not permitted"),
    "a shot that is not there": (
        {"shots": [{"shot": 9, "seed": 1}]},
        "shot 9 is changed, but the brief has 2 shots",
    ),
}


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(("values", "sentence"), WRONG.values(), ids=WRONG)
def test_the_flow_refuses_it_in_one_sentence_before_its_first_task(
    values: dict[str, Any], sentence: str
) -> None:
    message = message_of({"prompt": "a red ball"} | values)
    assert message.startswith(f"{REFUSED}{sentence}")
    assert "\n" not in message


@pytest.mark.usefixtures("deployed")
def test_what_is_no_brief_at_all_is_refused_too() -> None:
    words = "a brief is a form with a prompt, and not 'a red ball'"
    assert message_of("a red ball") == f"{REFUSED}{words}"
    assert message_of({}).startswith(f"{REFUSED}prompt is missing. What the video shows")


def test_outside_a_studio_the_error_is_raised() -> None:
    with pytest.raises(BriefError, match="seconds 0 is outside"):
        message_of({"prompt": "a red ball", "seconds": 0})


@pytest.mark.usefixtures("deployed")
def test_prefect_shows_the_sentence_and_logs_no_traceback(
    prefect_server: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    url = prefect_server["PREFECT_API_URL"]
    with (
        caplog.at_level(logging.INFO),
        temporary_settings({PREFECT_API_URL: url, PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        get_client(sync_client=True) as client,
    ):
        brief: Any = {"prompt": "a red ball", "seconds": 0}
        identity = produce_content(brief, return_state=True).state_details.flow_run_id
        assert identity is not None
        run = client.read_flow_run(identity)
    assert run.state is not None
    sentence = f"{REFUSED}seconds 0 is outside 0.25 to 600; choose a number in that range"
    assert run.state.message == sentence
    assert view_of_run(run).detail == sentence
    assert status._run(run).message == sentence
    assert not [record for record in caplog.records if record.exc_info]


def view(message: str) -> tuple[str, str]:
    """The sentence on the gateway's pages, and the class of the error, for a state's message."""
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="otter", created=datetime.now(UTC))
    run.state = Failed(message=message)
    found = view_of_run(run)
    assert status._run(run).message == found.detail
    assert "error" not in found.model_dump()
    return found.detail, found.error


def test_the_sentence_stands_whole_and_alone_wherever_a_run_is_shown() -> None:
    frame = "Flow run encountered an exception: "
    long = "; ".join(f"reason {number} of a long list of presets" for number in range(40))
    assert len(long) > 500
    assert view(f"{frame}UnavailableError: {long}") == (long, "UnavailableError")
    child = (
        f"{frame}RenderError: the run on the GPU host ended as Failed: {frame}MediaError: it broke"
    )
    assert view(child) == ("it broke", "MediaError")
    lost = "RenderError: the run on the GPU host failed 3 times, at last with Crashed: it is gone"
    assert view(frame + lost) == ("it is gone", "RenderError")
    assert view("two lines:\n  and the second") == ("two lines: and the second", "")
    assert view(f"{frame}KeyError: ") == ("KeyError:", "")
    assert view("") == ("", "")
    assert view("a sentence: with Errors in it") == ("a sentence: with Errors in it", "")
    assert len(told("x" * 10_000).sentence) == 4_000


def test_a_rule_that_the_gpu_host_finds_is_a_refusal_of_the_brief_as_well() -> None:
    failure = Failure.of(BriefError("the upload is damaged; upload it again"))
    assert failure is not None
    again = Failure.model_validate_json(failure.model_dump_json()).error
    assert (type(again), str(again)) == (BriefError, "the upload is damaged; upload it again")
