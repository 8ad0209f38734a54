"""A JSON schema as a grammar of llama.cpp (GBNF), under which a model can write nothing else.

llama_cpp has a converter too. It is not used, because of what it lets through (measured with
0.3.36): raw control characters in strings, which is no JSON; halves of surrogate pairs, which
cannot be encoded; numbers beyond `minimum` and `maximum`; strings of any length if they have a
`pattern`; objects without the fields that have a default.

What is written is what `json.dumps` writes, so there is one way to write each answer. An object has
all its properties, in the order of the schema. A string begins with no space, and lengths count
characters. Schemas as pydantic makes them can be used, within what `grammar_of` names.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_REPEATS = 2_000
"""Most characters of a string and items of a list; llama.cpp refuses more."""
MAX_INTEGERS = 1_000
"""Most values of an integer, which are written out."""
_PRINTABLE = ((0x20, 0x7E), (0xA0, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
"""Without control characters and surrogates."""
_QUOTE, _BACKSLASH, _SPACE = 0x22, 0x5C, 0x20
_PATTERN = re.compile(r"\^\[((?:[^\]\\]|\\.)+)\](?:([*+])|\{(\d+)(,?)(\d*)\})\$")
"""A pattern that names the characters of the whole string, such as `^[ -~]*$` or `^[a-z]{2,9}$`."""
_ITEM = re.compile(r"(?:\\.|[^\\])(?:-(?:\\.|[^\\]))?")
"""One character of a class, or a range of them."""
_LENGTHS = ("minLength", "maxLength")
_KNOWN_CLASSES = {"d": "0-9", "w": "a-zA-Z0-9_"}

Ranges = tuple[tuple[int, int], ...]
"""First and last code point of each range of characters."""
_Maker = Callable[[Mapping[str, Any], str], str]


def grammar_of(schema: Mapping[str, Any]) -> str:
    """The grammar of `schema`, whose start is `root`.

    `object` with `properties`; `array` with `items` and `maxItems`; `string` with `maxLength`, or a
    `pattern` such as `^[ -~]{20,80}$`, which names its characters and their number, or both;
    `integer` with `minimum` and `maximum`; `boolean`, `null`, `enum`, `const`, `anyOf`, and `$ref`
    into `$defs`.

    Raises ValueError for anything else, with where it stands in the schema and what to write.
    """
    rules = _Rules(schema)
    start = rules.add(schema, "the schema")
    # A model that was trained on SentencePiece begins an answer with a space.
    return "\n".join((f'root ::= " "? {start}', *rules.lines, ""))


class _Rules:
    """The rules of one grammar; the same rule stands there once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._definitions = schema.get("$defs", {})
        self._names: dict[str, str] = {}
        self._open: list[str] = []
        """References on the way to what is converted now."""

    @property
    def lines(self) -> list[str]:
        return [f"{name} ::= {body}" for body, name in self._names.items()]

    def _name(self, body: str) -> str:
        return self._names.setdefault(body, f"r{len(self._names)}")

    def add(self, schema: Mapping[str, Any], where: str) -> str:
        """Name of the rule for `schema`, which stands at `where`."""
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]), where)
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return self._one_of(values, where)
        if "anyOf" in schema:
            return self._name(" | ".join(self.add(item, where) for item in schema["anyOf"]))
        makers: dict[str, _Maker] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "boolean": lambda _, at: self._one_of([True, False], at),
            "null": lambda _, at: self._one_of([None], at),
        }
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in makers:
            raise ValueError(
                f"{where} is of type {kind!r}, for which there is no grammar; use one of "
                f"{', '.join(makers)}, enum, const, anyOf or $ref"
            )
        return makers[kind](schema, where)

    def _referred(self, reference: str, where: str) -> str:
        name = reference.removeprefix("#/$defs/")
        if name not in self._definitions:
            raise ValueError(f"{where} refers to {reference!r}; $defs has no such name")
        if name in self._open:
            raise ValueError(f"{where} contains itself ({reference}); give it a bounded depth")
        self._open.append(name)
        rule = self.add(self._definitions[name], f"{where} ({name})")
        self._open.pop()
        return rule

    def _one_of(self, values: list[Any], where: str) -> str:
        if not values:
            raise ValueError(f"{where} allows no value; name at least one")
        texts = (json.dumps(value, ensure_ascii=False) for value in values)
        return self._name(" | ".join(map(_literal, texts)))

    def _object(self, schema: Mapping[str, Any], where: str) -> str:
        properties = schema.get("properties")
        if not properties:
            raise ValueError(f"{where} is an object without properties; name them")
        parts = []
        for number, (name, inner) in enumerate(properties.items()):
            key = json.dumps(name, ensure_ascii=False)
            begin = f"{', ' if number else '{'}{key}: "
            parts.append(f"{_literal(begin)} {self.add(inner, f'{where}.{name}')}")
        return self._name(" ".join((*parts, _literal("}"))))

    def _array(self, schema: Mapping[str, Any], where: str) -> str:
        low, high = _bounds(schema, "minItems", "maxItems", where)
        if "items" not in schema:
            raise ValueError(f"{where} is a list without items; say of what")
        if high == 0:
            return self._name(_literal("[]"))
        item = self.add(schema["items"], f"{where}[]")
        more = f"({_literal(', ')} {item}){{{max(low - 1, 0)},{high - 1}}}" if high > 1 else ""
        filled = f"{item} {more}".rstrip()
        inner = filled if low else f"({filled})?"
        return self._name(f"{_literal('[')} {inner} {_literal(']')}")

    def _string(self, schema: Mapping[str, Any], where: str) -> str:
        allowed, counted = _pattern_of(schema, where)
        low, high = _bounds(_narrowed(counted, schema), *_LENGTHS, where)
        if high == 0:
            return self._name(_literal('""'))
        first = self._character(_without(allowed, _SPACE), where)
        more = f"{self._character(allowed, where)}{{{max(low - 1, 0)},{high - 1}}}"
        filled = f"{first} {more}" if high > 1 else first
        quote = _literal('"')
        return self._name(f"{quote} {filled if low else f'({filled})?'} {quote}")

    def _character(self, allowed: Ranges, where: str) -> str:
        """The rule for one character; a quote is written behind a backslash."""
        plain = _without(_without(allowed, _QUOTE), _BACKSLASH)
        if not plain:
            raise ValueError(f"{where} allows no character; widen its pattern")
        marks = "".join(f"{_escaped(low)}-{_escaped(high)}" for low, high in plain)
        quoted = f" | {_literal(chr(_BACKSLASH) + chr(_QUOTE))}"
        has_quote = any(low <= _QUOTE <= high for low, high in allowed)
        return self._name(f"[{marks}]{quoted if has_quote else ''}")

    def _integer(self, schema: Mapping[str, Any], where: str) -> str:
        if "minimum" not in schema or "maximum" not in schema:
            raise ValueError(f"{where} is an integer without bounds; give minimum and maximum")
        low, high = int(schema["minimum"]), int(schema["maximum"])
        if not low <= high < low + MAX_INTEGERS:
            raise ValueError(
                f"{where} has the values {low} to {high}; at most {MAX_INTEGERS} can be written out"
            )
        return self._one_of(list(range(low, high + 1)), where)


