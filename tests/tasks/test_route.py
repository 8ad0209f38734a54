"""Falling back, asking about a price, and how the kind of an error comes back from the GPU host."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.states import Completed, Crashed, Failed

import tasks.route
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import StoreSettings
from pipelines.costs.caps import CAPS
from pipelines.costs.entries import NO_WAIVER, Waiver
from pipelines.documents.brief import Brief
from pipelines.documents.failure import Failure
from pipelines.documents.route import Candidate, Forecast, Route
from pipelines.errors import (
    BudgetError,
    GenerationError,
    LostJobError,
    QuotaError,
    ReelwrightError,
    RefusedError,
    RenderError,
    UnavailableError,
)
from pipelines.schema.keys import ObjectKey
from pipelines.schema.money import Money
from tasks import approval, dispatch, failures
from tasks.waivers import waiver_of
from tests.support.films import film_of

BRIEF = Brief(prompt="a red fox", seconds=1)
RUN = uuid4()
SEEN, ASKED = Money.of("2.00"), Money.of("0.56")
"""The price of a forecast, and the one that the ledger refuses."""


def candidate(preset: str, ask: str = "") -> Candidate:
    forecast = Forecast(seconds=1, price=SEEN)
    return Candidate(
        preset=preset, title="", backend=preset, location="remote", ask=ask, forecast=forecast
    )


def route_of(*names: str, above_cap: str = "next") -> Route:
    return Route.model_validate(
        {
            "asked": "auto",
            "policy": "of the test",
            "reasons": (),
            "candidates": [candidate(name) for name in names],
            "above_cap": above_cap,
        }
    )


@pytest.fixture
def deployed(
    store: ObjectStore, store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """As in a run of a studio, with the test's store."""
    use_store(store_settings, monkeypatch)
    monkeypatch.setattr(tasks.route, "is_deployed", lambda: True)
    monkeypatch.setattr(tasks.route, "flow_run", Run(RUN))
    return store


def use_store(settings: StoreSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ENDPOINT": settings.endpoint,
        "ACCESS_KEY": settings.access_key,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "BUCKET": settings.bucket,
    }.items():
        monkeypatch.setenv(f"REELWRIGHT_S3_{name}", value)


@dataclass(frozen=True)
class Run:
    """What Prefect tells of the current run, or of its deployment."""

    id: UUID | None
    name: str = "a-run"


def kept(store: ObjectStore) -> Route:
    data = store.get_bytes(ObjectKey.route(RUN))
    assert data is not None
    return Route.model_validate_json(data)


def test_the_next_candidate_is_kept_for_a_run_that_goes_on(deployed: ObjectStore) -> None:
    route = tasks.route.fall_back(route_of("a", "b", "c"), UnavailableError("not today"))
    assert (route.chosen.preset, route.turn) == ("b", 1)
    assert [item.preset for item in route.left] == ["c"]
    assert kept(deployed) == route
    assert tasks.route.route_brief.fn(BRIEF) == route


def test_after_the_last_candidate_the_error_stays_what_it_is() -> None:
    route = route_of("a", "b")
    route = tasks.route.fall_back(route, QuotaError("full"))
    with pytest.raises(LostJobError, match="gone"):
        tasks.route.fall_back(route, LostJobError("gone"))


def test_a_cap_of_the_ledger_is_asked_about_once(deployed: ObjectStore) -> None:
    error = BudgetError("0.56 USD is above the month's cap", total=ASKED)
    route = tasks.route.fall_back(route_of("a", "b", above_cap="approval"), error)
    assert (route.chosen.preset, route.ask, route.turn) == ("a", str(error), 1)
    assert waiver_of(deployed, str(RUN), "a") == NO_WAIVER
    route = tasks.route.approved(route)
    assert (route.chosen.preset, route.ask) == ("a", "")
    assert kept(deployed) == route
    assert waiver_of(deployed, str(RUN), "a") == Waiver(caps=CAPS, up_to=ASKED)
    assert waiver_of(deployed, str(RUN), "b") == NO_WAIVER
    with pytest.raises(BudgetError):  # somebody agreed, and the ledger still refuses
        tasks.route.fall_back(route, error)


