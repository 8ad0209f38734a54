"""The texts of a brief that are not in English, and the brief in English.

A brief needs its own words, the style, the words to avoid and the words of its shots in English.
What an editor adds to them on the approval page may stay as it is written: a wish, a size, a
camera, the looks of a character. Of these, sizes, cameras and looks stand in the words of shots,
too, so they are replaced there by their translation, and such words are not translated as a whole.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.documents.brief import Brief
from pipelines.language.detect import LATIN, QUOTED, language_of
from pipelines.planning.plan import seed_of
from pipelines.schema.languages import ENGLISH
from pipelines.schema.phrases import with_phrases
from pipelines.schema.shots import MAX_APPEARANCE, MAX_FRAMING, HandShot
from pipelines.schema.text import without_control_tokens
from pipelines.schema.translation import SHEET, TranslatedText, Translation

PROMPT = "prompt"
MIXED_WORDS = 3
"""English words from which words of a shot in another script count as English ones with something
added, such as a wish that could not be translated."""
_ENGLISH_WORD = re.compile(r"(?<!\w)[a-z]+(?!\w)")
"""No names: those begin with a capital."""
_ARTICLE = re.compile(r"(?:A|An|The) ")
_LONGEST = {"size": MAX_FRAMING, "camera": MAX_FRAMING, SHEET: MAX_APPEARANCE}
"""Characters for which a brief has room."""


@dataclass(frozen=True)
class ForeignText:
    """A text of a brief in another language."""

    field: str
    """`prompt`, `style`, `negative`, `storyboard.1` (a shot by hand), `shots.2` (new words of shot
    2); `storyboard.1.wish`, `storyboard.1.size`, `storyboard.1.camera`, `shots.2.wish`, or
    `sheet.fox` (looks of the fox)."""
    text: str
    language: str
    may_stay: bool = False
    """Whether the brief is made with the text as it is written if nobody can translate it."""

    @property
    def part(self) -> str:
        """`wish`, `size`, `camera` or `sheet`; empty for the texts that a brief consists of."""
        kind, _, rest = self.field.partition(".")
        return SHEET if kind == SHEET else rest.partition(".")[2]

    def as_phrase(self, english: str) -> str:
        """The translation `english` as it fits into a sentence: models write whole sentences."""
        if not self.part:
            return english
        words = english.strip().removesuffix(".")
        is_lower = self.part in ("size", "camera") and not words[1:2].isupper()
        return words[:1].lower() + words[1:] if is_lower or _ARTICLE.match(words) else words

    def fault_of_length(self, english: str) -> str:
        """Why `english` has no room in its field; empty if it has."""
        most = _LONGEST.get(self.part, 0)
        if not most or len(english) <= most:
            return ""
        return f"it has {len(english)} characters, and {most} fit there"


def foreign_texts(brief: Brief) -> tuple[ForeignText, ...]:
    """The texts of `brief` that its field `language` and their letters say are not in English.

    What an editor added to the shots on the approval page stands behind the others.
    """
    beside = [*_foreign(_beside(brief), brief, may_stay=True)]
    looks = [item.text for item in beside if item.part == SHEET]
    found = [*_foreign(_own(brief), brief, may_stay=False)]
    for field, words, shot in _shots(brief):
        framing = [item.text for item in beside if item.field.startswith(f"{field}.")]
        rest = _without(words, framing)
        language = language_of(_without(rest, looks), brief.language)
        if language != ENGLISH:
            mixed = _is_mixed(_without(rest, [shot.size, shot.camera] if shot else []), language)
            found.append(ForeignText(field, rest, language, mixed))
    return (*found, *beside)


def _foreign(
    texts: Sequence[tuple[str, str]], brief: Brief, *, may_stay: bool
) -> Iterator[ForeignText]:
    for field, text in texts:
        clean = without_control_tokens(text)
        language = language_of(clean, brief.language)
        if language != ENGLISH:
            yield ForeignText(field, clean, language, may_stay)


def _own(brief: Brief) -> list[tuple[str, str]]:
    """Those that are used: with shots by hand, the brief's own words are not."""
    own = [] if brief.storyboard else [(PROMPT, brief.prompt)]
    return [*own, ("style", brief.style), ("negative", brief.negative)]


def _shots(brief: Brief) -> Iterator[tuple[str, str, HandShot | None]]:
    """Field and words of each shot that an editor wrote, with the shot by hand."""
    for number, shot in enumerate(brief.storyboard, start=1):
        yield f"storyboard.{number}", without_control_tokens(shot.prompt), shot
    for item in brief.shots:
        if item.prompt:
            yield f"shots.{item.shot}", without_control_tokens(item.prompt), None


def _beside(brief: Brief) -> list[tuple[str, str]]:
    """What an editor adds to the words."""
    found = [
        (f"storyboard.{number}.{part}", str(getattr(shot, part)))
        for number, shot in enumerate(brief.storyboard, start=1)
        for part in ("size", "camera", "wish")
    ]
    found += [(f"shots.{item.shot}.wish", item.wish) for item in brief.shots]
    return [*found, *((f"{SHEET}.{entry.name}", entry.appearance) for entry in brief.sheet)]


def _is_mixed(words: str, language: str) -> bool:
    """Whether `words` in another script have English words as well."""
    plain = QUOTED.sub(" ", words)
    return language not in LATIN and len(_ENGLISH_WORD.findall(plain)) >= MIXED_WORDS


