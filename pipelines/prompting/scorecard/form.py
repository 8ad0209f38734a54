"""Whether a writer's answers have the form of a storyboard, whatever they say.

The strategy `direct` refuses what makes no sense, so of a model that makes none it never gets to
the sheet and the shots. Here every question is asked, and only form counts: JSON by the schema, the
asked number of beats, all parts of each shot.
"""

from collections.abc import Sequence
from functools import partial

from pipelines.documents.brief import Brief
from pipelines.planning.framing import SHOT_SIZES
from pipelines.planning.plan import seed_of
from pipelines.prompting.asking import NoAnswerError, ask
from pipelines.prompting.compose import prompt_of, shows_of
from pipelines.prompting.questions import (
    OPENING_SIZES,
    BeatsAnswer,
    ShotAnswer,
    beats_question,
    fault_of_choices,
    plan_of_answer,
    sheet_question,
    shot_question,
)
from pipelines.prompting.scorecard.films import SHOTS, ScoredBrief
from pipelines.prompting.scorecard.recorded import RecordedWriter
from pipelines.schema.frozen import Frozen
from pipelines.schema.storyboard import Sheet


class Form(Frozen):
    """The form of one storyboard."""

    brief: ScoredBrief
    fault: str
    """Empty if every answer was valid."""
    prompts: tuple[str, ...]
    """What the video model would read."""
    asked: int
    """Questions, of which a storyboard of four shots has six, and one more for each repair."""
    seconds: float


def form_of(scored: ScoredBrief, writer: RecordedWriter) -> Form:
    """Outline, sheet and shots of a brief, each answer checked for its form and asked for again
    once."""
    asked, seconds = writer.asked, writer.seconds
    prompts: list[str] = []
    fault = ""
    try:
        prompts = _prompts(scored.prompt, writer)
    except NoAnswerError as error:
        fault = error.fault
    return Form(
        brief=scored,
        fault=fault,
        prompts=tuple(prompts),
        asked=writer.asked - asked,
        seconds=round(writer.seconds - seconds, 3),
    )


def _prompts(idea: str, writer: RecordedWriter) -> list[str]:
    seed = seed_of(Brief(prompt=idea, preset="demo", seconds=2 * SHOTS))
    outline, _ = ask(writer, beats_question(idea, SHOTS, [], seed), _fault_of_count)
    answer, _ = ask(writer, sheet_question(idea, outline.beats, Sheet(), [], seed), lambda _: "")
    sheet = answer.sheet()
    prompts = []
    before = "none, this is the first"
    for number, beat in enumerate(outline.beats, start=1):
        sizes = OPENING_SIZES if number == 1 else SHOT_SIZES
        data = {"idea": idea, "beat": beat, "before": before, "seconds": "2", "words": ""}
        question = shot_question(data, sheet, sizes, seed + number)
        shot, _ = ask(writer, question, partial(_fault_of_choices, sizes=sizes))
        plan = plan_of_answer(shot, beat, shows_of(beat, shot.subject, shot.shows, sheet))
        before = f"{plan.size}, {plan.subject} {plan.action}"
        prompts.append(prompt_of(plan, sheet))
    return prompts


def _fault_of_count(answer: BeatsAnswer) -> str:
    count = len(answer.beats)
    return "" if count == SHOTS else f"{count} beats instead of {SHOTS}"


def _fault_of_choices(answer: ShotAnswer, sizes: Sequence[str]) -> str:
    return fault_of_choices(answer, sizes)
