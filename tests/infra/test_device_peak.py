"""The peak of GPU memory of each stage."""

import subprocess
from collections.abc import Iterator

import pytest

from infra.adapters.device import cache
from infra.adapters.device.peak import Peak, watched
from tasks.stage_costs import StageCosts
from tests.support.fake_gpu import FakeCard, environment, install, install_nvml

GB = 1_000_000_000


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCard]:
    """A card with NVML."""
    with environment():
        card = install(monkeypatch, FakeCard())
        install_nvml(monkeypatch, card)
        yield card
        cache.release_all()


def peaks(costs: StageCosts) -> dict[str, int]:
    return {cost.stage: cost.peak_gpu_bytes for cost in costs.costs}


def use(card: FakeCard, size: int) -> None:
    card.allocate(size)
    card.free(size)


def test_a_stage_s_peak_is_not_that_of_an_earlier_one(card: FakeCard) -> None:
    costs = StageCosts()
    with costs.measure("chunks"):
        use(card, 18 * GB)
    with costs.measure("stitch"):
        pass
    with costs.measure("upscale"):
        use(card, 7 * GB)
    context = card.context
    assert peaks(costs) == {
        "chunks": 18 * GB + context,
        "stitch": context,
        "upscale": 7 * GB + context,
    }


def test_a_stage_in_parts_keeps_the_most_of_them(card: FakeCard) -> None:
    costs = StageCosts()
    for size in (5, 9, 4):
        with costs.measure("chunks"):
            use(card, size * GB)
    assert peaks(costs) == {"chunks": 9 * GB + card.context}


def test_the_reserve_is_emptied_where_a_stage_begins_and_not_before_each_chunk(
    card: FakeCard,
) -> None:
    costs = StageCosts()
    for _ in range(3):
        with costs.measure("chunks"):
            use(card, GB)
    assert card.emptied == 1


def test_a_stage_that_fails_has_its_peak(card: FakeCard) -> None:
    costs = StageCosts()

    def fail() -> None:
        use(card, 2 * GB)
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"), costs.measure("chunks"):
        fail()
    assert peaks(costs) == {"chunks": 2 * GB + card.context}


def test_the_language_model_s_process_counts_though_it_ends_within_the_stage(
    card: FakeCard,
) -> None:
    class Llama:
        def __init__(self) -> None:
            self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
            card.children[self.process.pid] = 5 * GB

        def close(self) -> None:
            self.process.communicate()
            card.children.clear()

    costs = StageCosts()
    with costs.measure("enhance"):
        cache.resident("enhancer", ("llama",), Llama)
        cache.release("enhancer")
    assert not card.children
    assert peaks(costs) == {"enhance": 5 * GB + card.context}


def test_a_model_that_made_room_is_not_added_to_the_one_that_came(card: FakeCard) -> None:
    class Model:
        def __init__(self, size: int) -> None:
            self.size = size
            card.allocate(size)

        def close(self) -> None:
            card.free(self.size)
            card.empty_cache()

    cache.resident("video", ("a",), lambda: Model(6 * GB))
    costs = StageCosts()
    with costs.measure("encode"):
        cache.release("video")
        cache.resident("encoder", ("b",), lambda: Model(11 * GB))
    assert peaks(costs) == {"encode": 11 * GB + card.context}


def test_parts_that_overlap_both_have_what_was_there_together(card: FakeCard) -> None:
    first, second = Peak(), Peak()
    with watched(first, fresh=True):
        use(card, 3 * GB)
        with watched(second, fresh=True):
            card.allocate(10 * GB)
        card.free(10 * GB)
    assert (first.bytes, second.bytes) == (10 * GB + card.context, 10 * GB + card.context)
    assert card.emptied == 1  # not while the first one works


def test_without_cuda_there_is_no_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)
    costs = StageCosts()
    with costs.measure("chunks"):
        pass
    assert peaks(costs) == {"chunks": 0}