def test_who_approved_a_price_is_asked_once_more_about_what_the_ledger_refuses(
    deployed: ObjectStore,
) -> None:
    route = tasks.route.approved(route_of("a", above_cap="approval"))
    assert waiver_of(deployed, str(RUN), "a") == Waiver(caps=("video",), up_to=SEEN)
    route = tasks.route.fall_back(route, BudgetError("above the month's cap", total=ASKED))
    assert route.ask == "above the month's cap"
    assert waiver_of(deployed, str(RUN), "a") == NO_WAIVER
    tasks.route.approved(route)
    assert waiver_of(deployed, str(RUN), "a") == Waiver(caps=CAPS, up_to=ASKED)


def test_a_run_without_a_route_or_with_a_damaged_one_waives_nothing(store: ObjectStore) -> None:
    run = uuid4()
    assert waiver_of(store, str(run), "a") == waiver_of(store, "a process", "a") == NO_WAIVER
    store.put_bytes(ObjectKey.route(run), b"{", "application/json")
    assert waiver_of(store, str(run), "a") == NO_WAIVER


def test_a_cap_leads_to_the_next_candidate_if_the_policy_says_so() -> None:
    route = tasks.route.fall_back(route_of("a", "b"), BudgetError("above the cap"))
    assert route.chosen.preset == "b"


def test_a_damaged_route_is_decided_anew(deployed: ObjectStore) -> None:
    deployed.put_bytes(ObjectKey.route(RUN), b"{", "application/json")
    assert tasks.route.route_brief.fn(BRIEF).chosen.preset == "demo"
    assert kept(deployed).chosen.preset == "demo"


KINDS = [UnavailableError, QuotaError, LostJobError, RefusedError, BudgetError]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_class_on_its_way_to_another_process(
    kind: type[ReelwrightError],
) -> None:
    found = Failure.of(kind("why"))
    assert found is not None
    again = Failure.model_validate_json(found.model_dump_json()).error
    assert (type(again), str(again)) == (kind, "why")


def test_a_refused_sum_comes_back_from_another_process_with_its_error() -> None:
    found = Failure.of(BudgetError("why", total=ASKED))
    assert found is not None
    error = Failure.model_validate_json(found.model_dump_json()).error
    assert isinstance(error, BudgetError)
    assert error.total == ASKED


def test_an_approval_whose_sum_nobody_knows_waives_nothing(deployed: ObjectStore) -> None:
    """As in a run that an earlier version began."""
    route = tasks.route.fall_back(route_of("a", above_cap="approval"), BudgetError("above"))
    tasks.route.approved(route)
    found = kept(deployed).model_copy(update={"sums": {}})
    deployed.put_bytes(ObjectKey.route(RUN), found.model_dump_json().encode(), "application/json")
    assert waiver_of(deployed, str(RUN), "a").up_to is None


@pytest.mark.parametrize("error", [GenerationError("x"), ValueError("x")])
def test_other_errors_have_no_kind(error: Exception) -> None:
    assert Failure.of(error) is None


@pytest.fixture
def child(
    store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[UUID, list[str]]]:
    """Lets a child run fail with an error, as the GPU host does it, and end in a state."""
    use_store(store_settings, monkeypatch)

    def fail(error: Exception | None, *states: State[Any]) -> tuple[UUID, list[str]]:
        run, keys, ends = uuid4(), list[str](), list(states)
        if error:
            monkeypatch.setattr(failures, "flow_run", Run(run))
            monkeypatch.setattr(failures, "deployment", Run(uuid4()))
            with pytest.raises(type(error)), failures.failures_handed_off():
                raise error

        def start(*_: object, idempotency_key: str, **__: object) -> FlowRun:
            keys.append(idempotency_key)
            return FlowRun(id=run, flow_id=uuid4())

        monkeypatch.setattr(dispatch, "run_deployment", start)
        monkeypatch.setattr(dispatch, "_wait", lambda *_, **__: ends.pop(0))
        return run, keys

    return fail


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", [QuotaError, RefusedError, BudgetError])
def test_the_waiting_flow_raises_what_the_gpu_host_raised(
    child: Callable[..., object], kind: type[ReelwrightError]
) -> None:
    child(kind("the sentence for the editor"), Failed(message="Flow run encountered an exception"))
    with pytest.raises(ReelwrightError, match="the sentence for the editor") as caught:
        dispatch.render_on_gpu_host(BRIEF)
    assert type(caught.value) is kind


