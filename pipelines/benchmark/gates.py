"""The gates: what a candidate must reach. Data, from a YAML file."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from pipelines import plain_yaml
from pipelines.errors import BriefError
from pipelines.schema.frozen import Frozen

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
    """Patterns for names of backends."""
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

    def holds(self, group: str, backend: str) -> bool:
        """Whether that backend belongs to that group."""
        return any(fnmatchcase(backend, pattern) for pattern in self.groups[group])


def default_gates() -> Gates:
    """The gates that come with Reelwright."""
    text = (files("pipelines.benchmark") / _FILE).read_text("utf-8")
    return parse_gates(text, _FILE)


def parse_gates(text: str, name: str) -> Gates:
    """The gates of a file. Raises BriefError, which names file, line, value, rule and remedy."""
    try:
        root = plain_yaml.compose(text)
        if root is None:
            raise BriefError(f"{name} is empty; docs/benchmark.md shows what belongs into it")
        values = plain_yaml.construct(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BriefError(f"{name}{where}: {getattr(error, 'problem', None) or error}") from error
    try:
        return Gates.model_validate(values)
    except ValidationError as error:
        # A wrong name says more than the field that is missing because of it.
        first = max(error.errors(), key=lambda item: item["type"] == "extra_forbidden")
        words = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            words = "is no field there; docs/benchmark.md names those that are"
        path = ".".join(str(part) for part in first["loc"])
        is_plain = isinstance(first["input"], str | int | float)
        found = f" {first['input']!r:.80}:" if is_plain else ""
        line = _line(root, first["loc"])
        raise BriefError(f"{name}, line {line}: {path}{found} {words}".strip()) from error


def _line(node: yaml.Node, path: Sequence[str | int]) -> int:
    """The line of the innermost node on `path` that there is, from 1 on."""
    line = node.start_mark.line
    for part in path:
        inner: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    inner, line = value, key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            inner = node.value[part] if part < len(node.value) else None
            line = inner.start_mark.line if inner else line
        if inner is None:
            break
        node = inner
    return int(line) + 1
