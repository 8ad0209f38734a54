"""What an editor decides about the shots, beside or in place of the prompt enhancer: shots by hand,
words for characters and places, and wishes for single shots."""

from collections.abc import Callable, Sequence

from pipelines.documents.brief import Brief
from pipelines.planning.edits import entries_of
from pipelines.planning.framing import reframed, unstyled, with_style
from pipelines.planning.plan import hand_shot_of
from pipelines.schema.phrases import with_phrases
from pipelines.schema.shots import MAX_SHOT, HandShot, SheetWords
from pipelines.schema.storyboard import Sheet, SheetEntry, Shot, Storyboard
from pipelines.schema.text import without_control_tokens

Rewrite = Callable[[Storyboard, int, str], tuple[Shot | None, str]]
"""The shot with that number of a storyboard, written again with a wish; or None, and why not. The
words are without the brief's style."""
NOBODY_REWRITES = "the language model that is installed here follows no wishes"


def words_by_hand(shot: HandShot) -> str:
    """The words of `shot` with its size and camera, if they do not say them."""
    words = reframed(shot.prompt, ("", ""), (shot.size, shot.camera))
    return without_control_tokens(words)


def camera_by_hand(shot: HandShot) -> str:
    """How `shot` is seen, for the manifest."""
    return ", ".join(filter(None, (shot.size, shot.camera))) or "as written"


def sheet_by_hand(entries: Sequence[SheetWords]) -> Sheet:
    """The sheet of a storyboard by hand."""
    found = {
        kind: tuple(
            SheetEntry(name=entry.name, appearance=entry.appearance)
            for entry in entries
            if entry.kind == kind
        )
        for kind in ("character", "place")
    }
    return Sheet(characters=found["character"], places=found["place"])


def with_sheet(storyboard: Storyboard, entries: Sequence[SheetWords]) -> Storyboard:
    """`storyboard` with an editor's words for characters and places: exactly the shots change that
    repeat the old words. An entry that it does not have is left out."""
    wanted = {entry.name: entry.appearance for entry in entries}
    swaps = {
        entry.appearance: wanted[entry.name]
        for entry in entries_of(storyboard.sheet)
        if wanted.get(entry.name, entry.appearance) != entry.appearance
    }
    if not swaps:
        return storyboard
    sheet = Sheet(
        characters=tuple(_reworded(entry, wanted) for entry in storyboard.sheet.characters),
        places=tuple(_reworded(entry, wanted) for entry in storyboard.sheet.places),
    )
    shots = tuple(
        shot.model_copy(update={"prompt": with_phrases(shot.prompt, swaps)})
        for shot in storyboard.shots
    )
    return storyboard.model_copy(update={"sheet": sheet, "shots": shots})


def _reworded(entry: SheetEntry, wanted: dict[str, str]) -> SheetEntry:
    appearance = wanted.get(entry.name, entry.appearance)
    return entry.model_copy(update={"appearance": appearance})


def wishes_of(brief: Brief, count: int) -> dict[int, str]:
    """The wish for each of `count` shots that has one, by its number."""
    found: dict[int, str] = {}
    for number in range(1, count + 1):
        hand, override = hand_shot_of(brief, number, count), brief.override_of(number)
        wish = (override.wish if override else "") or (hand.wish if hand else "")
        if wish:
            found[number] = without_control_tokens(wish)
    return found


def grant_wishes(storyboard: Storyboard, brief: Brief, rewrite: Rewrite | None) -> Storyboard:
    """`storyboard` with the shots written again for which `brief` has wishes.

    Shots that continue such a shot repeat its new words. Without `rewrite`, or where it gives up,
    the wish is added to the words. Raises only what `rewrite` raises.
    """
    wishes = wishes_of(brief, len(storyboard.shots))
    if not wishes:
        return storyboard
    plain = [
        shot.model_copy(update={"prompt": unstyled(shot.prompt, brief.style)})
        for shot in storyboard.shots
    ]
    before = storyboard.model_copy(update={"shots": tuple(plain)})
    shots: list[Shot] = []
    for shot in plain:
        wish = wishes.get(shot.number, "")
        if shots and wish and _goes_on(brief, shot.number, len(plain)):
            shots.append(shots[-1].model_copy(update={"number": shot.number, "seed": shot.seed}))
        elif wish:
            again, reason = None, NOBODY_REWRITES
            if rewrite:
                again, reason = rewrite(before, shot.number, wish)
            shots.append(again or _with_wish(shot, wish, reason))
        elif shot.source == "continued" and shots and shots[-1] is not plain[shot.number - 2]:
            shots.append(shot.model_copy(update={"prompt": shots[-1].prompt}))
        else:
            shots.append(shot)
    styled = tuple(
        shot.model_copy(update={"prompt": with_style(shot.prompt, brief.style)}) for shot in shots
    )
    return storyboard.model_copy(update={"shots": styled})


def _goes_on(brief: Brief, number: int, count: int) -> bool:
    """Whether chunk `number` is a further one of the same shot by hand, which has one text."""
    if not brief.storyboard or any(brief.override_of(item) for item in (number - 1, number)):
        return False
    return hand_shot_of(brief, number, count) is hand_shot_of(brief, number - 1, count)


def _with_wish(shot: Shot, wish: str, reason: str) -> Shot:
    """`shot` with `wish` behind its words, if there is room for it."""
    end = "." if shot.prompt.endswith(".") else ""
    words = f"{shot.prompt.rstrip(' .')}, {wish.rstrip(' .')}{end}"
    if len(words) > MAX_SHOT:
        note = f"the words have no room for the wish ({MAX_SHOT:,} characters at most): {reason}"
        return shot.model_copy(update={"note": note})
    note = f"the wish stands behind the words: {reason}"
    change = {"prompt": words, "source": "editor", "note": note, "cause": ""}
    return shot.model_copy(update=change | {"strategy": "none", "plan": None})
