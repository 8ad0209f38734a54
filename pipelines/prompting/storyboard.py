"""Writes the storyboard of a brief. Each shot is found by its digest, or written and checked.

Shot n depends on the brief and on what was written for shots 1 to n only. So a longer version of a
brief starts with the same shots, and their chunks are found in the bucket.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.planning.framing import with_style
from pipelines.planning.plan import hand_shot_of, seed_of_number
from pipelines.prompting.by_hand import camera_by_hand, sheet_by_hand, words_by_hand
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.complete import Complete
from pipelines.prompting.direct import WORDS_PER_SHOT, Direct
from pipelines.prompting.gates_direct import faults_of_film
from pipelines.prompting.injection import without_commands
from pipelines.prompting.stored import Find, Keep, RunName, Shelf
from pipelines.prompting.strategies import (
    Enhancer,
    Team,
    WrittenShot,
    continues_texts,
    direct_team,
    follows_instructions,
    is_completed,
    strategy_of,
)
from pipelines.prompting.words import content_words, excluded, symbols_in_words, unquoted
from pipelines.schema.plan import Transition
from pipelines.schema.storyboard import Shot, Storyboard
from pipelines.schema.text import without_control_tokens

LONG_BRIEF = 600
"""Characters from which `complete` uses a brief unchanged: the video model has no tokens left for
more words."""
_NO_REMARK: dict[str, object] = {"note": "", "cause": "", "strategy": "none", "plan": None}
"""Of a shot whose words are not those that the remark was about."""


@dataclass(frozen=True)
class _Words:
    """What was written for the shots that continue no other one."""

    shots: list[WrittenShot]
    enhancer: str
    direct: Direct | None = None
    idea: str = ""
    notices: list[str] = field(default_factory=list)


def write_storyboard(
    brief: Brief,
    transitions: Sequence[Transition],
    seed: int,
    enhancer: Enhancer | None,
    find: Find,
    keep: Keep,
    run: RunName,
) -> Storyboard:
    """A shot of `brief` for each of `transitions`. A shot that continues repeats the words before.

    If the enhancer fails, a template replaces its words. `find` looks a value up by its digest,
    `keep` stores a new one, and `run` names the run. A brief in another language must be
    translated before. Raises BriefError if the brief says nothing that can be filmed, and what
    `find`, `keep` and `run` raise.
    """
    if brief.storyboard:
        return _by_hand(brief, len(transitions))
    idea = without_control_tokens(brief.prompt)
    count = sum(item != "continue" for item in transitions)
    words = _write(brief, idea, count, seed, enhancer, Shelf(find, keep, run))
    board = Storyboard(
        shots=tuple(_in_place(brief, transitions, seed, words)),
        enhancer=words.enhancer,
        written=sum(item.fresh and item.shot.source != "template" for item in words.shots),
    )
    if words.direct is not None:
        board = _with_story(board, words.direct, words.idea, words.notices)
    styled = tuple(_styled(shot, brief) for shot in board.shots)
    return board.model_copy(update={"shots": styled})


def _write(
    brief: Brief, idea: str, count: int, seed: int, enhancer: Enhancer | None, shelf: Shelf
) -> _Words:
    if brief.enhance and enhancer is not None and follows_instructions(enhancer):
        wanted = strategy_of(enhancer) == "direct"
        if wanted and not is_completed(idea, seed, enhancer.name, shelf):
            told = _told(idea)
            if told and len(content_words(told)) <= WORDS_PER_SHOT * count:
                seconds = seconds_of_shot(brief)
                team, direct = direct_team(told, seed, seconds, count, enhancer, shelf)
                written = team.write(count, shelf)
                return _Words(written, enhancer.name, direct, told, _notices(idea, told))
    reason = _why_own_words(brief, idea, enhancer)
    if reason is None and enhancer is not None and continues_texts(enhancer):
        team = Team(Complete(idea, seed, count, enhancer), idea=idea)
        return _Words(team.write(count, shelf), enhancer.name)
    shots = [_own_words(number, brief, idea, reason or "") for number in range(1, count + 1)]
    return _Words([WrittenShot(shot, fresh=False) for shot in shots], "none")


def _told(idea: str) -> str:
    """What `direct` makes a film of: the brief without commands to the writer, or the names of its
    symbols; empty for a brief in another script.

    Raises BriefError if nothing is left that can be filmed.
    """
    if not any(character.isalpha() for character in idea):
        idea = symbols_in_words(idea)
        if not idea:
            raise BriefError(
                "the brief has neither words nor symbols with a name; say in a sentence what the "
                "video shows"
            )
        return idea
    # A sign in another script may stand in an English brief; the film shows it as it is.
    if not (_is_latin(idea) or _is_latin(unquoted(idea))):
        return ""
    told = without_commands(idea)
    if not content_words(told):
        raise BriefError(
            f"the brief {idea[:60]!r} says nothing that can be filmed; say in a sentence what the "
            "video shows, or leave the enhancer off to use it as it is"
        )
    return told


def _notices(idea: str, told: str) -> list[str]:
    """What an editor is told about his brief."""
    found = []
    if not any(character.isalpha() for character in idea):
        found.append(f"the brief has no words; its symbols were read as {told!r}")
    elif told != idea:
        found.append("the brief speaks to the writer in a part; that part was left out")
    if out := excluded(told):
        found.append(
            f"the brief excludes something ({', '.join(out[:3])}); a video model shows what it "
            "reads, so name it in the field Avoid instead, without 'no'"
        )
    return found


def _with_story(board: Storyboard, direct: Direct, idea: str, notices: list[str]) -> Storyboard:
    board = board.model_copy(
        update={"outline": tuple(direct.beats), "sheet": direct.sheet, "story": direct.story}
    )
    if any(shot.strategy == "direct" for shot in board.shots):
        notices = [*notices, *(f"the film: {fault}" for fault in faults_of_film(board, idea))]
    return board.model_copy(update={"notices": tuple(notices)})


def _in_place(
    brief: Brief, transitions: Sequence[Transition], seed: int, words: _Words
) -> list[Shot]:
    """One shot for each chunk, with the editor's words where there are some."""
    fresh = iter(words.shots)
    shots: list[Shot] = []
    for number, transition in enumerate(transitions, start=1):
        if transition == "continue":
            going_on = {"number": number, "source": "continued", **_NO_REMARK, "seed": None}
            shot = shots[-1].model_copy(update=going_on)
        else:
            own = {"number": number}
            if words.direct is not None:
                own["seed"] = seed_of_number(seed, number)
            shot = next(fresh).shot.model_copy(update=own)
        shots.append(_override(shot, brief))
    return shots