def _phrase(text: str) -> str:
    """A pattern for `text` as whole words."""
    return rf"(?<!\w){re.escape(text)}(?!\w)"


def _without(words: str, phrases: Sequence[str]) -> str:
    """`words` without `phrases`, and without the comma or colon behind them."""
    for text in sorted(filter(None, phrases), key=len, reverse=True):
        words = re.sub(rf"{_phrase(text)}[,:]?\s*", "", words, flags=re.IGNORECASE)
    return words


def in_english(brief: Brief, texts: Mapping[str, str]) -> Brief:
    """`brief` with the `texts` by their fields, and with the seed that its own words give: a
    translation changes no take."""
    changes: dict[str, object] = {
        name: texts[name] for name in (PROMPT, "style", "negative") if name in texts
    }
    changes["seed"] = seed_of(brief)
    looks = {item.appearance: texts.get(f"{SHEET}.{item.name}", "") for item in brief.sheet}
    looks = {old: new for old, new in looks.items() if new}
    changes["sheet"] = tuple(
        item.model_copy(update={"appearance": looks.get(item.appearance, item.appearance)})
        for item in brief.sheet
    )
    changes["storyboard"] = tuple(
        _shot_in_english(shot, f"storyboard.{number}", texts, looks)
        for number, shot in enumerate(brief.storyboard, start=1)
    )
    changes["shots"] = tuple(
        item.model_copy(
            update={
                "prompt": texts.get(
                    f"shots.{item.shot}", with_phrases(item.prompt, looks, foreign=True)
                ),
                "wish": texts.get(f"shots.{item.shot}.wish", item.wish),
            }
        )
        for item in brief.shots
    )
    return brief.model_copy(update=changes)


def _shot_in_english(
    shot: HandShot, field: str, texts: Mapping[str, str], looks: Mapping[str, str]
) -> HandShot:
    old = {part: str(getattr(shot, part)) for part in ("size", "camera", "wish")}
    new = {part: texts.get(f"{field}.{part}", text) for part, text in old.items()}
    framing = {old[part]: new[part] for part in ("size", "camera")}
    # A translation as a whole leaves out size and camera, which are put before it later.
    words = texts.get(field) or with_phrases(shot.prompt, {**looks, **framing}, foreign=True)
    return shot.model_copy(update={**new, "prompt": words})


def as_translated(brief: Brief, translation: Translation | None) -> Brief:
    """`brief` in English, as it was translated for its storyboard."""
    if translation is None:
        return brief
    texts = {item.field: item.english for item in translation.others}
    return in_english(brief, {PROMPT: translation.english} | texts)


def record_of(
    brief: Brief, english: Brief, foreign: Sequence[ForeignText], translators: Mapping[str, str]
) -> Translation | None:
    """What the storyboard says of the translation; None if no text of `brief` was translated.

    `english` is the brief in English, `translators` has who translated each of `foreign`, by its
    field. Texts that were translated for an earlier draft are in English already and have their
    original beside them.
    """
    done = [item for item in foreign if item.field in translators]
    texts = {item.field: item for item in _earlier(brief, english)}
    for item in done:
        texts[item.field] = TranslatedText(
            field=item.field,
            original=item.text,
            english=_text_of(english, item.field),
            language=item.language,
            translator=translators[item.field],
        )
    texts.pop(PROMPT, None)
    if not done and not texts:
        return None
    return Translation(
        language=done[0].language if done else next(iter(texts.values())).language,
        original=brief.prompt,
        english=english.prompt,
        translator=translators[done[0].field] if done else "",
        others=tuple(sorted(texts.values(), key=_place_of)),
    )


def _place_of(text: TranslatedText) -> tuple[int, int]:
    """Shots in their order, behind the texts of the whole film and before the looks."""
    kind, _, rest = text.field.partition(".")
    if kind == SHEET:
        return 2, 0
    number = rest.partition(".")[0]
    return (1, int(number)) if number else (0, 0)


def _earlier(brief: Brief, english: Brief) -> Iterator[TranslatedText]:
    """Texts of `brief` that have their original beside them."""
    pairs = zip(brief.storyboard, english.storyboard, strict=True)
    for number, (shot, told) in enumerate(pairs, start=1):
        if shot.original:
            yield _of_earlier(f"storyboard.{number}", shot.original, told.prompt, brief)
    for entry in english.sheet:
        if entry.original:
            yield _of_earlier(f"{SHEET}.{entry.name}", entry.original, entry.appearance, brief)


def _of_earlier(field: str, original: str, english: str, brief: Brief) -> TranslatedText:
    language = language_of(original, brief.language)
    return TranslatedText(field=field, original=original, english=english, language=language)


def _text_of(brief: Brief, field: str) -> str:
    """The text of `brief` that `field` names."""
    kind, _, rest = field.partition(".")
    if kind == SHEET:
        return next(item.appearance for item in brief.sheet if item.name == rest)
    if not rest:
        return str(getattr(brief, kind))
    number, _, part = rest.partition(".")
    if kind == "storyboard":
        return str(getattr(brief.storyboard[int(number) - 1], part or "prompt"))
    item = brief.override_of(int(number))
    return str(getattr(item, part or "prompt"))
