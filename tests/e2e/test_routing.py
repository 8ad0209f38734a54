"""The route of a brief through the whole flow: what is chosen, what it falls back to, and when not.

The backends are the example's, whose sessions fail as the test says. They stand for services that
are down, full or strict.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from examples.gradient_backend import GRADIENT, GradientBackend, GradientSession
from infra.adapters.object_store import ObjectStore
from pipelines.backends.base import BackendDefinition, Effort, GeneratedClip, InputMedia, StepReport
from pipelines.backends.registry import registered
from pipelines.documents.manifest import Manifest
from pipelines.errors import (
    BriefError,
    BudgetError,
    GenerationError,
    LostJobError,
    QuotaError,
    RefusedError,
    UnavailableError,
)
from pipelines.schema.keys import ObjectKey
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest
from tests.conftest import slow

Run = Callable[..., Manifest]
BRIEF = {"prompt": "a red fox", "preset": "auto", "seconds": 4, "enhance": False}
POLICY = """
name: of the test
only: [first, second]
quality: {first: 4.0, second: 3.0}
automatic_price_cap: 1.00
"""


class FailingSession(GradientSession):
    """Makes `good` chunks, then raises an error."""

    def __init__(self, definition: BackendDefinition, error: Exception | None, good: int) -> None:
        super().__init__(definition)
        self._error, self._good = error, good

    def generate(
        self, request: ClipRequest, media: InputMedia, on_step: StepReport
    ) -> GeneratedClip:
        if self._error and not self._good:
            raise self._error
        self._good -= 1
        return super().generate(request, media, on_step)


class FailingBackend(GradientBackend):
    """The example's backend with a price, and sessions that fail."""

    def __init__(
        self, definition: BackendDefinition, error: Exception | None, good: int, price: str
    ) -> None:
        super().__init__(definition)
        self._error, self._good, self._price = error, good, price

    def effort(self, requests: Sequence[ClipRequest]) -> Effort:
        found = super().effort(requests)
        return dataclasses.replace(found, price=Money.of(self._price))

    @contextmanager
    def open(self) -> Iterator[GradientSession]:
        yield FailingSession(self.definition, self._error, self._good)


def backend(
    name: str, error: Exception | None = None, good: int = 0, price: str = "0"
) -> BackendDefinition:
    preset = GRADIENT.presets[0].model_copy(update={"name": name, "backend": name})
    definition = dataclasses.replace(
        GRADIENT,
        name=name,
        presets=(preset,),
        create=lambda *_: FailingBackend(definition, error, good, price),
    )
    return definition


@pytest.fixture
def backends() -> Iterator[Callable[..., None]]:
    """Registers backends while the test lasts."""
    with ExitStack() as stack:

        def register(*found: BackendDefinition) -> None:
            for item in found:
                stack.enter_context(registered(item))

        yield register


@pytest.fixture
def write_policy(
    in_process: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], None]:
    """Makes a text the policy. After `in_process`, which sets the other variables."""
    del in_process

    def write(text: str) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        monkeypatch.setenv("REELWRIGHT_ROUTING_POLICY", str(path))

    return write


@pytest.mark.expects_errors("not today")
@pytest.mark.parametrize("kind", [UnavailableError, slow(QuotaError), slow(LostJobError)])
def test_the_whole_video_is_made_by_the_next_candidate(
    in_process: Run,
    store: ObjectStore,
    backends: Callable[..., None],
    write_policy: Callable[[str], None],
    kind: type[Exception],
) -> None:
    backends(backend("first", kind("not today"), good=1), backend("second"))
    write_policy(POLICY)
    manifest = in_process(**BRIEF)
    assert manifest.brief.preset == "second"
    assert {chunk.spec.backend for chunk in manifest.plan.chunks} == {"second"}
    assert manifest.route is not None
    assert [item.preset for item in manifest.route.candidates] == ["first", "second"]
    (setback,) = manifest.route.setbacks
    assert (setback.preset, setback.reason) == ("first", "not today")
    assert "tried before: first: not today" in list(manifest.route.lines())
    stored = store.get_bytes(ObjectKey.manifest(manifest.content_id))
    assert stored is not None
    assert Manifest.model_validate_json(stored).route == manifest.route
    # The chunk that the first one made stays, for the day when it can be used again.
    made = {chunk.digest for chunk in manifest.chunks}
    left = {ObjectKey(key) for key in store.list_keys("chunks/") if key.endswith(".mp4")}
    assert len(left - {ObjectKey.chunk(digest) for digest in made}) == 1


