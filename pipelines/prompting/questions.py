"""The questions of the strategy `direct`: their data, their JSON schemas and the answers' classes.

A schema bounds every text by a pattern of ASCII characters: an answer cannot have control
characters, cannot leave the Latin script, and cannot be longer than its question allows for. The
model does not see the schema, so the templates name the fields.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from pipelines.planning.framing import SHOT_SIZES
from pipelines.prompting.asking import Answer, Question
from pipelines.prompting.compose import action_without_subject
from pipelines.prompting.words import whole_words
from pipelines.schema.storyboard import Sheet, SheetEntry, ShotPlan

OPENING_SIZES = SHOT_SIZES[:2]
"""The first shot shows where the film takes place."""
MOVES = (
    "static",
    "slow pan left",
    "slow pan right",
    "slow tilt up",
    "slow tilt down",
    "slow push in",
    "slow pull back",
    "tracking shot",
    "crane up",
    "handheld camera",
)
MAX_BEAT = 120
"""Characters."""
MAX_NAME = 32
MAX_APPEARANCE = 110
MAX_NEW = (4, 3)
"""Most characters and places that one question adds to the sheet."""
MAX_SHEET = 12
"""Most entries of a sheet. A longer list would take the room of the shot's own words."""
_FIELDS: Mapping[str, tuple[int, int]] = {
    "subject": (3, 60),
    "action": (20, 120),
    "setting": (80, 200),
    "light": (45, 130),
    "palette": (30, 100),
}
"""Fewest and most characters of the texts of a shot."""
_ROOM = 12
"""Tokens for a field's name and its marks."""
_CHARACTERS = 2
"""Least characters of a token in a longer English text, which has four on average. Rubbish has one,
and is cut off; the fault is named and it is asked for again."""
_RECENT = 6
"""Beats before the new ones that are shown to the model besides the first one."""


_LIST_MARK = re.compile(
    r"\A(?:(?:(?:beat|shot|scene)\s+)?\d{1,2}\s*[.:)-]\s+|[-*]\s+)", re.IGNORECASE
)
"""What a model writes before the items of a list."""


class BeatsAnswer(Answer):
    """Successive beats. A model numbers them, and runs on to the end of the room."""

    beats: list[str]

    @field_validator("beats")
    @classmethod
    def _tidy(cls, value: list[str]) -> list[str]:
        return [_LIST_MARK.sub("", whole_words(beat, MAX_BEAT)) for beat in value]


class EntryAnswer(Answer):
    """A character or a place."""

    name: str
    appearance: str

    @field_validator("appearance")
    @classmethod
    def _whole(cls, value: str) -> str:
        return whole_words(value, MAX_APPEARANCE)

    def entry(self) -> SheetEntry:
        """The entry as the sheet has it: its name in lower case and without an article."""
        words = self.name.lower().split()
        if len(words) > 1 and words[0] in ("a", "an", "the"):
            words = words[1:]
        return SheetEntry(name=" ".join(words), appearance=self.appearance.strip(" .,;:"))


class SheetAnswer(Answer):
    """What is added to the sheet."""

    characters: list[EntryAnswer]
    places: list[EntryAnswer]

    def sheet(self) -> Sheet:
        """The entries as a sheet."""
        return Sheet(
            characters=tuple(item.entry() for item in self.characters),
            places=tuple(item.entry() for item in self.places),
        )


class ShotAnswer(Answer):
    """A shot without its beat. `shows` is missing where the sheet is empty."""

    size: str
    camera_move: str
    subject: str
    action: str
    setting: str
    light: str
    palette: str
    shows: list[str] = Field(default_factory=list)

    @field_validator(*_FIELDS)
    @classmethod
    def _whole(cls, value: str, info: ValidationInfo) -> str:
        return whole_words(value, _FIELDS[str(info.field_name)][1])