@pytest.mark.usefixtures("store")
def test_any_other_failure_is_a_failed_render(child: Callable[..., object]) -> None:
    child(GenerationError("it broke"), Failed(message="GenerationError: it broke"))
    with pytest.raises(RenderError, match="ended as Failed: GenerationError: it broke"):
        dispatch.render_on_gpu_host(BRIEF)


def test_a_crash_after_the_failure_was_stored_starts_another_run(
    child: Callable[..., tuple[UUID, list[str]]], store: ObjectStore
) -> None:
    run, keys = child(QuotaError("full"), Crashed(message="killed"), Completed())
    film = film_of(store, BRIEF)
    store.put_bytes(ObjectKey.film(run), film.model_dump_json().encode(), "application/json")
    assert dispatch.render_on_gpu_host(BRIEF) == film
    assert len(keys) == 2


@pytest.mark.usefixtures("store")
def test_each_turn_has_runs_of_its_own(
    child: Callable[..., tuple[UUID, list[str]]],
) -> None:
    for turn, purpose in ((0, "render-1"), (1, "render-2-1"), (2, "render-3-1")):
        _, keys = child(None, Failed(message="x"))
        with pytest.raises(RenderError):
            dispatch.render_on_gpu_host(BRIEF, turn)
        assert keys[0].endswith(purpose)


@dataclass
class Server:
    """Takes the decisions that a run is resumed with."""

    decisions: list[str] = field(default_factory=list)
    known: frozenset[str] = frozenset({"decision", "reason", "by"})
    """Fields of the form that the run waits with; a form takes no others."""

    def resume_flow_run(self, _: UUID, run_input: dict[str, Any]) -> OrchestrationResult[Any]:
        taken = self.known >= run_input.keys()
        if taken:
            self.decisions.append(run_input["decision"])
        status, kind = (
            (SetStateStatus.ACCEPT, "accept_details")
            if taken
            else (SetStateStatus.REJECT, "reject_details")
        )
        return OrchestrationResult.model_validate(
            {"state": None, "status": status, "details": {"type": kind}}
        )


@pytest.mark.parametrize(
    ("key", "subject", "decision"),
    [
        ("cost", "cost", "reject"),
        ("cost-2", "cost", "reject"),
        ("storyboard", "storyboard", "approve"),
        ("storyboard-2", "storyboard", "approve"),
        ("video", "video", "approve"),
    ],
)
def test_silence_never_spends_money(key: str, subject: str, decision: str) -> None:
    details = StateDetails(pause_key=key)
    state: State[Any] = State(type=StateType.PAUSED, name="Suspended", state_details=details)
    run = FlowRun(id=uuid4(), flow_id=uuid4(), state=state)
    assert approval.asked_about(run) == subject
    server: Any = Server()
    brief = BRIEF.model_copy(update={"on_silence": "approve"})
    assert approval._settle(server, run, brief)
    assert server.decisions == [decision]


def waiting() -> FlowRun:
    details = StateDetails(pause_key="storyboard")
    state: State[Any] = State(type=StateType.PAUSED, name="Suspended", state_details=details)
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=state)


def test_an_approval_that_waits_since_an_earlier_version_is_settled() -> None:
    server: Any = Server(known=frozenset({"decision", "reason"}))
    assert approval._settle(server, waiting(), BRIEF)
    assert server.decisions == [BRIEF.on_silence]


@pytest.mark.expects_errors("but Prefect answers REJECT")
def test_an_answer_that_prefect_refuses_twice_settles_nothing() -> None:
    server: Any = Server(known=frozenset())
    assert not approval._settle(server, waiting(), BRIEF)
    assert server.decisions == []