@pytest.mark.expects_errors("no and no|it broke|it is wrong")
@pytest.mark.parametrize(
    "error",
    [
        RefusedError("no and no"),
        slow(GenerationError("it broke")),
        slow(BriefError("it is wrong")),
    ],
    ids=["refused", "broken", "wrong"],
)
def test_no_other_backend_is_tried_for_what_is_wrong_or_refused(
    in_process: Run,
    store: ObjectStore,
    backends: Callable[..., None],
    write_policy: Callable[[str], None],
    error: Exception,
) -> None:
    backends(backend("first", error), backend("second"))
    write_policy(POLICY)
    with pytest.raises(type(error), match=str(error)):
        in_process(**BRIEF)
    assert store.list_keys("chunks/") == []


@pytest.mark.expects_errors("over the month's cap|not today")
def test_a_cap_of_the_ledger_leads_to_the_next_candidate_only_if_the_policy_says_so(
    in_process: Run, backends: Callable[..., None], write_policy: Callable[[str], None]
) -> None:
    backends(backend("first", BudgetError("over the month's cap")), backend("second"))
    write_policy(POLICY + "above_cap: next")
    assert in_process(**BRIEF).brief.preset == "second"
    # Outside a studio nobody can be asked.
    write_policy(POLICY + "above_cap: approval")
    with pytest.raises(BudgetError, match="over the month's cap"):
        in_process(**BRIEF)


@pytest.mark.expects_errors("not today|nor today")
def test_when_all_candidates_failed_the_last_error_is_the_run_s(
    in_process: Run, backends: Callable[..., None], write_policy: Callable[[str], None]
) -> None:
    backends(
        backend("first", UnavailableError("not today")), backend("second", QuotaError("nor today"))
    )
    write_policy(POLICY)
    with pytest.raises(QuotaError, match="nor today"):
        in_process(**BRIEF)


@pytest.mark.expects_errors("not today")
def test_a_named_preset_has_a_fallback_only_if_the_policy_says_so(
    in_process: Run, backends: Callable[..., None], write_policy: Callable[[str], None]
) -> None:
    backends(backend("first", UnavailableError("not today")), backend("second"))
    write_policy(POLICY)
    with pytest.raises(UnavailableError, match="not today"):
        in_process(**BRIEF | {"preset": "first"})
    write_policy(POLICY + "fallback_for_named: true")
    assert in_process(**BRIEF | {"preset": "first"}).brief.preset == "second"


@pytest.mark.expects_errors("only a studio can ask|policy.yaml")
def test_above_a_cap_or_with_a_bad_policy_nothing_is_made(
    in_process: Run,
    store: ObjectStore,
    backends: Callable[..., None],
    write_policy: Callable[[str], None],
) -> None:
    backends(backend("first", price="1.01"), backend("second", price="0.99"))
    write_policy(POLICY + "above_cap: approval\nlocal: any\nweights: {quality: 1, cost: 0}")
    with pytest.raises(BudgetError, match=r"first: it costs 1\.01 USD.*Nothing was spent"):
        in_process(**BRIEF)
    write_policy("locl: any")
    with pytest.raises(Exception, match=r"policy\.yaml, line 1: locl"):
        in_process(**BRIEF)
    assert store.list_keys() == []
    write_policy(POLICY + "above_cap: next")
    assert in_process(**BRIEF).brief.preset == "second"
