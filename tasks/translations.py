"""Translations of single texts that the bucket keeps: each text is translated once by a model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.errors import CorruptObjectError
from pipelines.language.brief_texts import ForeignText
from pipelines.language.translator import Translated, Translator, translated
from pipelines.schema.keys import ObjectKey
from pipelines.schema.translation import translation_digest

_log = logging.getLogger("reelwright.translate")


class _Kept(BaseModel):
    """A translation in the bucket."""

    original: str
    english: str


@dataclass(frozen=True)
class TranslationShelf:
    """What the `translators` of one language made of texts before, and make of new ones.

    Its methods raise StoreError if the store fails, and WeightsError if a translation model is
    damaged.
    """

    translators: Sequence[Translator]
    store: ObjectStore

    def found(self, items: Sequence[ForeignText]) -> dict[str, Translated]:
        """Those of `items` that are in the bucket, by their fields.

        A translator that has translated all of them goes before a better one that has not: the
        brief keeps the words that its chunks were made of when another model is installed.
        """
        results: dict[str, Translated] = {}
        for translator in self.translators:
            texts = {item.field: self._read(item, translator.name) for item in items}
            known = {
                field: Translated(text, translator.name)
                for field, text in texts.items()
                if text is not None
            }
            if len(known) == len(items):
                return known
            results = known | results
        return results

    def made(self, items: Sequence[ForeignText]) -> dict[str, Translated]:
        """Translates `items` and keeps what passes the checks, also if another text fails them.
        Equal texts are translated once."""
        texts = list(dict.fromkeys(item.text for item in items))
        if not texts:
            return {}
        made = translated(texts, items[0].language, self.translators)
        results = dict(zip(texts, made, strict=True))
        for text, result in results.items():
            if not result.fault:
                digest = translation_digest(result.translator, items[0].language, text)
                kept = _Kept(original=text, english=result.english).model_dump_json()
                self.store.put_bytes(ObjectKey.shot(digest), kept.encode(), "application/json")
        return {item.field: results[item.text] for item in items}

    def _read(self, item: ForeignText, translator: str) -> str | None:
        key = ObjectKey.shot(translation_digest(translator, item.language, item.text))
        try:
            data = self.store.get_bytes(key)
            return _Kept.model_validate_json(data).english if data else None
        except (CorruptObjectError, ValidationError) as error:
            _log.warning("%s is translated again: %s", item.field, error)
            return None
