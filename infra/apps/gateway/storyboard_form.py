"""The form of a storyboard: what stands in it, and what a browser sends back.

All that is typed is kept as text until it is checked, so that a page with a complaint shows it
again. Moving, adding and removing shots works without a script: each is a button that sends the
form and gets it back changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.datastructures import FormData

from infra.apps.gateway.answers import Answer
from infra.apps.gateway.problems import ProblemError
from pipelines.documents.draft import Draft, DraftShot
from pipelines.errors import StoryboardError
from pipelines.planning.edits import own_looks
from pipelines.planning.framing import CAMERA_MOVES, SIZES
from pipelines.schema.shots import EditedEntry, EditedShot

SEE_THE_SHOTS = "Some shots cannot be made as they stand here: each says why. Nothing was sent."
_FIELDS = ("drafted", "prompt", "seed", "chunks", "size", "camera", "wish")
_OFFERED = 6
"""Lengths to choose from, in chunks; a shot that is longer already has its own besides."""


@dataclass(frozen=True)
class Row:
    """A shot as it stands in the form."""

    drafted: str = ""
    prompt: str = ""
    seed: str = ""
    chunks: str = ""
    size: str = ""
    camera: str = ""
    wish: str = ""
    problem: str = ""
    shot: DraftShot | None = None
    """The drafted shot that it was; None for a new one."""

    @property
    def is_changed(self) -> bool:
        """Whether its still, if it has one, is not what would be made."""
        old = self.shot
        return old is None or bool(self.wish) or _row_of(old) != replace(self, problem="")


@dataclass(frozen=True)
class Look:
    """A character or a place as it stands in the form."""

    name: str
    appearance: str
    shots: tuple[int, ...] = ()
    """Numbers of the drafted shots that show it."""


@dataclass(frozen=True)
class StoryboardForm:
    """The whole form."""

    rows: tuple[Row, ...]
    looks: tuple[Look, ...]
    reason: str = ""

    def edited(self, action: str) -> "StoryboardForm":
        """The form after a press on one of its buttons: `up:2`, `down:2`, `remove:2` or `add`, with
        shots counted from 1. Anything else leaves it as it is."""
        name, _, number = action.partition(":")
        index = int(number) - 1 if number.isdecimal() else -1
        rows = list(self.rows)
        if name == "add":
            rows.append(Row())
        elif not 0 <= index < len(rows):
            return self
        elif name == "remove" and len(rows) > 1:
            del rows[index]
        elif name in ("up", "down"):
            moved = rows.pop(index)
            rows.insert(max(index - 1, 0) if name == "up" else index + 1, moved)
        return replace(self, rows=tuple(rows))

    def with_problems(self, error: StoryboardError) -> "StoryboardForm":
        """The form with each sentence at its shot."""
        rows = [
            replace(row, problem=error.problems.get(index, ""))
            for index, row in enumerate(self.rows)
        ]
        return replace(self, rows=tuple(rows))

    def answer(self, decision: object) -> Answer:
        """What is sent to the run. Raises StoryboardError if a number is none, and ProblemError 422
        if `decision` is none."""
        if decision not in ("approve", "reject", "revise"):
            raise ProblemError(422, "invalid", "nothing was decided; approve, reject or revise")
        looks = [EditedEntry(name=look.name, appearance=look.appearance) for look in self.looks]
        shots = [] if decision == "reject" else _shots(self.rows)
        return Answer(decision=decision, reason=self.reason, shots=shots, sheet=looks)


def shown(draft: Draft | None, form: StoryboardForm | None) -> dict[str, Any]:
    """The values for the page of a draft, with what was typed into its `form`."""
    if draft is None:
        return {}
    form = form or form_of(draft)
    # An answer with a decision alone leaves everything as drafted.
    form = form if form.rows else replace(form_of(draft), reason=form.reason)
    rows = [(row, lengths_of(row, draft)) for row in form.rows]
    blank = (Row(), lengths_of(Row(), draft))
    return {"form": form, "rows": rows, "blank": blank, "sizes": SIZES, "moves": CAMERA_MOVES}


def form_of(draft: Draft) -> StoryboardForm:
    """The form as it is first shown."""
    return StoryboardForm(
        rows=tuple(_row_of(shot) for shot in draft.shots),
        looks=tuple(
            Look(
                name=entry.name,
                appearance=entry.appearance,
                shots=tuple(shot.number for shot in draft.shots if entry.name in shot.shows),
            )
            for entry in own_looks(draft)
        ),
    )


def read_form(data: FormData, draft: Draft | None) -> StoryboardForm:
    """What a browser sent. Raises ProblemError 422 if its parts do not belong together."""
    columns = {name: _texts(data, name) for name in _FIELDS}
    count = len(columns["prompt"])
    sent = {name: texts for name, texts in columns.items() if texts}
    names, looks = _texts(data, "entry"), _texts(data, "looks")
    if any(len(texts) != count for texts in sent.values()) or len(names) != len(looks):
        raise ProblemError(
            422, "invalid", "the form of the storyboard came incomplete; load the page again"
        )
    drafted = {str(shot.number): shot for shot in draft.shots} if draft else {}
    rows = []
    for index in range(count):
        values = {name: texts[index] for name, texts in sent.items()}
        rows.append(Row(**values, shot=drafted.get(values.get("drafted", ""))))
    known = {look.name: look for look in form_of(draft).looks} if draft else {}
    return StoryboardForm(
        rows=tuple(rows),
        looks=tuple(
            replace(known.get(name, Look(name, "")), appearance=text)
            for name, text in zip(names, looks, strict=True)
        ),
        reason="".join(_texts(data, "reason")[:1])[:500],
    )


def lengths_of(row: Row, draft: Draft) -> list[tuple[int, float]]:
    """The lengths that a shot may have: chunks, and seconds."""
    if not draft.chunk_seconds:
        return []
    own = row.shot.chunks if row.shot else 1
    counts = sorted({*range(1, _OFFERED + 1), own, *_number(row.chunks)})
    of_own = row.shot.seconds if row.shot else draft.chunk_seconds
    return [(n, of_own if n == own else n * draft.chunk_seconds) for n in counts]


def _row_of(shot: DraftShot) -> Row:
    return Row(
        drafted=str(shot.number),
        prompt=shot.prompt,
        seed=str(shot.seed),
        chunks=str(shot.chunks),
        size=shot.size,
        camera=shot.camera,
        shot=shot,
    )


def _shots(rows: Sequence[Row]) -> list[EditedShot]:
    """The rows as shots. Raises StoryboardError if a number is none."""
    problems: dict[int, str] = {}
    shots: list[EditedShot] = []
    for index, row in enumerate(rows):
        for name in ("seed", "chunks", "drafted"):
            text = getattr(row, name).strip()
            if text and not _number(text):
                problems[index] = (
                    f"the {name} {text!r:.40} is no whole number; write digits only, or leave it "
                    "empty"
                )
        if index not in problems:
            shots.append(
                EditedShot(
                    prompt=row.prompt.strip(),
                    seed=_value(row.seed, -1),
                    chunks=_value(row.chunks, 0),
                    size=row.size.strip(),
                    camera=row.camera.strip(),
                    wish=row.wish.strip(),
                    drafted=_value(row.drafted, 0),
                )
            )
    if problems:
        raise StoryboardError(problems)
    return shots


def _number(text: str) -> list[int]:
    """`text` as a whole number; none if it is none."""
    digits = text.strip()
    is_number = digits.removeprefix("-").isascii() and digits.removeprefix("-").isdecimal()
    return [int(digits)] if is_number and len(digits) <= 20 else []


def _value(text: str, otherwise: int) -> int:
    return next(iter(_number(text)), otherwise)


def _texts(data: FormData, name: str) -> list[str]:
    return [value for value in data.getlist(name) if isinstance(value, str)]
