"""Blind ratings: two videos of the same prompt, shown side by side, without saying who made which.

Every rater sees the pairs in an order of their own, and on which side each video stands is random
for each pair and rater. Both follow from digests, so that a page that is loaded again is the same.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Literal

from pydantic import Field, field_validator

from pipelines.benchmark.samples import Sample
from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of
from pipelines.schema.text import clean_text

MAX_NAME = 60
Side = Literal["left", "right"]
Choice = Literal["left", "right", "none"]


class Pair(Frozen):
    """Two videos of the same prompt and seed, of two candidates."""

    id: str
    """16 hexadecimal digits; nobody reads a candidate from them."""
    number: int
    prompt: str
    one: str
    """Slug of a candidate, the first in the order of the comparison."""
    other: str
    films: tuple[Digest, Digest]
    """Content ids of the videos of `one` and `other`."""


class Rating(Frozen):
    """What one person says about one pair. Scores are those of the candidates, not of the sides."""

    pair: str
    rater: str
    client: str
    """Id of the key or session under which it was sent."""
    number: int
    one: str
    other: str
    films: tuple[Digest, Digest]
    score_one: int = Field(ge=1, le=5)
    score_other: int = Field(ge=1, le=5)
    preferred: str
    """Slug of the better one; empty if neither is."""
    left: str
    """Slug of the candidate that stood on the left."""
    created: str
    """UTC, ISO 8601."""

    @property
    def key(self) -> str:
        """The same for all spellings of the rater's name."""
        return rater_key(self.rater)

    @field_validator("rater")
    @classmethod
    def _rater(cls, value: str) -> str:
        return rater_name(value)


def rater_name(text: str) -> str:
    """A rater's name as it is kept: NFC, without spaces around it.

    Raises ValueError for an empty name, one of more than MAX_NAME characters, and control
    characters.
    """
    name = clean_text(text, "name", MAX_NAME)
    if not name:
        raise ValueError("the name is empty; write the name under which your ratings are kept")
    return name


def rater_key(name: str) -> str:
    """The same for names that look the same: case and width make no other rater. 16 digits."""
    return digest_of(unicodedata.normalize("NFKC", rater_name(name)).casefold())[:16]


def rating_file(pair: str, name: str) -> str:
    """Name of the file of that rater's rating: one for a rater and a pair."""
    return f"rating-{pair}-{rater_key(name)}.json"


def pairs_of(benchmark: str, candidates: Sequence[str], samples: Iterable[Sample]) -> list[Pair]:
    """Every two videos of the same number; those of videos that were not made are left out."""
    films = {(item.candidate, item.number): item for item in samples if item.film}
    numbers = sorted({number for _, number in films})
    pairs = []
    for number in numbers:
        for one, other in combinations(candidates, 2):
            first, second = films.get((one, number)), films.get((other, number))
            if not (first and second and first.film and second.film):
                continue
            made = (first.film.content_id, second.film.content_id)
            pairs.append(
                Pair(
                    id=digest_of(["pair", benchmark, one, other, number, made])[:16],
                    number=number,
                    prompt=first.prompt,
                    one=one,
                    other=other,
                    films=made,
                )
            )
    return pairs


def order_for(name: str, pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs in the order in which that rater sees them."""
    key = rater_key(name)
    return sorted(pairs, key=lambda pair: digest_of(["order", key, pair.id]))


def left_of(name: str, pair: Pair) -> str:
    """Slug of the candidate that stands on the left for that rater."""
    odd = int(digest_of(["side", rater_key(name), pair.id])[:8], 16) % 2
    return pair.other if odd else pair.one


def film_on(side: Side, name: str, pair: Pair) -> Digest:
    """Content id of the video that this rater sees on that side."""
    one_is_there = (left_of(name, pair) == pair.one) == (side == "left")
    return pair.films[0] if one_is_there else pair.films[1]


def rating_of(
    pair: Pair, name: str, client: str, scores: tuple[int, int], choice: Choice, created: str
) -> Rating:
    """The rating of a pair as it was seen. `scores` are those of left and right.

    Raises ValueError if a score is not from 1 to 5.
    """
    left = left_of(name, pair)
    one_left = left == pair.one
    by_side = {"left": left, "right": pair.other if one_left else pair.one, "none": ""}
    return Rating(
        pair=pair.id,
        rater=name,
        client=client,
        number=pair.number,
        one=pair.one,
        other=pair.other,
        films=pair.films,
        score_one=scores[0] if one_left else scores[1],
        score_other=scores[1] if one_left else scores[0],
        preferred=by_side[choice],
        left=left,
        created=created,
    )
