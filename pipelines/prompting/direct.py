"""The strategy `direct`: an instruct model writes an outline, a sheet of characters and places, and
then each shot. Code counts, checks, joins the words, and keeps what is written in the bucket."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pipelines.planning.framing import SHOT_SIZES
from pipelines.prompting.asking import NoAnswerError, ask
from pipelines.prompting.compose import (
    SHORT_WORDS,
    by_noun,
    in_quotation_marks,
    prompt_of,
    shows_of,
)
from pipelines.prompting.gates_direct import (
    ShotCheck,
    fault_of_outline,
    fault_of_sheet,
    fault_of_shot,
    sound_entries,
)
from pipelines.prompting.instruct import InstructModel
from pipelines.prompting.questions import (
    MAX_SHEET,
    OPENING_SIZES,
    BeatsAnswer,
    SheetAnswer,
    ShotAnswer,
    beats_question,
    fault_of_choices,
    plan_of_answer,
    sheet_question,
    shot_question,
)
from pipelines.prompting.stored import (
    Outline,
    SheetPart,
    Shelf,
    chain_of,
    directed_digest,
    outline_digest,
    sheet_digest,
    story_of,
)
from pipelines.prompting.words import content_words, missing_words, quoted, wanted
from pipelines.schema.keys import Digest
from pipelines.schema.plan import digest_of
from pipelines.schema.storyboard import Sheet, Shot, ShotPlan, Strategy

PART = 12
"""Most beats of one question: so many fit beside it into a context of 4,096 tokens."""
SMALL_PART = 4
"""The same for a smaller context."""
LARGE_CONTEXT = 4_096
MAX_FAILURES = 2
"""Questions without an answer after which this run asks nothing more: a model that hangs takes
minutes for each."""
WORDS_PER_SHOT = 20
"""Most words of the idea for each shot, on average. With more, no shots of 100 words keep all."""


class Direct:
    """The work of this strategy on one brief, in one run.

    `idea` is the brief in English, `seconds` the length of a shot.
    """

    name: Strategy = "direct"

    def __init__(
        self, idea: str, seed: int, seconds: float, model: InstructModel, shelf: Shelf
    ) -> None:
        self._idea, self._asked = idea, wanted(idea)
        self._seed, self._seconds = seed, seconds
        self._model, self._shelf = model, shelf
        self.story = story_of(idea, seed, seconds, model.name)
        self._chain = chain_of(self.story, ())
        self.beats: list[str] = []
        self.sheet = Sheet()
        self._failures: list[str] = []
        self._without: NoAnswerError | None = None
        """Why there are no further beats."""

    def prepare(self, count: int) -> None:
        """Find or write the beats and the sheet for `count` shots, as far as they can be had."""
        while len(self.beats) < count and self._without is None:
            link, left = self._chain[len(self.beats)], count - len(self.beats)
            write = partial(self._outline, left)
            part = self._shelf.part(outline_digest(link), Outline, write)
            if part.stands_in or not part.beats:
                self._without = NoAnswerError(part.cause or "refused", f"outline: {part.fault}")
                return
            describe = partial(self._sheet, part.beats)
            entries = self._shelf.part(sheet_digest(link), SheetPart, describe)
            if entries.stands_in:
                self._without = NoAnswerError(entries.cause, f"sheet: {entries.fault}")
                return
            self.beats += part.beats
            self._chain = chain_of(self.story, self.beats)
            self.sheet = _joined(self.sheet, entries.entries)
        del self.beats[count:]

    def digest(self, number: int) -> Digest:
        """Identity of shot `number`. One without a beat has an identity for its replacement
        only."""
        if number <= len(self.beats):
            return directed_digest(self._chain[number])
        return digest_of(["no beat", self.story, number])

    def write(self, number: int, earlier: Sequence[Shot]) -> Shot:
        """Shot `number`. Raises NoAnswerError if the model cannot write it, or wrote no beat for
        it."""
        if number > len(self.beats):
            raise self._without or NoAnswerError("refused", "the outline has no beat for this shot")
        beat, before = self.beats[number - 1], earlier[-1] if earlier else None
        sizes = _sizes_after(before)
        required = self._required(number)
        data = {
            "idea": self._asked,
            "beat": beat,
            "before": _summary(before),
            "seconds": f"{self._seconds:g}",
            "words": f"Use these words: {', '.join(required)}." if required else "",
        }
        question = shot_question(data, self.sheet, sizes, self._seed + number)
        check = ShotCheck(self._idea, self.sheet, required, earlier)

        def fault_of(check: ShotCheck, answer: ShotAnswer) -> str:
            plan = self._plan(answer, beat)
            return fault_of_choices(answer, sizes) or fault_of_shot(plan, check)

        shorter = replace(check, least=SHORT_WORDS)

        self._stop_after_failures()
        try:
            answer, repaired = ask(
                self._model, question, partial(fault_of, check), partial(fault_of, shorter)
            )
        except NoAnswerError as error:
            self._failures += [error.fault] if error.cause == "failed" else []
            raise
        return directed_shot(number, self._plan(answer, beat), self.sheet, repaired=repaired)

    def restored(self, shot: Shot) -> Shot:
        """A shot from the bucket, with the words of the sheet as it is now."""
        if shot.plan is None:
            return shot
        return shot.model_copy(update={"prompt": prompt_of(shot.plan, self.sheet)})

    def _plan(self, answer: ShotAnswer, beat: str) -> ShotPlan:
        shows = shows_of(beat, answer.subject, answer.shows, self.sheet)
        return plan_of_answer(answer, beat, shows)

    def _outline(self, left: int) -> Outline:
        """The next beats, `left` of them or as many as one question has room for."""
        count = min(left, PART if self._model.context >= LARGE_CONTEXT else SMALL_PART)
        written, texts = list(self.beats), quoted(self._idea)
        # What an earlier beat shows needs not be shown again.
        texts = [text for text in texts if not any(f'"{text}"' in beat for beat in written)]
        question = beats_question(self._asked, count, written, self._seed + len(written))
        # Words of the idea that the second answer leaves out too are asked of the first shot.
        complete = not written and left <= count

        def fault_of(whole: bool, answer: BeatsAnswer) -> str:
            return fault_of_outline(answer.beats, count, self._idea, written, complete=whole)

        try:
            answer, _ = ask(
                self._model, question, partial(fault_of, complete), partial(fault_of, False)
            )
        except NoAnswerError as error:
            return Outline(beats=(), fault=error.fault, cause=error.cause)
        beats = [beat.strip(" .") for beat in answer.beats]
        return Outline(beats=tuple(in_quotation_marks(beats, texts)))

    def _sheet(self, beats: Sequence[str]) -> SheetPart:
        """The entries that these new beats need."""
        known = self.sheet
        if len(known.characters) + len(known.places) >= MAX_SHEET:
            return SheetPart(entries=Sheet())
        told = [*self.beats, *beats]
        missing = missing_words(content_words(self._idea), " ".join(told))
        question = sheet_question(
            self._asked, beats, known, missing, self._seed + len(self.beats) + 1
        )

        everything = f"{self._idea} {' '.join(told)}"

        def fault_of(answer: SheetAnswer) -> str:
            sheet = answer.sheet()
            entries = (*sheet.characters, *sheet.places)
            return fault_of_sheet(entries, known, everything, self._idea)

        def sound(answer: SheetAnswer) -> Sheet:
            return sound_entries(answer.sheet(), known, everything, self._idea)

        def fault_of_all(answer: SheetAnswer) -> str:
            return "" if sound(answer) != Sheet() else fault_of(answer)

        try:
            answer, _ = ask(self._model, question, fault_of, fault_of_all)
        except NoAnswerError as error:
            return SheetPart(entries=Sheet(), fault=error.fault, cause=error.cause)
        return SheetPart(entries=by_noun(sound(answer), known, told))

    def _required(self, number: int) -> list[str]:
        """Words of the idea that shot `number` must say: each word is asked of the first shot whose
        beat has it, and of the first shot of all if no beat does."""
        placed: dict[str, int] = {}
        for word in content_words(self._idea):
            having = (n for n, beat in enumerate(self.beats, 1) if not missing_words([word], beat))
            placed[word] = next(having, 1)
        return [word for word, place in placed.items() if place == number]

    def _stop_after_failures(self) -> None:
        if len(self._failures) >= MAX_FAILURES:
            said = f"the model left {MAX_FAILURES} questions unanswered, the last one: "
            raise NoAnswerError("failed", said + self._failures[-1])


def directed_shot(number: int, plan: ShotPlan, sheet: Sheet, *, repaired: bool) -> Shot:
    """A shot that the strategy `direct` wrote."""
    return Shot(
        number=number,
        camera=plan.size.capitalize(),
        prompt=prompt_of(plan, sheet),
        source="llm-retry" if repaired else "llm",
        strategy="direct",
        plan=plan,
        note="its first answer was refused and asked for again" if repaired else "",
    )


def _sizes_after(before: Shot | None) -> Sequence[str]:
    """The sizes that a shot may have: two successive shots of one size look like one that jumps."""
    if before is None:
        return OPENING_SIZES
    return [size for size in SHOT_SIZES if before.plan is None or size != before.plan.size]


def _summary(shot: Shot | None) -> str:
    if shot is None:
        return "none, this is the first"
    if shot.plan is None:
        return shot.prompt
    return f"{shot.plan.size}, {shot.plan.subject} {shot.plan.action}"


def _joined(sheet: Sheet, new: Sheet) -> Sheet:
    return Sheet(
        characters=(*sheet.characters, *new.characters), places=(*sheet.places, *new.places)
    )
