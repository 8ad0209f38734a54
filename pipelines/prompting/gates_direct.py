"""Checks what an instruct model wrote: outline, sheet, shots, and the film as a whole.

Each check names what a model of 7 billion parameters is known to do wrong. The text of a fault is
shown to the model when it is asked once more, so it names the word and the rule.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipelines.prompting.compose import (
    MAX_WORDS,
    MIN_WORDS,
    own_words,
    prompt_of,
    shown_of,
)
from pipelines.prompting.gates import MAX_OVERLAP, MAX_REPEATED_TRIGRAMS, added_fixed_word
from pipelines.prompting.subjects import new_subjects
from pipelines.prompting.words import (
    attributes,
    content_words,
    is_negated,
    missing_words,
    overlap,
    plain,
    quoted,
    says,
    stem_of,
    stems_of,
    words_of,
)
from pipelines.schema.storyboard import Sheet, SheetEntry, Shot, ShotPlan, Storyboard

BEAT_WORDS = (3, 24)
APPEARANCE_WORDS = (4, 20)
ACTION_WORDS = (3, 20)
"""Fewest and most words. More is more than one action, or more than the shot has room for."""
MAX_LETTERS = 24
MIN_VOWEL_SHARE = 0.85

_META = re.compile(
    r"\b(?:as an ai|language model|i (?:cannot|can't|am|will)|i'm|sorry|as requested|json|prompts?"
    r"|instructions?|system message|storyboard|the (?:video|film|viewer|audience|shot|beat|camera)"
    r"|the scene (?:shows|opens|begins|ends|depicts|features)|we (?:see|watch|follow)"
    r"|this (?:video|film|shot|scene|beat)|(?:shot|beat|scene) \d|here is|here's|sure[,!])\b",
    re.IGNORECASE,
)
"""The answer speaks about the task. Also the sign of a model that obeyed the brief."""
_ON_SCREEN = re.compile(
    r"\b(?:texts?|captions?|subtitles?|titles?|lettering|inscriptions?|watermarks?|logos?|headlines?"
    r"|slogans?|signs? (?:that )?(?:says?|reads?|reading|saying)|written)\b|\"",
    re.IGNORECASE,
)
"""Words in the picture. Video models draw them as unreadable marks."""
_SEVERAL = re.compile(
    r"\b(?:then|afterwards?|meanwhile|finally|next|before \w+ing|after \w+ing"
    r"|and \w+s (?:the|a|an|his|her|its|their|up|down|away|out|off|back|towards?|into)"
    r"|and \w+s (?:it|them)|, \w+s (?:the|a|an|his|her|its|their))\b|;",
    re.IGNORECASE,
)
"""A second action. In two seconds the video model shows one, or a blend of both."""
_PRONOUN = re.compile(r"(?:he|she|it|they|we|you|i|someone|something)\b", re.IGNORECASE)
_ENGLISH = "a an the of in on at to and with from by over under is are as its his"
_FOREIGN = (
    "avec con dans das dei del der des die ein eine el en est et il la las le les los mit para per"
    " por que sur und une uno van het een"
)
"""Small words. In an English text there are more of the first than of the second."""
_EXAMPLES = frozenset({"potter", "potters", "kiln", "clay", "pottery"})
"""Words of the examples in our own questions. In an answer they show that the model copied."""


@dataclass(frozen=True)
class ShotCheck:
    """What a shot is checked against."""

    idea: str
    sheet: Sheet
    required: Sequence[str]
    """Words of the brief that this shot must say."""
    earlier: Sequence[Shot]
    wish: str = ""
    """An editor's wish, whose words the shot may use."""
    least: int = MIN_WORDS
    """Fewest words of its prompt."""


def fault_of_outline(
    beats: Sequence[str], count: int, idea: str, earlier: Sequence[str], *, complete: bool
) -> str:
    """Why these beats are refused; empty if they pass. `earlier` are the beats before them.

    `complete`: whether words of the brief that no beat has are a fault, too.
    """
    if len(beats) != count:
        return f"{len(beats)} beats instead of {count}"
    for number, beat in enumerate(beats, start=1):
        fault = _fault_of_text(beat, idea) or _length(beat, BEAT_WORDS)
        if fault:
            return f"beat {number}: {fault}"
    everything = [*earlier, *beats]
    for number, beat in enumerate(everything):
        for other in everything[:number]:
            if number >= len(earlier) and _alike(beat, other):
                return f"the beats {other!r} and {beat!r} are alike"
    missing = missing_words(content_words(idea), " ".join(everything)) if complete else []
    return f"the idea's {', '.join(missing[:6])} is in no beat" if missing else ""


