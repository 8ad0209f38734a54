"""Makes the prompt of a shot from its plan and the sheet.

The order is the one that Wan's own prompt writer uses: camera, subject and action, surroundings,
light, colours. Whoever is on the sheet appears with the sheet's words, never with a name.
"""

import re
from collections.abc import Iterable, Iterator

from pipelines.prompting.words import plain, quoted, stems_of, words_of
from pipelines.schema.storyboard import Sheet, SheetEntry, Shot, ShotPlan, Storyboard

MIN_WORDS, MAX_WORDS = 60, 100
"""Words of a prompt without the brief's style: about as many as Wan's own prompt writer makes."""
SHORT_WORDS = 40
"""Fewest words of a second answer. A shot that is too short says more than the template."""
MAX_CHARACTERS, MAX_PLACES = 2, 1
"""Entries of the sheet whose appearance a shot repeats. More would leave no words for the rest."""


def prompt_of(plan: ShotPlan, sheet: Sheet) -> str:
    """The words for the video model, without the brief's style.

    If they are more than MAX_WORDS, colours and then light are left out.
    """
    parts = list(_sentences(plan, sheet))
    for left_out in ("palette", "light"):
        if len(words_of(" ".join(text for _, text in parts))) <= MAX_WORDS:
            break
        parts = [part for part in parts if part[0] != left_out]
    return " ".join(text for _, text in parts)


def _sentences(plan: ShotPlan, sheet: Sheet) -> Iterator[tuple[str, str]]:
    """The sentences, each with the name of its part."""
    characters = shown_of(plan.shows, sheet.characters)
    places = shown_of(plan.shows, sheet.places)
    lead = lead_of(plan.subject, characters)
    move = "static camera" if plan.camera_move == "static" else plan.camera_move
    yield "camera", _sentence(f"{plan.size}, {move}")
    yield "action", _sentence(f"{lead.appearance if lead else plan.subject} {plan.action}")
    others = [entry.appearance for entry in characters if entry is not lead]
    if others:
        yield "others", _sentence(f"also in view: {' and '.join(others)}")
    yield "setting", _sentence(", ".join([*(entry.appearance for entry in places), plan.setting]))
    yield "light", _sentence(plan.light)
    yield "palette", _sentence(plan.palette)
    if texts := quoted(plan.beat):
        named = " and ".join(f'"{text}"' for text in texts)
        yield "texts", f"The words {named} can be read clearly."


def _sentence(text: str) -> str:
    text = text.strip(" .,;:")
    return f"{text[:1].upper()}{text[1:]}."


def shown_of(shows: Iterable[str], entries: Iterable[SheetEntry]) -> list[SheetEntry]:
    """Those of `entries` that a shot shows, in the order of `shows`."""
    named = {entry.name: entry for entry in entries}
    return [named[name] for name in shows if name in named]


def lead_of(subject: str, characters: Iterable[SheetEntry]) -> SheetEntry | None:
    """The entry that is the subject of a shot, if one is."""
    return next((entry for entry in characters if names(subject, entry.name)), None)


def names(text: str, name: str) -> bool:
    """Whether `text` has all words of `name`, in the singular or the plural."""
    wanted = stems_of(name)
    return bool(wanted) and wanted <= stems_of(text)


def shows_of(beat: str, subject: str, chosen: Iterable[str], sheet: Sheet) -> tuple[str, ...]:
    """Names of the entries that a shot shows: those that its beat or subject names, then those that
    the model chose. At most MAX_CHARACTERS and MAX_PLACES, the subject first."""
    chosen = list(chosen)
    found: list[str] = []
    for entries, most in ((sheet.characters, MAX_CHARACTERS), (sheet.places, MAX_PLACES)):
        of_subject = [entry.name for entry in entries if names(subject, entry.name)]
        of_beat = [entry.name for entry in entries if names(beat, entry.name)]
        known = {entry.name for entry in entries}
        picked = [name for name in chosen if name in known]
        found += list(dict.fromkeys([*of_subject, *of_beat, *picked]))[:most]
    return tuple(found)


def with_sheet(storyboard: Storyboard, sheet: Sheet) -> Storyboard:
    """`storyboard` with another sheet. The words of exactly those shots change that show an entry
    whose appearance is another one; the brief's style behind them stays."""
    before = storyboard.sheet
    shots = tuple(_redrawn(shot, before, sheet) for shot in storyboard.shots)
    return storyboard.model_copy(update={"shots": shots, "sheet": sheet})


def _redrawn(shot: Shot, before: Sheet, sheet: Sheet) -> Shot:
    if shot.plan is None:
        return shot
    old, new = prompt_of(shot.plan, before), prompt_of(shot.plan, sheet)
    if old == new:
        return shot
    style = shot.prompt.removeprefix(old.rstrip("."))
    prompt = f"{new.rstrip('.')}{style}" if shot.prompt != style else new
    return shot.model_copy(update={"prompt": prompt})


def own_words(plan: ShotPlan) -> str:
    """What the model wrote for this shot alone, without the sheet: what two shots are compared
    by."""
    return " ".join((plan.subject, plan.action, plan.setting, plan.light, plan.palette))


def in_quotation_marks(beats: list[str], texts: Iterable[str]) -> list[str]:
    """`beats` in which each of `texts`, which the film must show, stands once in quotation marks:
    where a beat has these words, else at the end of the first one."""
    beats = list(beats)
    for text in texts:
        either = f"{re.escape(text)}|{re.escape(plain(text))}"
        pattern = re.compile(rf"[\"']?(?<!\w)(?:{either})(?!\w)[\"']?", re.IGNORECASE)
        for index, beat in enumerate(beats):
            if found := pattern.search(beat):
                beats[index] = f'{beat[: found.start()]}"{text}"{beat[found.end() :]}'
                break
        else:
            if beats:
                beats[0] = f'{beats[0].rstrip(" .")}, with the words "{text}"'
    return beats
