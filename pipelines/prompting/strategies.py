"""Chooses who writes the shots, and what is tried next where that one cannot.

A model that follows instructions is asked by the strategy `direct`, a base model by `complete`. If
`direct` cannot write a shot, `complete` tries with the same model, and then a template writes it.
Such a shot is never kept under the digest of the asked strategy's own shot: in version 0.2 it was,
and a brief whose first run met a broken enhancer got the template's words in every later run too.
It is kept under a digest that also names the run. So a run that is started again after a crash goes
on with the words of the chunks that it has finished, and an editor gets the words that he approved,
though the enhancer may work again; every other run asks the enhancer again. That holds for
`refused` words as well as for a `failed` model: the same seeds give the same words only on the same
build and device, and a device that computes wrongly gives words that the checks refuse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeGuard

from pipelines.prompting.asking import NoAnswerError
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.complete import Complete, opening_of
from pipelines.prompting.direct import Direct
from pipelines.prompting.instruct import InstructModel
from pipelines.prompting.llama import PromptEnhancer
from pipelines.prompting.stored import Shelf, shot_digests
from pipelines.prompting.words import wanted
from pipelines.schema.keys import Digest
from pipelines.schema.storyboard import Shot, Strategy

Enhancer = PromptEnhancer | InstructModel
"""A language model: one that continues texts, one that follows instructions, or one that can both.
Its attribute `strategy` says how it is to be asked, if it has one."""


class WritingStrategy(Protocol):
    """A way to get the shots of one brief out of a language model."""

    name: Strategy

    def digest(self, number: int) -> Digest:
        """Identity of shot `number`, counted from 1 over the shots that continue no other one."""

    def write(self, number: int, earlier: Sequence[Shot]) -> Shot:
        """Shot `number`, checked. Raises NoAnswerError if it cannot be written."""

    def restored(self, shot: Shot) -> Shot:
        """A shot of this strategy that was found in the bucket."""


@dataclass(frozen=True)
class WrittenShot:
    """A shot, and whether the enhancer was asked for it now."""

    shot: Shot
    fresh: bool


@dataclass
class Team:
    """The asked strategy, and the one that is tried next, if there is one."""

    asked: WritingStrategy
    next_one: WritingStrategy | None = None
    idea: str = ""
    written: list[WrittenShot] = field(default_factory=list)

    def write(self, count: int, shelf: Shelf) -> list[WrittenShot]:
        """The first `count` shots, each found in the bucket or written and kept there."""
        for number in range(1, count + 1):
            digest = self.asked.digest(number)
            found = shelf.shot(digest)
            if found is not None:
                shot = found if found.stands_in else self.asked.restored(found)
            else:
                shot = self._new(number, [item.shot for item in self.written])
                shelf.keep_shot(digest, shot)
            self.written.append(WrittenShot(shot, fresh=found is None))
        return self.written

    def _new(self, number: int, earlier: list[Shot]) -> Shot:
        try:
            return self.asked.write(number, earlier)
        except NoAnswerError as error:
            fault = error
        if self.next_one is None:
            return from_template(number, self.idea, fault)
        try:
            shot = self.next_one.write(number, earlier)
        except NoAnswerError as error:
            faults = f"{self.asked.name}: {fault.fault}; {self.next_one.name}: {error.fault}"
            return from_template(number, self.idea, NoAnswerError(error.cause, faults))
        note = f"{self.next_one.name} stands in for {self.asked.name}: {fault.fault}"
        return shot.model_copy(update={"note": note, "cause": fault.cause})


def strategy_of(enhancer: Enhancer) -> Strategy:
    """How `enhancer` is to be asked: as it says, else as it can be."""
    wanted: Strategy = getattr(enhancer, "strategy", "direct")
    return "direct" if wanted == "direct" and follows_instructions(enhancer) else "complete"


def follows_instructions(enhancer: Enhancer) -> TypeGuard[InstructModel]:
    """Whether it can be asked for an answer by a schema."""
    return hasattr(enhancer, "structured")


def continues_texts(enhancer: Enhancer) -> TypeGuard[PromptEnhancer]:
    """Whether it can be asked to go on with a text."""
    return hasattr(enhancer, "words")


def direct_team(
    idea: str, seed: int, seconds: float, count: int, model: InstructModel, shelf: Shelf
) -> tuple[Team, Direct]:
    """The team whose first member is `direct`, with outline and sheet for `count` shots."""
    direct = Direct(idea, seed, seconds, model, shelf)
    direct.prepare(count)
    shown = wanted(idea)
    after = Complete(shown, seed, count, model) if continues_texts(model) else None
    return Team(direct, after, shown), direct


def is_completed(idea: str, seed: int, enhancer: str, shelf: Shelf) -> bool:
    """Whether `complete` wrote the first shot of this brief in an earlier version.

    Then it writes the others, too: a new version of the software does not make a film anew.
    """
    (first,) = shot_digests(1, idea, seed, enhancer)
    found = shelf.find(first)
    return isinstance(found, Shot) and not found.stands_in


def from_template(number: int, idea: str, error: NoAnswerError) -> Shot:
    """A shot of the brief's own words, in place of one that no model could write."""
    camera = camera_of(number)
    return Shot(
        number=number,
        camera=camera,
        prompt=f"{camera}: {opening_of(idea)}.",
        source="template",
        note=f"the template stands in for the enhancer: {error.fault}",
        cause=error.cause,
    )
