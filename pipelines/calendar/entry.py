"""Entries of the calendar, read from YAML. A broken entry is reported with its line."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines import plain_yaml, templates
from pipelines.documents.brief import Brief, Priority
from pipelines.documents.parsing import parse_brief
from pipelines.errors import BriefError

_VARIABLES = ("name", "item", "date", "time")
"""The only names that a template may use: a misspelt name must not become an empty text."""
_PROBE = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)


class Entry(BaseModel):
    """A brief that is made again and again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")
    brief: dict[str, Any]
    """A template (`pipelines.templates`) of name, item, date and time."""
    items: tuple[str, ...] = ()
    """Values for {item}: one for each day, in turn."""
    cron: str = ""
    dates: tuple[datetime, ...] = ()
    """Local times, in place of cron."""
    time_zone: str = "UTC"
    priority: Priority = "normal"
    active_from: date | None = None
    active_to: date | None = None
    """The last day, included."""
    missed: Literal["skip", "once", "all"] = "skip"
    """What happens with times at which no worker ran: nothing, the last one is started, or every
    one."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"time_zone {value!r} is unknown; write Area/City or UTC") from error
        return value

    @field_validator("cron")
    @classmethod
    def _valid_cron(cls, value: str) -> str:
        if value:
            try:
                CronSim(value, _PROBE)
            except CronSimError as error:
                raise ValueError(
                    f"cron {value!r}: {error}; write minute hour day month weekday"
                ) from error
        return value

    @field_validator("dates")
    @classmethod
    def _local_dates(cls, value: tuple[datetime, ...]) -> tuple[datetime, ...]:
        if any(item.tzinfo for item in value):
            raise ValueError("dates are local times of the entry's time_zone; leave the offset out")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        faults = []
        if bool(self.cron) == bool(self.dates):
            faults.append("give either cron or dates")
        if self.active_from and self.active_to and self.active_to < self.active_from:
            faults.append(f"active_to {self.active_to} lies before active_from")
        if "priority" in self.brief:
            faults.append("priority belongs to the entry, not to its brief")
        try:
            self.brief_at(_PROBE)
        except BriefError as error:
            faults.append(f"brief: {error}")
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def brief_at(self, moment: datetime) -> Brief:
        """The brief of the occurrence at `moment`. Raises BriefError if the template gives no valid
        brief."""
        local = moment.astimezone(self.zone)
        item = self.items[local.date().toordinal() % len(self.items)] if self.items else ""
        values = {"name": self.name, "item": item, "date": local.date(), "time": local.time()}
        filled = templates.fill(self.brief, values, _VARIABLES)
        return parse_brief(filled | {"priority": self.priority})


@dataclass(frozen=True)
class Broken:
    """An entry that cannot be used."""

    line: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, entry {self.name!r}: {self.reason}"


@dataclass(frozen=True)
class Calendar:
    """The entries of a calendar file."""

    entries: tuple[Entry, ...] = ()
    broken: tuple[Broken, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)
    """The line in which each entry begins, counted from 1."""


def parse_calendar(text: str) -> Calendar:
    """The entries of a YAML text. It raises nothing: a broken entry is in the result.

    One broken entry does not affect the others; only a text that is no YAML breaks all of them.
    """
    try:
        root = plain_yaml.compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return Calendar(broken=(Broken(mark.line + 1 if mark else 1, "", f"no YAML: {error}"),))
    if root is None:
        return Calendar()
    listed = _entries_of(root)
    if listed is None:
        return Calendar(broken=(Broken(1, "", "write a list under the word `entries`"),))
    good: list[Entry] = []
    broken: list[Broken] = []
    lines: dict[str, int] = {}
    for node in listed:
        line, name, values = node.start_mark.line + 1, "", None
        try:
            values = plain_yaml.construct(node)
            name = str(values.get("name", "")) if isinstance(values, dict) else ""
            entry = Entry.model_validate(values)
            if entry.name in lines:
                raise ValueError(f"line {lines[entry.name]} has the same name")
            lines[entry.name] = line
            good.append(entry)
        except ValidationError as error:
            broken.append(Broken(line, name, "; ".join(_faults(values, error))))
        except (ValueError, yaml.YAMLError) as error:
            broken.append(Broken(line, name, str(error)))
    return Calendar(tuple(good), tuple(broken), lines)


def _faults(values: Any, error: ValidationError) -> list[str]:
    """A sentence for everything that is wrong with an entry.

    Pydantic looks at an entry as a whole only if each of its fields is good. So the bad ones are
    replaced by good ones, and the entry is looked at once more.
    """
    found = [_sentence(item) for item in error.errors()]
    bad = {item["loc"][0] for item in error.errors() if item["loc"]}
    if not bad or not isinstance(values, dict):
        return found
    mended = {name: value for name, value in values.items() if name not in bad}
    mended |= {name: value for name, value in _GOOD.items() if name in bad}
    if "dates" in bad:
        mended.setdefault("cron", _GOOD["cron"])
    try:
        Entry.model_validate(mended)
    except ValidationError as further:
        found += [_sentence(item) for item in further.errors()]
    return found


_GOOD = {"name": "entry", "cron": "* * * * *", "brief": {"prompt": "a ball"}}
"""In place of a field that is needed and wrong."""


def _entries_of(root: yaml.Node) -> list[yaml.Node] | None:
    if not isinstance(root, yaml.MappingNode):
        return None
    for key, value in root.value:
        if key.value == "entries" and isinstance(value, yaml.SequenceNode):
            return list(value.value)
    return None


def _sentence(item: Any) -> str:
    words = str(item["msg"]).removeprefix("Value error, ")
    where = ".".join(str(part) for part in item["loc"])
    return f"{where}: {words}" if where and where not in words else words