def fault_of_sheet(entries: Sequence[SheetEntry], known: Sheet, told: str, idea: str) -> str:
    """Why these new entries are refused; empty if they pass. `told` are idea and beats."""
    taken = {entry.name for entry in (*known.characters, *known.places)}
    stems = stems_of(told)
    for entry in entries:
        if entry.name in taken:
            return f"{entry.name!r} is listed twice"
        taken.add(entry.name)
        if not 1 <= len(words_of(entry.name)) <= 4:
            return f"the name {entry.name!r} has not one to four words"
        if not any(says(word, stems) for word in words_of(entry.name)):
            return f"{entry.name!r} is in no beat"
        noun = words_of(entry.name)[-1]
        looks = entry.appearance
        fault = _fault_of_text(looks, idea) or _length(looks, APPEARANCE_WORDS)
        wanted = [noun, *(one for one, two in attributes(idea) if says(two, [stem_of(noun)]))]
        if not fault and (missing := missing_words(wanted, looks)):
            fault = f"does not say {missing[0]!r}"
        if fault:
            return f"the appearance of {entry.name!r}: {fault}"
    return ""


def sound_entries(sheet: Sheet, known: Sheet, told: str, idea: str) -> Sheet:
    """`sheet` without the entries that `fault_of_sheet` refuses. One wrong entry of seven is no
    reason to give up a film."""
    found = known

    def kept(entries: Iterable[SheetEntry]) -> tuple[SheetEntry, ...]:
        nonlocal found
        sound = []
        for entry in entries:
            if not fault_of_sheet([entry], found, told, idea):
                sound.append(entry)
                found = Sheet(characters=(*found.characters, entry), places=found.places)
        return tuple(sound)

    return Sheet(characters=kept(sheet.characters), places=kept(sheet.places))


def fault_of_shot(plan: ShotPlan, check: ShotCheck) -> str:
    """Why a shot is refused; empty if it passes."""
    allowed = f"{check.idea} {plan.beat} {check.wish}"
    for name in ("subject", "action", "setting", "light", "palette"):
        if fault := _fault_of_text(getattr(plan, name), allowed):
            return f"{name}: {fault}"
    if _PRONOUN.match(plan.subject):
        return f"subject: {plan.subject!r} is a pronoun; name what is seen"
    if several := _SEVERAL.search(plan.action):
        return f"action: {several[0]!r} begins a second action; one is enough"
    prompt = prompt_of(plan, check.sheet)
    return (
        _prefixed("action", _length(plan.action, ACTION_WORDS))
        or _colour(plan, check, allowed)
        or _added(plan, check, allowed)
        or _repeated(own_words(plan))
        or _like_earlier(plan, check.earlier)
        or _length_of_prompt(prompt, check.least)
        or _not_kept(prompt, plan, check)
    )


def faults_of_film(board: Storyboard, idea: str) -> list[str]:
    """What is wrong with the film as a whole. Its shots have passed their own checks, or stand in,
    which is said elsewhere."""
    shots = [shot for shot in board.shots if shot.source not in ("continued", "editor")]
    directed = [shot for shot in shots if shot.plan]
    beats = [shot.plan.beat for shot in directed if shot.plan]
    prompts = " ".join(shot.prompt for shot in shots)
    faults = []
    order = [board.outline.index(beat) for beat in beats if beat in board.outline]
    if order != sorted(order) or len(order) != len(beats):
        faults.append("the beats are not in the order of the outline")
    others = [shot for shot in shots if not shot.plan and not shot.stands_in]
    if others:
        faults.append(f"{len(others)} of {len(shots)} shots do not follow the outline")
    for shot in directed:
        if (name := _redrawn(shot, board.sheet)) is not None:
            faults.append(f"shot {shot.number} does not show {name!r} as the sheet does")
    if any(shot.source == "editor" for shot in board.shots):
        return faults  # an editor may leave out what he asked for
    if missing := missing_words(content_words(idea), prompts):
        faults.append(f"no shot says {', '.join(missing)}")
    if unseen := [text for text in quoted(idea) if text not in prompts]:
        faults.append(f"no shot shows the words {', '.join(unseen)}")
    return faults


def _redrawn(shot: Shot, sheet: Sheet) -> str | None:
    """The first entry whose appearance the shot does not repeat word for word."""
    if shot.plan is None:
        return None
    entries = shown_of(shot.plan.shows, (*sheet.characters, *sheet.places))
    said = shot.prompt.lower()
    return next((item.name for item in entries if item.appearance.lower() not in said), None)


def _prefixed(name: str, fault: str) -> str:
    return f"{name}: {fault}" if fault else ""


