"""What a review of a storyboard decides about words in another language.

A person approves words that he sees. So the film has the translation that the draft had, and what
the draft left as it was written stays so, whoever can translate when the film is made. The brief
carries these decisions, as it is what another process or a later attempt gets.
"""

import re

from pipelines.documents.brief import Brief
from pipelines.documents.draft import Draft
from pipelines.language.brief_texts import PROMPT, ForeignText, foreign_texts, text_of
from pipelines.language.detect import QUOTED
from pipelines.planning.edits import entries_of
from pipelines.schema.phrases import with_phrases
from pipelines.schema.reviewed import Part, ReviewedText

KEPT_WORDS = 0.5
"""Share of the English words of a drafted shot. Words of a shot that have as many are that shot
with something added, and show it also if nobody can translate what was added."""
_ENGLISH_WORD = re.compile(r"(?<!\w)[A-Za-z]+(?!\w)")
_Key = tuple[Part, str]
"""Of `ForeignText.key`."""


def as_reviewed(brief: Brief, before: Brief, draft: Draft, *, approved: bool) -> Brief:
    """`brief`, which is `before` with a person's edits to its `draft`, with what was decided about
    words in another language.

    If it is not `approved` but drafted once more, words that stayed as they are written are
    translated as soon as somebody can, and stay again otherwise. Words that the draft did not have
    are undecided, too. They may stay if they are a drafted shot with something added.
    """
    plain = brief.model_copy(update={"reviewed": ()})
    translated, left = _translated(before, draft), _left(before, draft)
    shown, is_remote = _shown(draft, brief), brief.backend.capabilities.location == "remote"
    found: dict[_Key, ReviewedText] = {}
    for item in foreign_texts(plain):
        part, words = item.key
        if known := translated.get(item.key):
            found[item.key] = known
        elif item.key in left or (not part and text_of(plain, item.field) in shown):
            english = words if approved else ""
            # A remote service may know the language; another preset may not.
            for_service = is_remote and not part
            found[item.key] = ReviewedText(
                original=words, part=part, english=english, for_service=for_service
            )
        elif _is_of_a_shot(item) and _keeps_a_shot(words, draft):
            found[item.key] = ReviewedText(original=words)
    reviewed = tuple(item for item in found.values() if approved or not item.english)
    return brief.model_copy(update={"reviewed": reviewed})


def _translated(before: Brief, draft: Draft) -> dict[_Key, ReviewedText]:
    """What the draft has in English."""
    told = draft.translation
    if told is None:
        return {}
    others = {item.field: item for item in told.others}
    found: dict[_Key, ReviewedText] = {}
    for item in foreign_texts(before):
        other = others.get(item.field)
        if item.field == PROMPT and told.is_of_prompt:
            english, translator = told.english, told.translator
        elif other and other.original == item.written:
            english, translator = other.english, other.translator or told.translator
        else:
            continue
        found[item.key] = ReviewedText(
            original=item.written, part=item.key[0], english=english, translator=translator
        )
    return found


def _left(before: Brief, draft: Draft) -> set[_Key]:
    """What the draft has as it is written. Wishes are not left: they are granted in its words."""
    done = _translated(before, draft)
    return {
        item.key for item in foreign_texts(before) if item.key not in done and item.part != "wish"
    }


def _shown(draft: Draft, brief: Brief) -> set[str]:
    """The words of the drafted shots, with the looks that `brief` has on its sheet."""
    wanted = {entry.name: entry.appearance for entry in brief.sheet}
    swaps = {
        entry.appearance: wanted[entry.name]
        for entry in entries_of(draft.sheet)
        if wanted.get(entry.name, entry.appearance) != entry.appearance
    }
    return {with_phrases(shot.prompt, swaps) for shot in draft.shots}


def _is_of_a_shot(item: ForeignText) -> bool:
    return not item.part and item.field not in (PROMPT, "style", "negative")


def _keeps_a_shot(words: str, draft: Draft) -> bool:
    """Whether `words` have most of the English words of a drafted shot."""
    typed = _english_words(words)
    drafted = (_english_words(shot.prompt) for shot in draft.shots)
    return any(old and len(old & typed) >= KEPT_WORDS * len(old) for old in drafted)


def _english_words(text: str) -> set[str]:
    return {word.lower() for word in _ENGLISH_WORD.findall(QUOTED.sub(" ", text))}