def _bounds(schema: Mapping[str, Any], least: str, most: str, where: str) -> tuple[int, int]:
    low, high = schema.get(least, 0), schema.get(most)
    if high is None:
        raise ValueError(f"{where} has no {most}; give it one, or the answer may never end")
    if not 0 <= low <= high <= MAX_REPEATS:
        raise ValueError(
            f"{where} has {least} {low} and {most} {high}; they must rise from 0 to {MAX_REPEATS}"
        )
    return low, high


def _pattern_of(schema: Mapping[str, Any], where: str) -> tuple[Ranges, Mapping[str, int]]:
    """What the pattern of a string allows: the characters, as far as they can be printed, and their
    number as `minLength` and `maxLength`."""
    pattern = schema.get("pattern")
    if pattern is None:
        return _PRINTABLE, {}
    match = _PATTERN.fullmatch(pattern)
    if match is None or match[1].startswith("^"):
        raise ValueError(
            f"{where} has the pattern {pattern!r}; only one that lists the characters of the whole "
            "string can be used, such as '^[ -~]{20,80}$'"
        )
    named = [_pair(item) for item in _ITEM.findall(_opened(match[1]))]
    cut = [(max(low, least), min(high, most)) for low, high in named for least, most in _PRINTABLE]
    _, sign, low, comma, high = match.groups()
    counted = {"minLength": int(low or sign == "+")}
    if not sign and (high or not comma):
        counted["maxLength"] = int(high or low)
    return tuple((low, high) for low, high in cut if low <= high), counted


def _narrowed(counted: Mapping[str, int], schema: Mapping[str, Any]) -> dict[str, int]:
    """The lengths of `schema`, where they are narrower than those `counted` in its pattern."""
    least, most = _LENGTHS
    narrowed = {least: max(schema.get(least, 0), counted.get(least, 0))}
    highest = [item[most] for item in (schema, counted) if most in item]
    return {**narrowed, most: min(highest)} if highest else narrowed


def _opened(characters: str) -> str:
    """The characters of a class, with the ranges that stand for `\\d` and `\\w`."""
    return re.sub(r"\\([dw])", lambda found: _KNOWN_CLASSES[found[1]], characters)


def _pair(item: str) -> tuple[int, int]:
    """First and last code point of `a-z`, or of one character."""
    marks = [found[-1] for found in re.findall(r"\\.|[^\\]", item)]
    return ord(marks[0]), ord(marks[-1])


def _without(ranges: Ranges, code: int) -> Ranges:
    pieces: list[tuple[int, int]] = []
    for low, high in ranges:
        if low <= code <= high:
            pieces += [(low, code - 1), (code + 1, high)]
        else:
            pieces.append((low, high))
    return tuple((low, high) for low, high in pieces if low <= high)


def _escaped(code: int) -> str:
    """A character inside brackets."""
    return f"\\U{code:08X}"


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
