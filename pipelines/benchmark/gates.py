"""The gates: what a candidate must reach. Data, from a YAML file."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Literal

from pydantic import Field, model_validator

from pipelines.schema.frozen import Frozen
from pipelines.yaml_files import read_yaml

Measured = Literal["rating", "success", "cost", "memory", "seconds", "preference"]
_FILE = "gates.yaml"


class Gate(Frozen):
    """One criterion. With `of` and `against` it compares two candidates: `rating`, `cost` and
    `seconds` as the ratio of their means, `preference` as a share of pairs."""

    id: str = Field(pattern=r"^[a-z0-9-]{1,60}$")
    title: str
    measure: Measured
    at_least: float | None = None
    at_most: float | None = None
    more_than: float | None = None
    of: str = ""
    against: str = ""
    films: int = Field(0, ge=0)
    """Fewest videos, or pairs of videos, on which a verdict may rest."""
    raters: int = Field(0, ge=0)
    """Fewest people whose ratings a verdict may rest on."""
    source: str
    """Who set the limit."""

    @model_validator(mode="after")
    def _one_limit(self) -> "Gate":
        given = [self.at_least, self.at_most, self.more_than]
        if sum(item is not None for item in given) != 1:
            raise ValueError(
                f"the gate {self.id!r} needs exactly one of at_least, at_most and more_than"
            )
        if self.measure == "success" and not 0 < self.limit < 1:
            raise ValueError(
                f"the gate {self.id!r} asks for a share of {self.limit:g}; no number of videos "
                "proves a share of 1: choose one above 0 and below 1"
            )
        if bool(self.of) != bool(self.against):
            raise ValueError(f"the gate {self.id!r} needs both of and against, or neither")
        if self.measure == "preference" and not self.of:
            raise ValueError(f"the gate {self.id!r} compares: name of and against")
        if self.of and self.measure in ("success", "memory"):
            raise ValueError(f"the gate {self.id!r}: {self.measure} is not compared")
        return self

    @property
    def limit(self) -> float:
        """The number that decides."""
        given = (self.at_least, self.at_most, self.more_than)
        return next(item for item in given if item is not None)

    @property
    def is_ratio(self) -> bool:
        """Whether it is about a ratio of two means."""
        return bool(self.of) and self.measure != "preference"


class Gates(Frozen):
    """All criteria of a comparison."""

    version: Literal[1]
    confidence: float = Field(0.95, gt=0.5, lt=1)
    """Of all intervals, two-sided."""
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """Of the limits on costs."""
    groups: Mapping[str, Sequence[str]] = {}
    """Patterns for names of backends, and for kinds of those of the operator's file."""
    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> "Gates":
        names = [gate.id for gate in self.gates]
        for gate in self.gates:
            if names.count(gate.id) > 1:
                raise ValueError(f"the gate {gate.id!r} is there twice; rename one")
            for group in filter(None, (gate.of, gate.against)):
                if group not in self.groups:
                    raise ValueError(
                        f"the gate {gate.id!r} names the group {group!r}; there are: "
                        f"{', '.join(self.groups) or 'none'}"
                    )
        return self

    def holds(self, group: str, names: Sequence[str]) -> bool:
        """Whether a backend with one of these names, of which one may be its kind, belongs to that
        group."""
        return any(
            fnmatchcase(name, pattern) for pattern in self.groups[group] for name in names if name
        )


def default_gates() -> Gates:
    """The gates that come with Reelwright."""
    text = (files("pipelines.benchmark") / _FILE).read_text("utf-8")
    return parse_gates(text, _FILE)


def parse_gates(text: str, name: str) -> Gates:
    """The gates of a file. Raises SettingsError with file, line, value and rule of every fault."""
    return read_yaml(text, name, Gates)
