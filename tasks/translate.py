"""Translation of a brief into English: who can do it here, and the brief with English words.

A translation model of the catalog goes before the language model: somebody installed it for this,
and Mistral 7B knows little Thai. A base model such as Gemma 270M never translates: it made "left"
of "right" and "dog" of "fox".
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS, MODELS
from infra.adapters.weights.library import installed_model, installed_names
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError
from pipelines.language.brief_texts import (
    ForeignText,
    decided,
    foreign_texts,
    in_english,
    record_of,
    texts_of,
)
from pipelines.language.marian import MarianTranslator
from pipelines.language.translator import (
    InstructTranslator,
    Translated,
    Translator,
    can_translate,
    refused,
)
from pipelines.planning.plan import is_enhanced
from pipelines.progress import Progress
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.plan import digest_of
from pipelines.schema.presets import AUTO
from pipelines.schema.translation import Translation, title_of
from tasks.progress import report
from tasks.translations import TranslationShelf

_PREFIX, _ALL = "translator-", "translator-mul"
"""Names of translation models in the catalog, and the one for languages without a model of their
own."""
_log = logging.getLogger("reelwright.translate")


class Surroundings(Protocol):
    """What a translation needs of a run."""

    settings: Settings

    @property
    def store(self) -> ObjectStore: ...


@dataclass(frozen=True)
class InEnglish:
    """A brief as the models read it."""

    brief: Brief
    translation: Translation | None = None
    """None if no text of it was translated."""
    notices: tuple[str, ...] = ()
    """What stayed in another language, and why."""


def models_for(language: str) -> tuple[str, ...]:
    """Translation models of the catalog for `language`, the best one first."""
    names = (f"{_PREFIX}{language}", _ALL)
    return tuple(name for name in names if name in MODELS)


def why_not_translated(brief: Brief, settings: Settings, others: Collection[str] = ()) -> str:
    """Why nobody can translate `brief`, and what to do; empty if somebody can, or nobody must.

    `others` are models that are installed on the GPU host, if that is another machine. A service on
    another machine gets the words as they are if nobody translates them: it may know the language.
    """
    if brief.language == AS_WRITTEN or (brief.preset != AUTO and _is_remote(brief)):
        return ""
    foreign = foreign_texts(brief)
    known = decided(brief, foreign)
    needed = [item for item in foreign if not item.may_stay and item.field not in known]
    if not needed or (is_enhanced(brief) and getattr(settings.llm, "file", None)):
        return ""  # the run asks the operator's own language model what it can do
    installed = {*installed_names(settings.paths.models), *others}
    if is_enhanced(brief) and any(name in installed for name in _writers(brief)):
        return ""
    for language in dict.fromkeys(item.language for item in needed):
        names = models_for(language)
        if not installed.intersection(names):
            return (
                f"the brief has words in {NAMES[language]}, which nobody here can translate into "
                f"English; the operator can install a translator (reelwright models download "
                f"{names[0]}), you can write in English, or set the language to '{AS_WRITTEN}' to "
                "go on with your own words"
            )
    return ""


def require_translator(brief: Brief, settings: Settings) -> None:
    """Raises BriefError if this machine is to make `brief` and nobody here can translate it."""
    if reason := why_not_translated(brief, settings):
        raise BriefError(reason)


def translate_brief(brief: Brief, context: Surroundings, writer: object) -> InEnglish:
    """`brief` in English, with the record of its translation; as it is if it is in English already.

    `writer` is the language model of the run, or None. A text that was translated before is found
    in the bucket, and one that a person reviewed stays as it was then. Raises BriefError if nobody
    can translate a text that the brief needs or the translation fails its checks, WeightsError if a
    translation model is damaged, and StoreError if the store fails.
    """
    foreign = foreign_texts(brief)
    known = decided(brief, foreign)
    done: dict[str, Translated] = {}
    notices = [
        _as_approved(item)
        for item in foreign
        if item.field in known and known[item.field].is_as_written
    ]
    undecided = [item for item in foreign if item.field not in known]
    for language in dict.fromkeys(item.language for item in undecided):
        items = [item for item in undecided if item.language == language]
        shelf = TranslationShelf([*_translators(language, context.settings, writer)], context.store)
        needed = [item for item in items if not item.may_stay]
        if needed and not shelf.translators and _is_remote(brief):
            _log.info("%s is left as it was written for %s", NAMES[language], brief.backend.title)
        elif needed:
            done |= _translated(needed, shelf)
        added, left = _as_far_as_possible([item for item in items if item.may_stay], shelf)
        done |= added
        notices += left
    approved = {field: item for field, item in known.items() if not item.is_as_written}
    texts = {field: item.english for field, item in approved.items()}
    texts |= texts_of(brief, foreign, {field: item.english for field, item in done.items()})
    translators = {field: item.translator for field, item in (approved | done).items()}
    english = in_english(brief, texts) if texts else brief
    return InEnglish(english, record_of(brief, english, foreign, translators), tuple(notices))


def _translated(items: Sequence[ForeignText], shelf: TranslationShelf) -> dict[str, Translated]:
    """All of `items`, which the brief needs. Raises BriefError."""
    language = items[0].language
    if not shelf.translators:
        raise refused(language, "there is no translator")
    found = shelf.found(items)
    made = _made([item for item in items if item.field not in found], shelf)
    for result in made.values():
        if result.fault:
            raise refused(language, result.fault)
    return found | made


def _as_far_as_possible(
    items: Sequence[ForeignText], shelf: TranslationShelf
) -> tuple[dict[str, Translated], list[str]]:
    """Those of `items` that can be translated, and a sentence about each of the others."""
    if not shelf.translators:
        return {}, [_why_left(item) for item in items]
    # Each by itself: they change on the approval page, one at a time.
    found = {field: text for item in items for field, text in shelf.found([item]).items()}
    made = _made([item for item in items if item.field not in found], shelf)
    done: dict[str, Translated] = {}
    notices: list[str] = []
    for item in items:
        result = (found | made)[item.field]
        if fault := result.fault or item.fault_of_length(result.english):
            notices.append(_why_left(item, fault))
        else:
            done[item.field] = result
    return done, notices


def _made(items: Sequence[ForeignText], shelf: TranslationShelf) -> dict[str, Translated]:
    if not items:
        return {}
    report(Progress("enhance", 0, 1, f"translating from {NAMES[items[0].language]}"))
    return shelf.made(items)


def _as_approved(item: ForeignText) -> str:
    """The notice about a text that was approved as it is written."""
    return (
        f"{title_of(item.field)}: the text was approved as it is written in "
        f"{NAMES[item.language]}, so it is not translated; write it in English to change it"
    )


def _why_left(item: ForeignText, fault: str = "") -> str:
    """The notice about a text that stays as it is written."""
    title, language = title_of(item.field), NAMES[item.language]
    if fault:
        return (
            f"the translation of {title} from {language} cannot be used ({fault}), so the text is "
            "used as it is written: write it in English or in other words"
        )
    return (
        f"nobody here can translate {title} from {language}, so the text is used as it is written: "
        "write it in English, or the operator can install a translator (reelwright models download "
        f"{models_for(item.language)[0]})"
    )


def _translators(language: str, settings: Settings, writer: object) -> Iterator[Translator]:
    """Who can translate `language` here, in the order in which they are asked."""
    models = settings.paths.models
    installed = installed_names(models)
    for name in models_for(language):
        if name in installed:
            folder = installed_model(models, name)
            revision = digest_of(dict(folder.components))[:12]
            yield MarianTranslator(
                folder.path,
                f"{folder.title}@{revision}",
                threads=settings.llm.threads,
                timeout=settings.llm.translate_timeout,
            )
    if can_translate(writer):
        yield InstructTranslator(writer)


def _writers(brief: Brief) -> list[str]:
    """Language models that follow instructions, among those that may write its shots."""
    sets = MODEL_SETS.values() if brief.preset == AUTO else [MODEL_SETS[brief.backend.model_set]]
    entries = ((item.enhancer, MODELS[item.enhancer].enhancer) for item in sets)
    return [name for name, entry in entries if entry and entry.prompt == "instruct"]


def _is_remote(brief: Brief) -> bool:
    return brief.backend.capabilities.location == "remote"
