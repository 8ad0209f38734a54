"""The template language of briefs, in the calendar's entries and in the webhooks' sources.

In the texts of a brief, `{expression}` is replaced by a value of the data: the body of a webhook,
or name, item, date and time of an occurrence. The expression is JMESPath (jmespath.org), which
reads data and cannot reach into Python objects. `{expression:format}` formats the value as Python's
`format` does: `{date:%A}`, `{price:.2f}`. A literal brace is written twice: `{{`, `}}`.

A text that is one expression without a format keeps the type of a JSON value, so that
`seconds: "{product.seconds}"` is a number. Within a longer text, null becomes an empty text.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from pipelines.errors import BriefError

_WIDE = re.compile(r"\d{3}")
"""With a width or precision of three digits, a short template could make a text of megabytes; so
could strftime's formats."""
_JSON = (str, int, float, bool, list, dict, type(None))
_QUOTES, _OPENING, _CLOSING = "'\"`", "[(", "])"


@dataclass(frozen=True)
class Expression:
    """The expression between two braces."""

    source: str
    form: str
    compiled: Any
    """jmespath's ParsedResult."""

    def value(self, data: Any) -> Any:
        """The value in `data`, formatted if there is a format.

        Raises BriefError if the value does not suit the format or the function.
        """
        try:
            found = self.compiled.search(data)
            if not self.form:
                return found if isinstance(found, _JSON) else str(found)
            return "" if found is None else format(found, self.form)
        except (JMESPathError, ValueError, TypeError) as error:
            words = f"{{{self.source}{':' if self.form else ''}{self.form}}}"
            raise BriefError(f"{words:.60} does not suit the data: {error}") from error


Piece = str | Expression


def check(value: Any, names: Collection[str] = ()) -> None:
    """Parse every text in `value`, which consists of mappings, lists and plain values.

    If `names` are given, no other expressions are allowed. Raises BriefError, which names the text,
    if a brace is not closed, an expression is invalid or not allowed, or a width is too large.
    """
    _map_texts(value, lambda text: parse(text, names))


def fill(value: Any, data: Any, names: Collection[str] = ()) -> Any:
    """A copy of `value` in which the expressions of all texts are replaced.

    Raises BriefError as `check` does, and if a value does not suit its format or function.
    """
    return _map_texts(value, lambda text: _filled(parse(text, names), data))


def parse(text: str, names: Collection[str] = ()) -> list[Piece]:
    """The literal parts and expressions of `text`, in order. Raises BriefError as `check` does."""
    pieces: list[Piece] = []
    rest = text
    while "{" in rest:
        literal, _, rest = rest.partition("{")
        pieces.append(literal.replace("}}", "}"))
        if rest.startswith("{"):
            pieces.append("{")
            rest = rest[1:]
            continue
        inside, closed, rest = rest.partition("}")
        if not closed:
            raise BriefError(
                f"{text!r:.60}: a brace is not closed; write a brace of the text's own twice"
            )
        pieces.append(_expression(text, inside, names))
    pieces.append(rest.replace("}}", "}"))
    return [piece for piece in pieces if piece != ""]


def _expression(text: str, inside: str, names: Collection[str]) -> Expression:
    source, form = _split(inside)
    if _WIDE.search(form):
        raise BriefError(f"{{{inside}}} is too wide; write a width below 100")
    if "{" in form or (names and source not in names):
        known = ", ".join(f"{{{name}}}" for name in names) or "{expression:format}"
        raise BriefError(f"{{{source}}} is unknown; use {known}")
    try:
        return Expression(source, form, jmespath.compile(source))
    except JMESPathError as error:
        raise BriefError(f"{text!r:.60}: {source!r} is no JMESPath: {error}") from error


def _split(inside: str) -> tuple[str, str]:
    """Split into expression and format, at the first colon outside of quotes and brackets. Inside
    of them, JMESPath uses colons for literals and slices."""
    quote, depth, position = "", 0, 0
    while position < len(inside):
        character = inside[position]
        if character == "\\" and quote:
            position += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character == ":" and depth == 0:
            return inside[:position], inside[position + 1 :]
        else:
            depth += (character in _OPENING) - (character in _CLOSING)
        position += 1
    return inside, ""


def _filled(pieces: list[Piece], data: Any) -> Any:
    values = [piece.value(data) if isinstance(piece, Expression) else piece for piece in pieces]
    if len(values) == 1:
        return values[0]
    return "".join("" if value is None else str(value) for value in values)


def _map_texts(value: Any, change: Callable[[str], Any]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_texts(item, change) for item in value]
    return value
