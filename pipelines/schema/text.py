"""Cleans text from people: Unicode normal form, no control characters, no control tokens."""

import re
import unicodedata

_CONTROL_TOKENS = re.compile(
    r"\[/?INST\]|</?s>|<<?/?SYS>>?|<\|[^|>]{0,64}\|>|<(?:start|end)_of_turn>|<(?:pad|unk|bos|eos)>"
    r"|<extra_id_\d+>",
    re.IGNORECASE,
)


def clean_text(text: str, field: str, limit: int) -> str:
    """`text` in NFC, with newlines and tabs as spaces.

    Raises ValueError if it is longer than `limit`, or has a control character or half a surrogate
    pair.
    """
    if len(text) > limit:
        raise ValueError(
            f"the {field} is {len(text):,} characters long; at most {limit:,} are read: shorten it"
        )
    for position, character in enumerate(text, start=1):
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and character not in "\n\r\t"):
            kind = "half a character" if category == "Cs" else "the control character"
            raise ValueError(
                f"the {field} has {kind} (U+{ord(character):04X}) at position {position}; "
                "only plain text can be read: remove it"
            )
    return " ".join(unicodedata.normalize("NFC", text).split())


def without_control_tokens(text: str) -> str:
    """`text` without what Mistral, Gemma or UMT5 would read as a control token.

    Removal repeats until nothing is left to remove: `<<s>s>` must not become `<s>`.
    """
    while True:
        stripped = _CONTROL_TOKENS.sub(" ", text)
        if stripped == text:
            return " ".join(text.split())
        text = stripped
