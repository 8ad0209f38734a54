"""Texts that the video model would cut: counted with its own tokenizer, before any model loads."""

import logging
from collections.abc import Iterable, Iterator

from pipelines.backends.texts import TokenCounter, counter_of
from pipelines.documents.brief import Brief
from pipelines.errors import WeightsError
from pipelines.planning.plan import negative_of
from pipelines.schema.storyboard import Shot, Storyboard
from tasks.context import RunContext

_log = logging.getLogger("reelwright.texts")


def token_counter(context: RunContext) -> TokenCounter | None:
    """Counts the tokens of the texts of this run's backend; None if it has no limit.

    The tokens are estimated in a run without a device, and if the model is not installed.
    """
    limit = context.backend.definition.text
    if limit is None:
        return None
    try:
        folder = context.host.model(limit.model).path if context.host else None
    except WeightsError as error:
        _log.warning("the tokens of texts are estimated: %s", error)
        folder = None
    return counter_of(limit, folder)


def with_cut_texts(storyboard: Storyboard, brief: Brief, context: RunContext) -> Storyboard:
    """`storyboard` with a warning for each text of which the video model does not read the end.

    It is a warning and not an error: such briefs made videos before, most of what they say is
    read, and a person sees the warning on the page of the run and beside the drafted shots.
    """
    counter = token_counter(context)
    notices = tuple(_notices(storyboard.shots, negative_of(brief), counter)) if counter else ()
    if not notices:
        return storyboard
    for notice in notices:
        _log.warning(notice)
    return storyboard.model_copy(update={"notices": (*storyboard.notices, *notices)})


def _notices(shots: Iterable[Shot], negative: str, counter: TokenCounter) -> Iterator[str]:
    numbers: dict[str, list[int]] = {}
    for shot in shots:
        numbers.setdefault(shot.prompt, []).append(shot.number)
    for text, shown in numbers.items():
        if excess := counter.excess(text):
            name = "shot" if len(shown) == 1 else "shots"
            yield (
                f"{name} {', '.join(map(str, shown))}: the words and the style are {excess}; "
                "their end is not shown: shorten them"
            )
    if excess := counter.excess(negative):
        yield f"the negative words are {excess}; their end does not count: shorten them"
