"""What the scorecard counts in the films of a writer, and its tables."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from statistics import fmean

from pipelines.prompting.scorecard.films import Scored, ScoredFilm
from pipelines.prompting.subjects import new_subjects
from pipelines.prompting.words import content_words, missing_words, overlap, words_of
from pipelines.schema.frozen import Frozen
from pipelines.schema.storyboard import Shot

GROUPS = ("all", "known", "unseen", "thai", "special")
_WRITTEN = ("llm", "llm-retry")
"""Sources of shots that a language model wrote."""


class Figures(Frozen):
    """Of one group of briefs. A share is between 0 and 1, and None where there is nothing to
    count."""

    films: int
    refused: int
    """Briefs whose editor is told what is missing, and gets no storyboard."""
    shots: int
    first_try: float | None
    """Share of the shots for which the first answer passed all checks."""
    retried: float | None
    next_strategy: float | None
    """Share that another strategy than the asked one wrote; it is also in `first_try` or
    `retried`."""
    template: float | None
    own_words: float | None
    """Share that show the brief's own words, because the writer was not asked."""
    kept: float | None
    """Share of the brief's content words that a shot of the film says, of films that a model
    wrote."""
    overlap: float | None
    """Mean Jaccard overlap of two shots of a film, without the words of the brief."""
    most_overlap: float | None
    new_subjects: float | None
    """Share of the written shots with a subject that neither brief nor sheet has, as the gate finds
    it."""
    questions: float | None
    """To the writer, for each shot that it wrote or that the template stands in for."""
    seconds: float | None
    """Of its answers, likewise."""


def figures_of(scored: Scored) -> dict[str, Figures]:
    """The figures of each group, by its name."""
    return {
        group: _figures(
            [film for film in scored.films if group in ("all", film.brief.kind)], scored.strategy
        )
        for group in GROUPS
    }


def _figures(films: Sequence[ScoredFilm], strategy: str) -> Figures:
    shots = [shot for film in films for shot in film.shots]
    asked = [film for film in films if film.asked]
    of_writer = [shot for film in asked for shot in film.shots]
    overlaps = [value for film in films for value in _overlaps(film)]
    return Figures(
        films=len(films),
        refused=sum(bool(film.refusal) for film in films),
        shots=len(shots),
        first_try=_share(shot.source == "llm" for shot in shots),
        retried=_share(shot.source == "llm-retry" for shot in shots),
        next_strategy=_share(shot.strategy not in ("none", strategy) for shot in shots),
        template=_share(shot.source == "template" for shot in shots),
        own_words=_share(shot.source == "brief" for shot in shots),
        kept=_mean(value for film in films for value in _kept(film)),
        overlap=_mean(overlaps),
        most_overlap=round(max(overlaps), 3) if overlaps else None,
        new_subjects=_share(bool(added) for film in films for added in added_subjects(film)),
        questions=_mean([sum(film.asked for film in asked) / len(of_writer)] if of_writer else []),
        seconds=_mean([sum(film.seconds for film in asked) / len(of_writer)] if of_writer else []),
    )


def added_subjects(film: ScoredFilm) -> Iterator[list[str]]:
    """New subjects of each shot that a model wrote."""
    entries = (*film.sheet.characters, *film.sheet.places)
    allowed = [film.brief.prompt, *(f"{entry.name} {entry.appearance}" for entry in entries)]
    for shot in _written(film):
        yield new_subjects(shot.prompt.removeprefix(f"{shot.camera}: "), allowed)


def _written(film: ScoredFilm) -> list[Shot]:
    return [shot for shot in film.shots if shot.source in _WRITTEN]


def _kept(film: ScoredFilm) -> Iterator[float]:
    words = content_words(film.brief.prompt)
    written = _written(film)
    if words and written:
        said = " ".join(shot.prompt for shot in written)
        yield 1 - len(missing_words(words, said)) / len(words)


def _overlaps(film: ScoredFilm) -> Iterator[float]:
    known = set(words_of(film.brief.prompt))
    own = [
        set(words_of(shot.prompt.removeprefix(f"{shot.camera}: "))) - known
        for shot in _written(film)
    ]
    yield from (overlap(one, other) for one, other in combinations(own, 2) if one or other)


def _share(answers: Iterable[bool]) -> float | None:
    return _mean(float(answer) for answer in answers)


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(fmean(found), 3) if found else None


_ROWS = (
    ("films", "films"),
    ("briefs refused with a sentence", "refused"),
    ("shots", "shots"),
    ("first answer passed", "first_try"),
    ("a later answer passed", "retried"),
    ("by the next strategy", "next_strategy"),
    ("by the template", "template"),
    ("the brief's own words", "own_words"),
    ("words of the brief kept", "kept"),
    ("overlap of two shots, mean", "overlap"),
    ("overlap of two shots, most", "most_overlap"),
    ("shots with a new subject", "new_subjects"),
    ("questions a shot", "questions"),
    ("seconds a shot", "seconds"),
)
_SHARES = frozenset({"first_try", "retried", "next_strategy", "template", "own_words", "kept"})
_SHARES |= {"new_subjects"}


def table_of(scored: Sequence[tuple[str, Scored]], groups: Sequence[str] = ("all",)) -> str:
    """A table in Markdown: a column for each of `scored`, which has a heading, and each group."""
    columns = [
        (heading if group == "all" else f"{heading}, {group}", figures_of(item)[group])
        for heading, item in scored
        for group in groups
    ]
    lines = ["| | " + " | ".join(heading for heading, _ in columns) + " |"]
    lines.append("| --- |" + " --- |" * len(columns))
    for title, name in _ROWS:
        cells = (_cell(name, getattr(figures, name)) for _, figures in columns)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1%}" if name in _SHARES else f"{value:g}"
