"""The texts of a brief that are not in English, and the brief in English.

A brief needs its own words, the style, the words to avoid and the words of its shots in English.
What an editor adds to them on the approval page may stay as it is written: a wish, a size, a
camera, the looks of a character. Of these, sizes, cameras and looks stand in the words of shots,
too, so they are replaced there by their translation, and such words are not translated as a whole.
Where the rest of the words is in another language, too, a mark stands for looks while the rest is
translated: the shot then has the same English looks as the sheet, and follows its later changes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pipelines.documents.brief import Brief
from pipelines.language.detect import language_of
from pipelines.planning.plan import seed_of
from pipelines.schema.languages import ENGLISH
from pipelines.schema.phrases import begins_sentence, capital, whole, with_phrases
from pipelines.schema.reviewed import Part, ReviewedText
from pipelines.schema.shots import MAX_APPEARANCE, MAX_FRAMING, HandShot
from pipelines.schema.text import without_control_tokens
from pipelines.schema.translation import SHEET, TranslatedText, Translation

PROMPT = "prompt"
_MARK = "\u00abL{0}\u00bb"
"""Stands for looks. It is in quotation marks, so a translation without it fails its checks."""
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
    """As a translator gets it."""
    language: str
    may_stay: bool = False
    """Whether the brief is made with the text as it is written if nobody can translate it."""
    looks: tuple[str, ...] = ()
    """Which stand in `text` as marks, each once."""

    @property
    def written(self) -> str:
        """`text` as the editor wrote it."""
        return self.with_looks(self.text, {}, begins=False)

    @property
    def key(self) -> tuple[Part, str]:
        """By which a reviewed text is found again, wherever its shot is moved to."""
        return self.part, self.written

    def with_looks(self, words: str, new: Mapping[str, str], *, begins: bool = True) -> str:
        """`words` with looks in the place of their marks: `new` ones by the old, or the old ones.
        If it `begins` a sentence, a phrase gets a capital."""
        for number, old in enumerate(self.looks, start=1):
            before, mark, behind = words.partition(_MARK.format(number))
            while mark:
                look = new.get(old, old)
                before += capital(look) if begins and begins_sentence(before) else look
                more, mark, behind = behind.partition(_MARK.format(number))
                before += more
            words = before
        return words

    @property
    def part(self) -> Part:
        """`wish`, `size`, `camera` or `sheet`; empty for the texts that a brief consists of."""
        kind, _, rest = self.field.partition(".")
        return SHEET if kind == SHEET else cast(Part, rest.partition(".")[2])

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

    What an editor added to the shots on the approval page stands behind the others. Words of a shot
    may stay if they did in the storyboard that a person reviewed.
    """
    beside = [*_foreign(_beside(brief), brief, may_stay=True)]
    foreign_looks = [item.text for item in beside if item.part == SHEET]
    foreign_looks += [entry.original for entry in brief.sheet if entry.original]
    looks = [*foreign_looks, *(entry.appearance for entry in brief.sheet)]
    may_stay = {item.original for item in brief.reviewed if not (item.part or item.for_service)}
    found = [*_foreign(_own(brief), brief, may_stay=False)]
    for field, words in _shots(brief):
        framing = [item.text for item in beside if item.field.startswith(f"{field}.")]
        rest = _without(words, framing)
        language = language_of(_without(rest, foreign_looks), brief.language)
        if language != ENGLISH:
            text, marked = _marked(rest, looks)
            found.append(ForeignText(field, text, language, rest in may_stay, marked))
    return (*found, *beside)


def _marked(words: str, looks: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """`words` with marks in the place of `looks`, and the looks that it has."""
    marked: list[str] = []
    for look in sorted(set(filter(None, looks)), key=len, reverse=True):
        mark = _MARK.format(len(marked) + 1)
        swapped = re.sub(whole(look), mark, words)
        if swapped != words:
            words = swapped
            marked.append(look)
    return words, tuple(marked)


def decided(brief: Brief, foreign: Iterable[ForeignText]) -> dict[str, ReviewedText]:
    """What a person approved for each of `foreign`, by its field; without those that nothing was
    decided about."""
    known = {(item.part, item.original): item for item in brief.reviewed if item.english}
    is_remote = brief.backend.capabilities.location == "remote" if known else False
    found = ((item.field, known.get(item.key)) for item in foreign)
    return {
        field: review for field, review in found if review and (is_remote or not review.for_service)
    }


def texts_of(
    brief: Brief, foreign: Iterable[ForeignText], english: Mapping[str, str]
) -> dict[str, str]:
    """The texts for `in_english`, by their fields: the translations `english`, each as it fits into
    its place, and with the English looks of the sheet in the place of marks."""
    items = [item for item in foreign if item.field in english]
    texts = {item.field: item.as_phrase(english[item.field]) for item in items}
    new: dict[str, str] = {}
    for entry in brief.sheet:
        look = texts.get(f"{SHEET}.{entry.name}", entry.appearance)
        new |= {entry.appearance: look, entry.original: look}
    return texts | {
        item.field: item.with_looks(texts[item.field], new) for item in items if item.looks
    }


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


def _shots(brief: Brief) -> Iterator[tuple[str, str]]:
    """Field and words of each shot that an editor wrote."""
    for number, shot in enumerate(brief.storyboard, start=1):
        yield f"storyboard.{number}", without_control_tokens(shot.prompt)
    for item in brief.shots:
        if item.prompt:
            yield f"shots.{item.shot}", without_control_tokens(item.prompt)


def _beside(brief: Brief) -> list[tuple[str, str]]:
    """What an editor adds to the words."""
    found = [
        (f"storyboard.{number}.{part}", str(getattr(shot, part)))
        for number, shot in enumerate(brief.storyboard, start=1)
        for part in ("size", "camera", "wish")
    ]
    found += [(f"shots.{item.shot}.wish", item.wish) for item in brief.shots]
    return [*found, *((f"{SHEET}.{entry.name}", entry.appearance) for entry in brief.sheet)]


def _without(words: str, phrases: Sequence[str]) -> str:
    """`words` without `phrases`, and without the comma or colon behind them."""
    for text in sorted(filter(None, phrases), key=len, reverse=True):
        words = re.sub(rf"{whole(text)}[,:]?\s*", "", words, flags=re.IGNORECASE)
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
            original=item.written,
            english=text_of(english, item.field),
            language=item.language,
            translator=translators[item.field],
            asked=item.text if item.looks else "",
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


def text_of(brief: Brief, field: str) -> str:
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
