"""The texts of a brief that are not in English, and the brief in English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.documents.brief import Brief
from pipelines.language.detect import language_of
from pipelines.planning.plan import seed_of
from pipelines.schema.languages import ENGLISH
from pipelines.schema.storyboard import TranslatedText, Translation
from pipelines.schema.text import without_control_tokens

PROMPT = "prompt"


@dataclass(frozen=True)
class ForeignText:
    """A text of a brief in another language."""

    field: str
    """`prompt`, `style`, `negative`, or such as `storyboard.1` (a shot by hand) or `shots.2` (new
    words of shot 2)."""
    text: str
    language: str


def foreign_texts(brief: Brief) -> tuple[ForeignText, ...]:
    """The texts of `brief` that its field `language` and their letters say are not in English."""
    found = []
    for field, text in _texts(brief):
        clean = without_control_tokens(text)
        language = language_of(clean, brief.language)
        if language != ENGLISH:
            found.append(ForeignText(field, clean, language))
    return tuple(found)


def _texts(brief: Brief) -> list[tuple[str, str]]:
    """Those that are used: with shots by hand, the brief's own words are not."""
    own = [] if brief.storyboard else [(PROMPT, brief.prompt)]
    hand = [(f"storyboard.{n}", shot.prompt) for n, shot in enumerate(brief.storyboard, start=1)]
    changed = [(f"shots.{item.shot}", item.prompt) for item in brief.shots if item.prompt]
    return [*own, ("style", brief.style), ("negative", brief.negative), *hand, *changed]


def in_english(brief: Brief, texts: Mapping[str, str]) -> Brief:
    """`brief` with the `texts` by their fields, and with the seed that its own words give: a
    translation changes no take."""
    changes: dict[str, object] = {
        name: texts[name] for name in (PROMPT, "style", "negative") if name in texts
    }
    changes["seed"] = seed_of(brief)
    changes["storyboard"] = tuple(
        shot.model_copy(update={"prompt": texts.get(f"storyboard.{number}", shot.prompt)})
        for number, shot in enumerate(brief.storyboard, start=1)
    )
    changes["shots"] = tuple(
        item.model_copy(update={"prompt": texts.get(f"shots.{item.shot}", item.prompt)})
        for item in brief.shots
    )
    return brief.model_copy(update=changes)


def as_translated(brief: Brief, translation: Translation | None) -> Brief:
    """`brief` in English, as it was translated for its storyboard."""
    if translation is None:
        return brief
    texts = {item.field: item.english for item in translation.others}
    return in_english(brief, {PROMPT: translation.english} | texts)


def record_of(
    brief: Brief, foreign: Sequence[ForeignText], texts: Mapping[str, str], translator: str
) -> Translation:
    """What the storyboard says of the translation."""
    others = [item for item in foreign if item.field != PROMPT]
    return Translation(
        language=foreign[0].language,
        original=brief.prompt,
        english=texts.get(PROMPT, brief.prompt),
        translator=translator,
        others=tuple(
            TranslatedText(field=item.field, original=item.text, english=texts[item.field])
            for item in others
        ),
    )
