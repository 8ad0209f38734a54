"""The policy: what is preferred, what it may cost, and what words of a brief demand."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.documents.brief import Brief, Priority
from pipelines.schema.frozen import Frozen
from pipelines.schema.request import InputKind

BEST = 5.0
"""Quality is rated from 1 to 5, as the mission's gates do."""


class Weights(Frozen):
    """How much each score counts. Only their proportion matters."""

    quality: float = Field(0.6, ge=0, le=1000)
    cost: float = Field(0.2, ge=0, le=1000)
    speed: float = Field(0.2, ge=0, le=1000)

    @model_validator(mode="after")
    def _count(self) -> Self:
        if not self.quality + self.cost + self.speed:
            raise ValueError("all weights are 0, so nothing decides; set one of them above 0")
        return self


class Half(Frozen):
    """The price and the time whose score is one half: more is worth less, and never nothing."""

    price: Decimal = Field(Decimal("0.50"), gt=0)
    seconds: float = Field(300.0, gt=0, allow_inf_nan=False)


class Choices(Frozen):
    """What a rule may change for some briefs."""

    weights: Weights = Weights()
    local: Literal["only", "prefer", "any"] = "prefer"
    """`only`    no remote backend
    `prefer`  remote backends after those on the device
    `any`     the score alone decides"""
    price_cap: Decimal | None = Field(Decimal("1.50"), ge=0)
    """Most that one video may cost, whoever chose its preset; None: any sum."""
    automatic_price_cap: Decimal | None = Field(Decimal(0), ge=0)
    """The same for a video whose preset no person chose."""
    automatic_seconds_cap: float | None = Field(7200.0, gt=0, allow_inf_nan=False)
    """Longest time that a video may take whose preset no person chose."""
    above_cap: Literal["approval", "next"] = "next"
    """What happens above a price cap: a person must agree, or the next candidate is taken."""
    fallback_for_named: bool = False
    """Whether other presets may make a video whose brief names one, if that cannot be used."""
    only: tuple[str, ...] = ()
    """Presets or backends that may be chosen; empty: all."""
    never: tuple[str, ...] = ()
    """Presets or backends that are never chosen."""


class When(Frozen):
    """The briefs for which a rule holds: all conditions that are given."""

    campaign: str = ""
    """Its campaign; `*` and `?` stand for other characters, as in `spring-*`."""
    priority: Priority | None = None
    kind: Literal["video", "image"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.campaign or self.priority or self.kind):
            raise ValueError(
                "it names no condition; give a campaign, a priority or a kind, or write the rule's "
                "values at the top of the file, where they hold for every brief"
            )
        return self

    def holds(self, brief: Brief) -> bool:
        """Whether `brief` meets all conditions."""
        return (
            (not self.campaign or fnmatchcase(brief.campaign, self.campaign))
            and self.priority in (None, brief.priority)
            and self.kind in (None, brief.kind)
        )

    def __str__(self) -> str:
        given = [f"campaign {self.campaign!r}"] if self.campaign else []
        given += [f"priority {self.priority!r}"] if self.priority else []
        given += [f"kind {self.kind!r}"] if self.kind else []
        return ", ".join(given)


class Rule(Choices):
    """Other choices for some briefs. Fields that it does not name stay as they are."""

    when: When

    @property
    def changes(self) -> dict[str, object]:
        """The fields that it names, in the order of their definition."""
        named = self.model_fields_set
        return {name: getattr(self, name) for name in Choices.model_fields if name in named}


class Needs(Frozen):
    """What a preset must be able to do."""

    sound: bool = False
    """Its clips have sound."""
    short_side: int = Field(0, ge=0, le=8192)
    """Shorter side of the finished picture in pixels, at least."""
    inputs: tuple[InputKind, ...] = ()
    """Kinds of input that it takes."""
    ability: str = ""
    """A name of the policy's own `abilities`."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.sound or self.short_side or self.inputs or self.ability):
            raise ValueError("it names nothing; give sound, short_side, inputs or ability")
        return self


class Demand(Frozen):
    """Words of a brief that ask for something which not every preset can do."""

    name: str = Field(min_length=1, max_length=60)
    words: tuple[str, ...] = Field(min_length=1)
    """Any of them. Upper and lower case do not matter."""
    needs: Needs
    strict: bool = False
    """Whether presets that cannot do it are left out even if no other preset can be used."""

    @field_validator("words")
    @classmethod
    def _are_words(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not word.strip() for word in value):
            raise ValueError("a word is empty, and would be found in every brief; remove it")
        return value


class Policy(Choices):
    """The whole policy."""

    name: str = Field("a policy without a name", min_length=1, max_length=80)
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    """Of all its sums, ISO 4217."""
    half: Half = Half()
    quality: Mapping[str, float] = {}
    """Expected quality of presets and backends, 1 to 5: assumptions, until raters measured it."""
    unknown_quality: float = Field(2.5, ge=1, le=BEST)
    """The same for presets that are not named."""
    ratings: int = Field(10, ge=1)
    """Measured qualities count from this number of rated videos on."""
    abilities: Mapping[str, tuple[str, ...]] = {}
    """Name of an ability → presets or backends that have it."""
    demands: tuple[Demand, ...] = ()
    rules: tuple[Rule, ...] = ()
    """Those that hold for a brief apply in this order: a later one replaces an earlier one."""

    @field_validator("quality")
    @classmethod
    def _are_ratings(cls, value: Mapping[str, float]) -> Mapping[str, float]:
        for name, score in value.items():
            if not 1 <= score <= BEST:
                raise ValueError(f"{name} has {score:g}, but quality is rated from 1 to {BEST:g}")
        return value

    @model_validator(mode="after")
    def _abilities_are_known(self) -> Self:
        for demand in self.demands:
            wanted = demand.needs.ability
            if wanted and wanted not in self.abilities:
                raise ValueError(
                    f"the demand {demand.name!r} needs the ability {wanted!r}, which `abilities` "
                    "does not list; add it there, with an empty list if no preset has it"
                )
        return self

    def choices_for(self, brief: Brief) -> tuple[Choices, tuple[str, ...]]:
        """The choices that hold for `brief`, and a sentence for each rule that applies."""
        changes: dict[str, object] = {}
        reasons: list[str] = []
        for rule in self.rules:
            if rule.when.holds(brief):
                changes |= rule.changes
                reasons.append(f"the policy has a rule for {rule.when}: {', '.join(rule.changes)}")
        return self.model_copy(update=changes), tuple(reasons)

    @property
    def names(self) -> Iterator[tuple[str, tuple[str | int, ...]]]:
        """Every preset or backend that it names, and where."""
        parts: list[tuple[Choices, tuple[str | int, ...]]] = [(self, ())]
        parts += [(rule, ("rules", number)) for number, rule in enumerate(self.rules)]
        for choices, place in parts:
            yield from ((name, (*place, "only")) for name in choices.only)
            yield from ((name, (*place, "never")) for name in choices.never)
        yield from ((name, ("quality", name)) for name in self.quality)
        for ability, names in self.abilities.items():
            yield from ((name, ("abilities", ability)) for name in names)
