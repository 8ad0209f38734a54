"""Comparisons of backends under test: samples and ratings without a model."""

from collections.abc import Sequence

from pipelines.benchmark.blind import Pair, Rating, pairs_of, rating_of
from pipelines.benchmark.gates import Gates, default_gates
from pipelines.benchmark.report import Report, make_report
from pipelines.benchmark.request import Benchmark, parse_candidates
from pipelines.benchmark.samples import Film, Sample
from pipelines.schema.money import Money
from pipelines.schema.plan import digest_of

PROMPTS = tuple(f"a red ball moves right, take {number}" for number in range(40))
LOCAL, OTHER = "demo", "animatediff_draft"


def benchmark(*candidates: str, videos: int = 30, name: str = "tried") -> Benchmark:
    return Benchmark(
        name=name, candidates=candidates or (LOCAL, OTHER), prompts=PROMPTS, videos=videos
    )


def sample(
    candidate: str,
    number: int,
    *,
    made: bool = True,
    seconds: float | None = 8.0,
    cost: str = "",
    gigabytes: float = 10.0,
    device: str = "cuda",
) -> Sample:
    film = Film.model_validate(
        {
            "content_id": digest_of([candidate, number]),
            "seconds": 4.0,
            "size": "64*64",
            "fps": 16,
            "wall_seconds": seconds,
            "device": device,
            "gpu_bytes": round(gigabytes * 1e9),
            "ram_bytes": 10**9,
        }
    )
    return Sample(
        candidate=candidate,
        number=number,
        prompt=PROMPTS[number - 1],
        seed=-1,
        outcome="made" if made else "failed",
        problem="" if made else "GenerationError: lost",
        film=film if made else None,
        cost=Money.of(cost) if cost else None,
    )


def samples(candidate: str, successes: int, failures: int = 0, **values: object) -> list[Sample]:
    made = [sample(candidate, n + 1, **values) for n in range(successes)]  # type: ignore[arg-type]
    lost = range(successes, successes + failures)
    return made + [sample(candidate, n + 1, made=False) for n in lost]


def rated(
    pair: Pair, rater: str, scores: dict[str, int], preferred: str = "", client: str = "one"
) -> Rating:
    """As the page sends it: by sides, for the candidates as that rater saw them."""
    from pipelines.benchmark.blind import left_of

    left = left_of(rater, pair)
    right = pair.other if left == pair.one else pair.one
    choice = "left" if preferred == left else "right" if preferred == right else "none"
    return rating_of(
        pair, rater, client, (scores[left], scores[right]), choice, "2026-11-27T00:00:00+00:00"
    )


def report(
    found: Sequence[Sample],
    ratings: Sequence[Rating] = (),
    *candidates: str,
    gates: Gates | None = None,
    videos: int = 30,
) -> Report:
    asked = benchmark(*candidates, videos=videos)
    return make_report(
        asked,
        parse_candidates(asked.candidates),
        found,
        ratings,
        gates or default_gates(),
        not_scored=(),
        created="2026-11-27T00:00:00+00:00",
        software="reelwright",
    )


def all_pairs(found: Sequence[Sample], *candidates: str) -> list[Pair]:
    return pairs_of("tried", candidates or (LOCAL, OTHER), found)