def seconds_of_shot(brief: Brief) -> float:
    """Seconds of a whole chunk; of a picture, those that its action would take."""
    frames, fps = brief.resolved_preset().frames, brief.backend.capabilities.fps
    return max(1.0, round(frames / fps, 1))


def _by_hand(brief: Brief, count: int) -> Storyboard:
    shots = []
    for number in range(1, count + 1):
        given = hand_shot_of(brief, number, count)
        assert given is not None
        words, camera = words_by_hand(given), camera_by_hand(given)
        shot = Shot(number=number, camera=camera, prompt=words, source=given.source)
        shots.append(_styled(_override(shot, brief), brief))
    sheet = sheet_by_hand(brief.sheet)
    return Storyboard(shots=tuple(shots), enhancer="none", written=0, sheet=sheet)


def _is_latin(idea: str) -> bool:
    letters = [character for character in idea if character.isalpha()]
    return bool(letters) and sum(char < "\u0250" for char in letters) >= 0.8 * len(letters)


def _why_own_words(brief: Brief, idea: str, enhancer: Enhancer | None) -> str | None:
    """None if `complete` is to write the shots; else the note for the manifest, which may be
    empty."""
    if not brief.enhance:
        return ""
    if enhancer is None:
        return "this run has no device for the enhancer; the brief's own words were used"
    if not any(character.isalpha() for character in idea):
        return (
            "the brief has no words, and the enhancer knows English only; its symbols were used as "
            "they are: say in a sentence what the video shows"
        )
    if not _is_latin(idea):
        return "the enhancer knows English only; the brief's own words were used"
    if len(idea) > LONG_BRIEF:
        return "the brief is detailed enough to stand alone"
    if not continues_texts(enhancer):
        return "the enhancer cannot go on with a text; the brief's own words were used"
    return None


def _own_words(number: int, brief: Brief, idea: str, note: str) -> Shot:
    camera = camera_of(number)
    prompt = f"{camera}: {idea}" if brief.enhance else idea
    return Shot(number=number, camera=camera, prompt=prompt, source="brief", note=note)


def _override(shot: Shot, brief: Brief) -> Shot:
    """The editor's words for this shot, if there are any."""
    override = brief.override_of(shot.number)
    if not (override and override.prompt):
        return shot
    words = without_control_tokens(override.prompt)
    return shot.model_copy(update={"prompt": words, "source": "editor", **_NO_REMARK})


def _styled(shot: Shot, brief: Brief) -> Shot:
    return shot.model_copy(update={"prompt": with_style(shot.prompt, brief.style)})
