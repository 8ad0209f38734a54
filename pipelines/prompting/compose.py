"""Makes the prompt of a shot from its plan and the sheet.

The order is the one that Wan's own prompt writer uses: camera, subject and action, surroundings,
light, colours. Whoever is on the sheet appears with the sheet's words, never with a name.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from pipelines.prompting.words import plain, quoted, stems_of, words_of
from pipelines.schema.storyboard import Sheet, SheetEntry, ShotPlan

MIN_WORDS, MAX_WORDS = 60, 100
"""Words of a prompt without the brief's style: about as many as Wan's own prompt writer makes."""
SHORT_WORDS = 40
"""Fewest words of a second answer. A shot that is too short says more than the template."""
_PREPOSITIONS = frozenset(["at", "by", "from", "in", "near", "of", "on", "to", "under", "with"])
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


def by_noun(new: Sheet, known: Sheet, beats: Iterable[str]) -> Sheet:
    """`new` with its entries named as the beats call them: a model lists an `old fisherman`, and
    its beats tell of `the fisherman`, who would then be another person.

    A name of several words becomes its noun, the last one. It stays where another entry has that
    noun, and where a beat never uses the noun alone. `known` are the earlier entries.
    """
    told = list(beats)
    everything = (*known.characters, *known.places, *new.characters, *new.places)
    count = Counter(entry.name.split()[-1] for entry in everything)

    def renamed(entry: SheetEntry) -> SheetEntry:
        noun = entry.name.split()[-1]
        is_alone = any(names(beat, noun) and not names(beat, entry.name) for beat in told)
        is_phrase = any(word in _PREPOSITIONS for word in entry.name.split())
        if count[noun] > 1 or is_phrase or not is_alone:
            return entry
        return entry.model_copy(update={"name": noun})

    return Sheet(
        characters=tuple(map(renamed, new.characters)), places=tuple(map(renamed, new.places))
    )


def action_without_subject(action: str, subject: str) -> str:
    """`action` as the words behind a subject: a model repeats the subject or a pronoun for it, and
    begins a text with a capital."""
    core = re.sub(r"^(?:the|an?)\s+", "", subject, flags=re.IGNORECASE)
    again = rf"(?:the|an?)\s+{re.escape(core)}\s+|{re.escape(core)}\s+(?=\w+s\b)"
    found = re.match(rf"(?:he|she|it|they)\s+|{again}", action, re.IGNORECASE) if core else None
    rest = action[found.end() :] if found else action
    if len(words_of(rest)) < 2:
        return action
    return rest[:1].lower() + rest[1:] if rest[1:2].islower() else rest


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
