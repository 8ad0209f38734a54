"""What a person changed in a draft becomes the brief that is filmed.

Work that a change does not touch must be found again, so a shot keeps its words and its seed
wherever it is moved to. Where only words, seeds or wishes changed, the brief stays the enhancer's,
with changes to single shots. Otherwise all shots become shots by hand, with the seeds and lengths
that the draft shows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft, DraftShot
from pipelines.documents.parsing import sentences
from pipelines.errors import BriefError, StoryboardError
from pipelines.planning.framing import reframed
from pipelines.planning.plan import has_wishes, seconds_for, seed_of, timeline
from pipelines.schema.phrases import with_phrases
from pipelines.schema.shots import (
    MAX_SEED,
    PICK,
    EditedEntry,
    EditedShot,
    HandShot,
    SheetWords,
    ShotOverride,
    words_of_shot,
)
from pipelines.schema.storyboard import Sheet
from pipelines.schema.translation import SHEET


@dataclass(frozen=True)
class _Row:
    """A shot as a person handed it back, checked, beside the drafted one that it was."""

    shot: HandShot
    origin: DraftShot | None
    """None for a new shot."""

    @property
    def is_kept(self) -> bool:
        """Whether it is as drafted, apart from its place."""
        was, now = self.origin, self.shot
        return was is not None and (now.prompt, now.seed, now.chunks, now.wish) == (
            was.prompt,
            was.seed,
            was.chunks,
            "",
        )


def edited(
    brief: Brief, draft: Draft, shots: Sequence[EditedShot], sheet: Sequence[EditedEntry] = ()
) -> Brief:
    """`brief` with a person's changes to its `draft`. No shots: the shots as drafted.

    `brief` must be the one that the draft was made of. Raises StoryboardError, which names each
    shot that breaks a rule, and BriefError if the video as a whole breaks one.
    """
    looks = _looks_of(draft, sheet)
    changed = _changed(looks)
    swaps = {old.appearance: new.appearance for old, new in changed}
    rows = _rows(draft, shots or _as_drafted(draft), swaps, _originals(brief, draft, looks))
    numbers = [row.origin.number if row.origin else 0 for row in rows]
    is_in_place = numbers == [shot.number for shot in draft.shots] and not _is_longer(rows)
    if is_in_place and not swaps and all(row.is_kept for row in rows):
        return brief
    values: dict[str, Any]
    if is_in_place and not brief.storyboard and not _is_reframed(rows):
        values = {"shots": _changes(brief, rows, swaps, _own_swaps(draft, looks))}
        values["sheet"] = _merged(brief.sheet, [new for _, new in changed])
    elif is_in_place and _is_of_the_editor(brief, draft):
        values = _replaced(brief, draft, rows) | {"sheet": [new for _, new in looks]}
    else:
        values = _rebuilt(brief, draft, rows) | {"sheet": [new for _, new in looks]}
    return _valid(brief, values)


def by_hand(
    brief: Brief, draft: Draft, shots: Sequence[EditedShot], sheet: Sequence[EditedEntry] = ()
) -> Brief:
    """The film of `edited`, but all its shots are shots by hand with the words of the draft. So it
    stays the same wherever it is made. Raises as `edited`."""
    looks = _looks_of(draft, sheet)
    swaps = {old.appearance: new.appearance for old, new in _changed(looks)}
    rows = _rows(draft, shots or _as_drafted(draft), swaps, _originals(brief, draft, looks))
    return _valid(brief, _rebuilt(brief, draft, rows) | {"sheet": [new for _, new in looks]})


def settled(brief: Brief, draft: Draft) -> Brief:
    """`brief` with the words of its `draft` in place of wishes, which are granted in them.

    Whoever approves the draft then gets the words that he saw, also if another writer is installed
    meanwhile. If the drafted words break a rule, such as their longest length, `brief` stays as it
    is, and its wishes are granted again.
    """
    if not has_wishes(brief):
        return brief
    try:
        return _settled(brief, draft)
    except BriefError:
        return brief


def _settled(brief: Brief, draft: Draft) -> Brief:
    if not brief.storyboard:
        words = {shot.number: shot.prompt for shot in draft.shots}
        shots = [
            item.model_copy(update={"prompt": words[item.shot], "wish": ""}) if item.wish else item
            for item in brief.shots
        ]
        return _valid(brief, {"shots": shots})
    wished = {number for number, shot in enumerate(brief.storyboard, start=1) if shot.wish}
    originals = _originals(brief, draft, _looks_of(draft, ())).items()
    kept = {number: text for number, text in originals if number not in wished}
    rows = _rows(draft, _as_drafted(draft), {}, kept)
    of_editor = _is_of_the_editor(brief, draft)
    values = _replaced(brief, draft, rows) if of_editor else _rebuilt(brief, draft, rows)
    return _valid(brief, values | {"sheet": [look for _, look in _looks_of(draft, ())]})


def _as_drafted(draft: Draft) -> list[EditedShot]:
    return [EditedShot(prompt=shot.prompt, drafted=shot.number) for shot in draft.shots]


def _valid(brief: Brief, values: Mapping[str, Any]) -> Brief:
    """`brief` with the changed `values`. Raises BriefError if it breaks a rule."""
    plain = {
        name: [item.model_dump() for item in value] if isinstance(value, list) else value
        for name, value in values.items()
    }
    try:
        result = Brief.model_validate(brief.model_dump() | plain)
    except ValidationError as error:
        raise BriefError(f"the edited storyboard cannot be made: {sentences(error)}") from error
    timeline(result)
    return result


def _originals(
    brief: Brief, draft: Draft, looks: Sequence[tuple[SheetWords, SheetWords]]
) -> dict[int, str]:
    """What the words of drafted shots were translated from, with the new `looks`, by the numbers of
    these shots."""
    kind = "storyboard" if brief.storyboard else "shots"
    if draft.translation is None or (brief.storyboard and not _is_of_the_editor(brief, draft)):
        return {}
    texts = {item.field: item.original for item in draft.translation.others}
    found = ((shot.number, texts.get(f"{kind}.{shot.number}", "")) for shot in draft.shots)
    swaps = _own_swaps(draft, looks)
    return {number: with_phrases(text, swaps) for number, text in found if text}


def _rows(
    draft: Draft,
    given: Sequence[EditedShot],
    swaps: Mapping[str, str],
    originals: Mapping[int, str],
) -> list[_Row]:
    """The checked shots, with the `originals` of the drafted ones whose words are kept. Raises
    StoryboardError with all that is wrong."""
    problems: dict[int, str] = {}
    rows: list[_Row] = []
    for index, (shot, origin) in enumerate(zip(given, _origins(draft, given), strict=True)):
        try:
            row = _Row(_checked(shot, origin, swaps), origin)
        except ValidationError as error:
            problems[index] = sentences(error)
        except ValueError as error:
            problems[index] = str(error)
        else:
            rows.append(_with_original(row, shot, originals))
    if problems:
        raise StoryboardError(problems)
    return rows


def _with_original(row: _Row, given: EditedShot, originals: Mapping[int, str]) -> _Row:
    """`row` with the original of its words, unless a person typed other ones."""
    origin = row.origin
    if origin is None or words_of_shot(given.prompt) != origin.prompt:
        return row
    original = {"original": originals.get(origin.number, "")}
    return replace(row, shot=row.shot.model_copy(update=original))


def _checked(shot: EditedShot, origin: DraftShot | None, swaps: Mapping[str, str]) -> HandShot:
    """`shot` with the values of `origin` where it leaves them. Raises ValueError."""
    if not PICK <= shot.seed <= MAX_SEED:
        raise ValueError(
            f"the seed {shot.seed} is outside 0 to {MAX_SEED}; choose a number in that range, or "
            "-1 to leave it as drafted"
        )
    if shot.chunks < 0:
        raise ValueError(f"{shot.chunks} is no length; a shot lasts for one chunk or more")
    old = (origin.size, origin.camera) if origin else ("", "")
    new = (shot.size.strip() or old[0], shot.camera.strip() or old[1])
    words = words_of_shot(shot.prompt)
    if new != old:
        words = reframed(words, old, new)
    words = with_phrases(words, swaps)
    is_drafted = origin is not None and words == origin.prompt
    return HandShot(
        prompt=words,
        seed=origin.seed if origin and shot.seed == PICK else shot.seed,
        chunks=shot.chunks or (origin.chunks if origin else 1),
        size=new[0],
        camera=new[1],
        wish=shot.wish,
        source=origin.source if origin and is_drafted else "editor",
    )


def shown_in(words: str, sheet: Sheet) -> tuple[str, ...]:
    """Names of the entries of `sheet` whose appearance `words` repeat."""
    return tuple(
        entry.name
        for entry in entries_of(sheet)
        if with_phrases(words, {entry.appearance: ""}) != words
    )


def _origins(draft: Draft, given: Sequence[EditedShot]) -> list[DraftShot | None]:
    """The drafted shot that each of `given` was: by its number, else by its words. Clients of
    earlier versions name no numbers: for them, as many shots as drafted are in the drafted order.
    """
    left = {shot.number: shot for shot in draft.shots}
    found: list[DraftShot | None] = [left.pop(shot.drafted, None) for shot in given]
    for index, shot in enumerate(given):
        if found[index] is None and not shot.drafted:
            same = next((old for old in left.values() if old.prompt == shot.prompt.strip()), None)
            found[index] = left.pop(same.number) if same else None
    if len(given) == len(draft.shots) and not any(shot.drafted for shot in given):
        found = [item or left.pop(index, None) for index, item in enumerate(found, start=1)]
    return found


def _looks_of(draft: Draft, given: Sequence[EditedEntry]) -> list[tuple[SheetWords, SheetWords]]:
    """Each entry of the draft's sheet, as it was and as it is now, both in the words that shots
    repeat. Raises BriefError."""
    wanted = {entry.name: entry.appearance for entry in given}
    pairs: list[tuple[SheetWords, SheetWords]] = []
    for old, own in zip(entries_of(draft.sheet), own_looks(draft), strict=True):
        words = wanted.pop(old.name, "") or own.appearance
        try:
            new = SheetWords(name=old.name, appearance=words, kind=old.kind)
        except ValidationError as error:
            raise BriefError(f"{old.name}: {sentences(error)}") from error
        if new.appearance == own.appearance != old.appearance:
            new = old.model_copy(update={"original": own.appearance})
        pairs.append((old, new))
    unknown = [name for name in wanted if name]
    if unknown:
        known = ", ".join(old.name for old, _ in pairs) or "none"
        raise BriefError(
            f"the sheet of this draft has no {unknown[0]!r:.100}; it has: {known}. Name one of "
            "these, or write the new one into the words of the shots"
        )
    return pairs


def _changed(looks: Sequence[tuple[SheetWords, SheetWords]]) -> list[tuple[SheetWords, SheetWords]]:
    return [(old, new) for old, new in looks if old.appearance != new.appearance]


def _own_swaps(draft: Draft, looks: Sequence[tuple[SheetWords, SheetWords]]) -> dict[str, str]:
    """The looks that changed, in the words in which an editor wrote them."""
    return {
        own.appearance: new.appearance
        for own, (old, new) in zip(own_looks(draft), looks, strict=True)
        if old.appearance != new.appearance
    }


def entries_of(sheet: Sheet) -> Iterator[SheetWords]:
    """The characters and then the places of `sheet`."""
    for entry in sheet.characters:
        yield SheetWords(name=entry.name, appearance=entry.appearance, kind="character")
    for entry in sheet.places:
        yield SheetWords(name=entry.name, appearance=entry.appearance, kind="place")


def own_looks(draft: Draft) -> Iterator[SheetWords]:
    """The entries of the draft's sheet in the words in which an editor wrote them: those that were
    translated are in his language."""
    others = draft.translation.others if draft.translation else ()
    originals = {item.field: item.original for item in others}
    for entry in entries_of(draft.sheet):
        own = originals.get(f"{SHEET}.{entry.name}", entry.appearance)
        yield entry.model_copy(update={"appearance": own})


def _merged(before: Iterable[SheetWords], changed: Sequence[SheetWords]) -> list[SheetWords]:
    names = {entry.name for entry in changed}
    return [*(entry for entry in before if entry.name not in names), *changed]


def _is_longer(rows: Sequence[_Row]) -> bool:
    """Whether a shot lasts for more or fewer chunks than drafted."""
    return any(row.origin and row.shot.chunks != row.origin.chunks for row in rows)


def _is_reframed(rows: Sequence[_Row]) -> bool:
    """Whether a size or a camera changed: a change to a shot of the enhancer has no place for
    it."""
    return any(
        row.origin and (row.shot.size, row.shot.camera) != (row.origin.size, row.origin.camera)
        for row in rows
    )


def _changes(
    brief: Brief, rows: Sequence[_Row], swaps: Mapping[str, str], own: Mapping[str, str]
) -> list[ShotOverride]:
    """The changes to single shots, in their order. Their words may be in the editor's language, and
    have his `own` looks."""
    found = {item.shot: item for item in brief.shots}
    for number, row in enumerate(rows, start=1):
        before = found.get(number, ShotOverride(shot=number))
        assert row.origin is not None
        drafted = with_phrases(row.origin.prompt, swaps)
        words = with_phrases(before.prompt, {**swaps, **own})
        if row.shot.prompt != drafted:
            words = row.shot.prompt
        seed = row.shot.seed if row.shot.seed != row.origin.seed else before.seed
        if words or seed != PICK or row.shot.wish:
            change = {"shot": number, "prompt": words, "seed": seed, "wish": row.shot.wish}
            found[number] = ShotOverride.model_validate(change)
    return [found[number] for number in sorted(found)]


def _is_of_the_editor(brief: Brief, draft: Draft) -> bool:
    """Whether the drafted shots are the brief's shots by hand, one for one and unchanged."""
    return len(brief.storyboard) == len(draft.shots) and not brief.shots


