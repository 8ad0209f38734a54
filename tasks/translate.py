"""Translation of a brief into English: who can do it here, and the brief with English words.

A translation model of the catalog goes before the language model: somebody installed it for this,
and Mistral 7B knows little Thai. A base model such as Gemma 270M never translates: it made "left"
of "right" and "dog" of "fox".
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from pydantic import BaseModel, ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS, MODELS
from infra.adapters.weights.library import installed_model, installed_names
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError, CorruptObjectError
from pipelines.language.brief_texts import ForeignText, foreign_texts, in_english, record_of
from pipelines.language.marian import MarianTranslator
from pipelines.language.translator import (
    InstructTranslator,
    Translator,
    can_translate,
    translated,
)
from pipelines.planning.plan import is_enhanced
from pipelines.progress import Progress
from pipelines.schema.keys import ObjectKey
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.plan import digest_of
from pipelines.schema.presets import AUTO
from pipelines.schema.storyboard import Translation, translation_digest
from tasks.progress import report

_PREFIX, _ALL = "translator-", "translator-mul"
"""Names of translation models in the catalog, and the one for languages without a model of their
own."""
_log = logging.getLogger("reelwright.translate")


class Surroundings(Protocol):
    """What a translation needs of a run."""

    settings: Settings

    @property
    def store(self) -> ObjectStore: ...


class _Kept(BaseModel):
    """A translation in the bucket."""

    original: str
    english: str


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
    if not foreign or (is_enhanced(brief) and getattr(settings.llm, "file", None)):
        return ""  # the run asks the operator's own language model what it can do
    installed = {*installed_names(settings.paths.models), *others}
    if is_enhanced(brief) and any(name in installed for name in _writers(brief)):
        return ""
    for language in dict.fromkeys(item.language for item in foreign):
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


def translate_brief(
    brief: Brief, context: Surroundings, writer: object
) -> tuple[Brief, Translation | None]:
    """`brief` in English, and the record of its translation; as it is if it is in English already.

    `writer` is the language model of the run, or None. A text that was translated before is found
    in the bucket. Raises BriefError if nobody can translate it or the translation fails its checks,
    WeightsError if a translation model is damaged, and StoreError if the store fails.
    """
    foreign = foreign_texts(brief)
    if not foreign:
        return brief, None
    texts: dict[str, str] = {}
    name = ""
    for language in dict.fromkeys(item.language for item in foreign):
        items = [item for item in foreign if item.language == language]
        translators = [*_translators(language, context.settings, writer)]
        if not translators and _is_remote(brief):
            _log.info("%s is left as it was written for %s", NAMES[language], brief.backend.title)
            continue
        report(Progress("enhance", 0, 1, f"translating from {NAMES[language]}"))
        found, own = _found(items, translators, context.store) or _made(
            items, translators, context.store
        )
        texts |= found
        name = name or own
    if not texts:
        return brief, None
    done = [item for item in foreign if item.field in texts]
    return in_english(brief, texts), record_of(brief, done, texts, name)


def _found(
    items: Sequence[ForeignText], translators: Sequence[Translator], store: ObjectStore
) -> tuple[dict[str, str], str] | None:
    """What one of `translators` made of all `items` before."""
    for translator in translators:
        texts = {item.field: _read(item, translator.name, store) for item in items}
        found = {field: text for field, text in texts.items() if text is not None}
        if len(found) == len(texts):
            return found, translator.name
    return None


def _made(
    items: Sequence[ForeignText], translators: Sequence[Translator], store: ObjectStore
) -> tuple[dict[str, str], str]:
    """Translates `items` and keeps them. Raises BriefError if that cannot be used."""
    made = translated([item.text for item in items], items[0].language, translators)
    for item, english in zip(items, made.texts, strict=True):
        key = ObjectKey.shot(translation_digest(made.translator, item.language, item.text))
        kept = _Kept(original=item.text, english=english)
        store.put_bytes(key, kept.model_dump_json().encode(), "application/json")
    return dict(zip((item.field for item in items), made.texts, strict=True)), made.translator


def _read(item: ForeignText, translator: str, store: ObjectStore) -> str | None:
    key = ObjectKey.shot(translation_digest(translator, item.language, item.text))
    try:
        data = store.get_bytes(key)
        return _Kept.model_validate_json(data).english if data else None
    except (CorruptObjectError, ValidationError) as error:
        _log.warning("%s is translated again: %s", item.field, error)
        return None


def _translators(language: str, settings: Settings, writer: object) -> Iterator[Translator]:
    """Who can translate `language` here, in the order in which they are asked."""
    models = settings.paths.models
    installed = installed_names(models)
    for name in models_for(language):
        if name in installed:
            folder = installed_model(models, name)
            revision = digest_of(dict(folder.components))[:12]
            yield MarianTranslator(
                folder.path, f"{folder.title}@{revision}", threads=settings.llm.threads
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
