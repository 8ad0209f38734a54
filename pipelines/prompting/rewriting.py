"""One shot of a storyboard, written again with an editor's wish such as "closer, at night"."""

from dataclasses import dataclass

from pipelines.planning.edits import entries_of
from pipelines.planning.framing import SHOT_SIZES
from pipelines.prompting.asking import NoAnswerError, ask
from pipelines.prompting.compose import SHORT_WORDS, prompt_of, shows_of
from pipelines.prompting.direct import directed_shot
from pipelines.prompting.gates_direct import ShotCheck, fault_of_shot
from pipelines.prompting.injection import without_commands
from pipelines.prompting.instruct import InstructModel
from pipelines.prompting.questions import (
    ShotAnswer,
    fault_of_choices,
    plan_of_answer,
    shot_question,
)
from pipelines.prompting.stored import STORY_RECIPE, Shelf
from pipelines.prompting.words import wanted
from pipelines.schema.keys import Digest
from pipelines.schema.phrases import with_phrases
from pipelines.schema.plan import digest_of
from pipelines.schema.storyboard import Sheet, Shot, ShotPlan, Storyboard

MAX_BEAT = 400
"""Characters of a shot's words that stand for its beat, if it has none."""


@dataclass(frozen=True)
class Rewriter:
    """Writes single shots again with the instruct model of a run.

    `idea` is the brief in English, `seconds` the length of a shot.
    """

    idea: str
    seed: int
    seconds: float
    model: InstructModel
    shelf: Shelf

    def rewrite(self, storyboard: Storyboard, number: int, wish: str) -> Storyboard:
        """`storyboard` with shot `number` (counted from 1) written again as `wish` says.

        The other shots stay as they are. The same shot, wish and seed give the same words, and the
        shot keeps its seed and its place. The new words are without the brief's style, so
        `storyboard` must be, too. Raises NoAnswerError, which says why, if the model gives no
        answer that passes the checks; nothing has changed then.
        """
        shot = self.shot(storyboard, number, wish)
        shots = tuple(shot if item.number == number else item for item in storyboard.shots)
        return storyboard.model_copy(update={"shots": shots})

    def shot(self, storyboard: Storyboard, number: int, wish: str) -> Shot:
        """The shot that `rewrite` puts in. Raises NoAnswerError as `rewrite`.

        One that was written before is found whatever the sheet was then, and has the words of the
        sheet as it is now.
        """
        before = storyboard.shots[number - 1]
        digests = self._digests(before, wish, storyboard.sheet)
        for digest in digests:
            found = self.shelf.find(digest)
            if isinstance(found, Shot) and not found.stands_in:
                shot = _with_sheet(found, storyboard.sheet)
                return shot.model_copy(update={"number": number, "seed": before.seed})
        written = self._write(storyboard, before, wish)
        self.shelf.keep(digests[-1], written)
        return written

    def _digests(self, shot: Shot, wish: str, sheet: Sheet) -> tuple[Digest, Digest]:
        """Identities of the shot written again with `wish`: that of versions up to 0.6.0, and that
        of later ones.

        Up to 0.6.0 the words of the sheet were a part of it. So after a change to a character, the
        model was asked again, and wrote other words for shots that do not show the character.
        """
        names = {entry.appearance: entry.name for entry in entries_of(sheet)}
        neutral = with_phrases(shot.prompt, names)
        asked = (self.model.name, self.idea)
        return (
            digest_of([STORY_RECIPE, "rewrite", *asked, shot.prompt, wish, self.seed]),
            digest_of([STORY_RECIPE, "rewrite/2", *asked, neutral, wish, self.seed]),
        )

    def _write(self, storyboard: Storyboard, shot: Shot, wish: str) -> Shot:
        beat = shot.plan.beat if shot.plan else shot.prompt[:MAX_BEAT]
        data = {
            "idea": wanted(without_commands(self.idea)),
            "shot": shot.prompt,
            "wish": wish,
            "seconds": f"{self.seconds:g}",
        }
        question = shot_question(
            data, storyboard.sheet, SHOT_SIZES, self.seed + shot.number, "rewrite"
        )
        allowed = f"{wish} {shot.prompt}"
        check = ShotCheck(self.idea, storyboard.sheet, (), (), allowed, SHORT_WORDS)

        def plan_of(answer: ShotAnswer) -> ShotPlan:
            # The beat of a shot that has none is its old words, which name what they exclude, too.
            named = shot.plan.beat if shot.plan else ""
            shows = shows_of(named, answer.subject, answer.shows, storyboard.sheet)
            return plan_of_answer(answer, beat, shows)

        def fault_of(answer: ShotAnswer) -> str:
            plan = plan_of(answer)
            if plan == shot.plan:
                return "the shot is the same as before; do what the wish says"
            return fault_of_choices(answer, SHOT_SIZES) or fault_of_shot(plan, check)

        answer, repaired = ask(self.model, question, fault_of)
        new = directed_shot(shot.number, plan_of(answer), storyboard.sheet, repaired=repaired)
        return new.model_copy(update={"seed": shot.seed})


def _with_sheet(shot: Shot, sheet: Sheet) -> Shot:
    """`shot` with the words of `sheet` for all that it shows."""
    if shot.plan is None:
        return shot
    return shot.model_copy(update={"prompt": prompt_of(shot.plan, sheet)})


def rewritten_or_none(
    rewriter: Rewriter, storyboard: Storyboard, number: int, wish: str
) -> tuple[Shot | None, str]:
    """Shot `number` written again, or None and the reason."""
    try:
        return rewriter.shot(storyboard, number, wish), ""
    except NoAnswerError as error:
        return None, error.fault