def _in_english(brief: Brief, draft: Draft) -> dict[str, Any]:
    """The brief's fields beside shots by hand that are in the English of its draft.

    Nobody need translate the style then. The seed is that of the brief's own words.
    """
    if draft.translation is None:
        return {}
    texts = {item.field: item.english for item in draft.translation.others}
    return {
        "style": texts.get("style", brief.style),
        "negative": texts.get("negative", brief.negative),
        "seed": seed_of(brief),
    }


def _replaced(brief: Brief, draft: Draft, rows: Sequence[_Row]) -> dict[str, Any]:
    """The brief's fields for its shots by hand with what changed.

    Lengths and seeds that did not change stay as the brief says them, because they decide the seeds
    of further chunks.
    """
    result: list[HandShot] = []
    for before, row in zip(brief.storyboard, rows, strict=True):
        is_same_take = row.origin is not None and row.origin.seed == row.shot.seed
        seed = before.seed if is_same_take else row.shot.seed
        result.append(row.shot.model_copy(update={"chunks": before.chunks, "seed": seed}))
    return _in_english(brief, draft) | {"storyboard": result}


def _rebuilt(brief: Brief, draft: Draft, rows: Sequence[_Row]) -> dict[str, Any]:
    """The brief's fields for `rows` as shots by hand with their own seeds and lengths."""
    shots = [row.shot for row in rows]
    count = sum(shot.chunks for shot in shots)
    seconds = seconds_for(brief, count)
    return _in_english(brief, draft) | {"storyboard": shots, "shots": [], "seconds": seconds}
