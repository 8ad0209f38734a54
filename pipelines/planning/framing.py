"""Size, camera and style of a shot in its words: the words alone reach the video model."""

import re

from pipelines.schema.phrases import capital
from pipelines.schema.text import without_control_tokens

SHOT_SIZES = (
    "extreme wide shot",
    "wide shot",
    "full shot",
    "medium shot",
    "medium close-up",
    "close-up",
    "extreme close-up",
)
"""From the widest to the closest."""
SIZES = (*SHOT_SIZES, "low-angle shot", "high-angle shot")
"""Suggestions; any words may be used. Wan's prompt guide uses these terms."""
CAMERA_MOVES = (
    "static camera",
    "slow pan left",
    "slow pan right",
    "tilt up",
    "tilt down",
    "slow push in",
    "slow pull back",
    "slow tracking shot",
    "handheld camera",
    "crane up",
    "orbit",
)


def reframed(words: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """`words` with the size and the camera of `new` in place of those of `old`.

    An empty string in `new` changes nothing. A phrase that the words do not have is put before
    them.
    """
    before: list[str] = []
    for was, wanted in zip(old, new, strict=True):
        found = _find(was, words)
        if not wanted or _find(wanted, words):
            continue
        if found and was.casefold() != wanted.casefold():
            phrase = capital(wanted) if found.group()[0].isupper() else wanted
            words = words[: found.start()] + phrase + words[found.end() :]
        else:
            before.append(wanted)
    return f"{capital(', '.join(before))}: {words}" if before else words


def with_style(words: str, style: str) -> str:
    """`words` with the brief's `style` behind them, as the video model reads them."""
    return f"{words.rstrip('.')}. {without_control_tokens(style)}" if style else words


def unstyled(words: str, style: str) -> str:
    """`words` without the brief's `style`, which is added to what an editor writes."""
    return words.removesuffix(f". {without_control_tokens(style)}") if style else words


def _find(phrase: str, words: str) -> re.Match[str] | None:
    """Where `phrase` stands in `words` as whole words."""
    if not phrase:
        return None
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", words, re.IGNORECASE)