def _fault_of_text(text: str, allowed: str) -> str:
    """A fault that any text may have."""
    text = _without_foreign_quotes(text, allowed)
    tokens = words_of(text)
    if not tokens:
        return "it is empty"
    if not text.isascii():
        return "it is not written in English letters"
    if max(map(len, tokens)) > MAX_LETTERS or _vowels(tokens) < MIN_VOWEL_SHARE:
        return "it is not made of words"
    english, foreign = set(_ENGLISH.split()), set(_FOREIGN.split())
    if sum(word in foreign for word in tokens) > sum(word in english for word in tokens):
        return "it is not English"
    if is_negated(text):
        return "it says what is not there; a video model shows what it reads"
    meta = _META.search(text)
    if meta and meta[0].lower() not in allowed.lower():
        return f"{meta[0]!r} speaks about the task instead of the picture"
    if on_screen := _on_screen(text, allowed):
        return f"{on_screen!r} asks for words in the picture"
    if copied := _EXAMPLES.intersection(tokens) - set(words_of(allowed)):
        return f"{sorted(copied)[0]!r} is copied from the example"
    return ""


def _without_foreign_quotes(text: str, allowed: str) -> str:
    """`text` without the quotations of `allowed` that have no English letters."""
    for quote in quoted(allowed):
        if not plain(quote).isascii():
            for form in (quote, plain(quote)):
                text = text.replace(f'"{form}"', " ").replace(form, " ")
    return text


def _on_screen(text: str, allowed: str) -> str:
    """A word of `text` that asks for letters in the picture, unless the brief has it or a quotation
    of its own."""
    given = {plain(quote).lower() for quote in quoted(allowed)}
    for quote in quoted(text):
        if plain(quote).lower() in given:
            text = text.replace(f'"{quote}"', " ")
    said, permitted = set(words_of(allowed)), bool(given)
    for found in _ON_SCREEN.finditer(text):
        if found[0] == '"' or not (permitted or said.intersection(words_of(found[0]))):
            return found[0]
    return ""


def _vowels(tokens: Sequence[str]) -> float:
    """Share of words that can be spoken."""
    spoken = sum(bool(re.search(r"[aeiouy]|^.$|^\d+$", token)) for token in tokens)
    return spoken / len(tokens)


def _length(text: str, limits: tuple[int, int]) -> str:
    low, high = limits
    count = len(words_of(text))
    return "" if low <= count <= high else f"{count} words instead of {low} to {high}"


def _length_of_prompt(prompt: str, least: int) -> str:
    count = len(words_of(prompt))
    if count < least:
        few = MIN_WORDS - count
        return f"the shot has {count} words, {few} too few; say more of setting and light"
    return f"the shot has {count} words, {count - MAX_WORDS} too many" if count > MAX_WORDS else ""


def _alike(one: str, other: str) -> bool:
    return overlap(stems_of(one), stems_of(other)) > MAX_OVERLAP


def _repeated(text: str) -> str:
    tokens = words_of(text)
    trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    repeated = 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
    return "it repeats itself" if repeated > MAX_REPEATED_TRIGRAMS else ""


def _like_earlier(plan: ShotPlan, earlier: Iterable[Shot]) -> str:
    mine = own_words(plan)
    for shot in earlier:
        if _alike(mine, own_words(shot.plan) if shot.plan else shot.prompt):
            return f"it is like shot {shot.number}"
    return ""


def _colour(plan: ShotPlan, check: ShotCheck, allowed: str) -> str:
    """A colour or a direction of the subject that contradicts brief and sheet."""
    entries = shown_of(plan.shows, (*check.sheet.characters, *check.sheet.places))
    given = " ".join([allowed, *(entry.appearance for entry in entries)])
    other = added_fixed_word(f"{plan.subject} {plan.action}", given)
    return f"action: says {other!r}, which brief and sheet do not" if other else ""


def _added(plan: ShotPlan, check: ShotCheck, allowed: str) -> str:
    """A subject that neither brief nor beat nor sheet has. Around the subject, things may be added,
    because a place needs some; persons, animals and hands may not."""
    entries = (*check.sheet.characters, *check.sheet.places)
    known = [allowed, *(f"{item.name}, {item.appearance}" for item in entries)]
    for name in ("subject", "action"):
        if new := new_subjects(getattr(plan, name), known):
            return f"{name}: {new[0]!r} is neither in the beat nor in the list"
    around = ". ".join((plan.setting, plan.light, plan.palette))
    beings = [word for word in new_subjects(around, known) if _is_being(word)]
    return f"setting: {beings[0]!r} is neither in the beat nor in the list" if beings else ""


def _is_being(word: str) -> bool:
    """Whether `word` is implied by persons and animals: one of them, a part of one, or clothes."""
    return not new_subjects(f"the {word}", ["a person and an animal"])


def _not_kept(prompt: str, plan: ShotPlan, check: ShotCheck) -> str:
    """A word of the brief that the shot must say and does not. The name of an entry of the sheet is
    said by its appearance."""
    said = f"{prompt} {' '.join(plan.shows)}"
    missing = missing_words(check.required, said)
    return f"it does not say {', '.join(missing)}" if missing else ""
