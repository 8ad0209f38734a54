"""The forty briefs, and the films that a writer makes of them."""

import json
from collections.abc import Callable
from importlib import resources
from typing import Literal

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.plan import seed_of
from pipelines.prompting.scorecard.recorded import RecordedWriter
from pipelines.prompting.storyboard import write_storyboard
from pipelines.schema.frozen import Frozen
from pipelines.schema.storyboard import Sheet, Shot

SHOTS = 4
"""Shots of a film; each is a chunk of two seconds."""
Kind = Literal["known", "unseen", "thai", "special"]
"""`known`: like briefs of this repository's tests. `unseen`: briefs of which no prompt and no test
has the words. `thai`: briefs in Thai. `special`: emoji only, one word, 2,000 characters, a
contradiction, a request for the writer's instructions, words that must be shown."""


class ScoredBrief(Frozen):
    """A brief of the scorecard."""

    kind: Kind
    prompt: str


class ScoredFilm(Frozen):
    """The storyboard of a brief, and what it cost."""

    brief: ScoredBrief
    shots: tuple[Shot, ...]
    sheet: Sheet = Sheet()
    refusal: str = ""
    """What the editor was told in place of a storyboard."""
    asked: int
    """Questions to the writer."""
    seconds: float
    """What their answers took it."""


class Scored(Frozen):
    """What one writer made of all briefs, asked by one strategy."""

    writer: str
    strategy: str
    films: tuple[ScoredFilm, ...]


def read_briefs() -> list[ScoredBrief]:
    """The forty briefs, in the order of the file."""
    text = resources.files(__package__).joinpath("briefs.json").read_text(encoding="utf-8")
    return [ScoredBrief.model_validate(item) for item in json.loads(text)]


def film_of(scored: ScoredBrief, writer: RecordedWriter) -> ScoredFilm:
    """The storyboard that `writer` makes of a brief, without a bucket."""
    brief = Brief(prompt=scored.prompt, preset="demo", seconds=2 * SHOTS)
    asked, seconds = writer.asked, writer.seconds
    shots: tuple[Shot, ...] = ()
    sheet, refusal = Sheet(), ""
    try:
        board = write_storyboard(
            brief,
            ["cut"] * SHOTS,
            seed_of(brief),
            writer,
            lambda _: None,
            lambda *_: None,
            lambda: "scorecard",
        )
        shots, sheet = board.shots, board.sheet
    except BriefError as error:
        refusal = str(error)
    return ScoredFilm(
        brief=scored,
        shots=shots,
        sheet=sheet,
        refusal=refusal,
        asked=writer.asked - asked,
        seconds=round(writer.seconds - seconds, 3),
    )


def score(writer: RecordedWriter, say: Callable[[str], None], every: int = 1) -> Scored:
    """A film of each brief, or of each `every`-th one; `say` is told of each film."""
    films = []
    for number, scored in enumerate(briefs := read_briefs()[::every], start=1):
        film = film_of(scored, writer)
        films.append(film)
        made = ", ".join(shot.source for shot in film.shots) or film.refusal
        say(f"{number} of {len(briefs)}, {film.asked} questions, {film.seconds:.1f} s: {made}")
    return Scored(writer=writer.name, strategy=writer.strategy, films=tuple(films))