def beats_question(
    idea: str, count: int, written: Sequence[str], seed: int
) -> Question[BeatsAnswer]:
    """For `count` beats that follow those `written`."""
    shown = written if len(written) <= _RECENT else [written[0], *written[-_RECENT:]]
    return Question(
        template="outline_more" if written else "outline",
        data={"idea": idea, "count": str(count), "written": "\n".join(shown)},
        schema=_object({"beats": _list(_text(10, MAX_BEAT), count, count)}),
        answer=BeatsAnswer,
        seed=seed,
        max_tokens=count * (MAX_BEAT // _CHARACTERS + _ROOM),
    )


def sheet_question(
    idea: str, beats: Sequence[str], sheet: Sheet, missing: Sequence[str], seed: int
) -> Question[SheetAnswer]:
    """For the entries that `beats` need besides those of `sheet`. `missing` are words of the idea
    that no beat has."""
    characters, places = MAX_NEW
    entry = _object({"name": _text(2, MAX_NAME), "appearance": _text(15, MAX_APPEARANCE)})
    least = 0 if sheet.characters or sheet.places else 1
    use = f"Use these words of the idea, too: {', '.join(missing)}." if missing else ""
    return Question(
        template="sheet",
        data={"idea": idea, "beats": "\n".join(beats), "listed": _lines(sheet), "missing": use},
        schema=_object(
            {"characters": _list(entry, least, characters), "places": _list(entry, 0, places)}
        ),
        answer=SheetAnswer,
        seed=seed,
        max_tokens=(characters + places) * ((MAX_NAME + MAX_APPEARANCE) // _CHARACTERS + 2 * _ROOM),
        temperature=0.4,
    )


def shot_question(
    data: Mapping[str, str], sheet: Sheet, sizes: Sequence[str], seed: int, template: str = "shot"
) -> Question[ShotAnswer]:
    """For a shot; `data` are the fields of its template besides the lists to choose from."""
    names = [entry.name for entry in (*sheet.characters, *sheet.places)]
    fields: dict[str, Any] = {"size": {"enum": list(sizes)}, "camera_move": {"enum": list(MOVES)}}
    fields |= {name: _text(low, high) for name, (low, high) in _FIELDS.items()}
    if names:
        fields["shows"] = _list({"enum": names}, 0, 3)
    texts = sum(high for _, high in _FIELDS.values())
    lists = {"listed": _lines(sheet), "sizes": ", ".join(sizes), "moves": ", ".join(MOVES)}
    return Question(
        template=template,
        data={**data, **lists},
        schema=_object(fields),
        answer=ShotAnswer,
        seed=seed,
        max_tokens=(texts + 3 * MAX_NAME) // _CHARACTERS + (len(_FIELDS) + 6) * _ROOM,
    )


def fault_of_choices(answer: ShotAnswer, sizes: Sequence[str]) -> str:
    """A choice that is not in its list. A grammar makes it impossible, but not every model has
    one."""
    if answer.size not in sizes:
        return f"size: choose one of {', '.join(sizes)}"
    if answer.camera_move not in MOVES:
        return f"camera_move: choose one of {', '.join(MOVES)}"
    return ""


def plan_of_answer(answer: ShotAnswer, beat: str, shows: tuple[str, ...]) -> ShotPlan:
    """The parts of a shot, without the marks at their ends."""
    texts = {name: getattr(answer, name).strip(" .,;:") for name in _FIELDS}
    texts["action"] = action_without_subject(texts["action"], texts["subject"])
    return ShotPlan(
        beat=beat, size=answer.size, camera_move=answer.camera_move, shows=shows, **texts
    )


def _lines(sheet: Sheet) -> str:
    entries: Iterable[SheetEntry] = (*sheet.characters, *sheet.places)
    return "\n".join(f"- {item.name}: {item.appearance}" for item in entries) or "- nothing"


def _text(low: int, high: int) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^[A-Za-z0-9 ,.'-]{{{low},{high}}}$"}


def _list(items: Mapping[str, Any], low: int, high: int) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "minItems": low, "maxItems": high}


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
