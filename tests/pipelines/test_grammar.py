"""A schema becomes a grammar under which only answers that fit it can be written."""

import re
from typing import Any

import pytest

from pipelines.prompting.grammar import MAX_REPEATS, grammar_of


def text(**limits: object) -> dict[str, object]:
    return {"type": "string", **limits}


def allowed(schema: dict[str, Any]) -> re.Pattern[str]:
    """The grammar as a regular expression. It has no recursion, so each rule can be written out."""
    rules = dict(line.split(" ::= ", 1) for line in grammar_of(schema).splitlines())
    return re.compile(_expression(rules, rules["root"]))


def _expression(rules: dict[str, str], body: str) -> str:
    pieces = re.findall(r'"(?:\\.|[^"\\])*"|\[[^\]]*\]|r\d+|\{\d+,\d+\}|[()|?]', body)
    made = []
    for piece in pieces:
        if piece.startswith('"'):
            literal = piece[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            made.append(f"(?:{re.escape(literal)})")
        elif piece in rules:
            made.append(f"(?:{_expression(rules, rules[piece])})")
        else:
            made.append("(?:" if piece == "(" else piece)
    return "".join(made)


SHOT = {
    "type": "object",
    "properties": {
        "size": {"enum": ["wide shot", 'the "hero" shot']},
        "action": text(minLength=3, maxLength=6),
        "shows": {"type": "array", "items": {"$ref": "#/$defs/Name"}, "maxItems": 2},
        "seconds": {"type": "integer", "minimum": 1, "maximum": 3},
        "night": {"type": "boolean"},
        "wish": {"anyOf": [text(maxLength=2), {"type": "null"}]},
    },
    "$defs": {"Name": text(pattern="^[a-z]{1,4}$")},
}


@pytest.mark.parametrize(
    "answer",
    [
        '{"size": "wide shot", "action": "runs", "shows": ["fox", "hen"], "seconds": 2, '
        '"night": true, "wish": null}',
        '{"size": "the \\"hero\\" shot", "action": "r\\"ns é", "shows": [], "seconds": 3, '
        '"night": false, "wish": ""}',
    ],
    ids=["plain", "with quotes"],
)
def test_an_answer_that_fits_can_be_written(answer: str) -> None:
    assert allowed(SHOT).fullmatch(answer)


WHOLE = (
    '{"size": "wide shot", "action": "runs", "shows": ["fox"], "seconds": 2, '
    '"night": true, "wish": "ok"}'
)


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ('"wide shot"', '"wide"'),  # none of the enum
        ("runs", "ru"),  # too short
        ("runs", "runsfar"),  # too long
        ("runs", " runs"),  # begins with a space
        ("runs", "ru\nns"),  # a control character
        ("runs", "ru\\nns"),  # written as an escape
        ("runs", "r\\u0000"),
        ("runs", "run\\"),  # the string would go on
        ("runs", "\ud83drun"),  # half of a surrogate pair
        ("fox", "Fox"),  # beyond the pattern
        ('["fox"]', '["fox", "hen", "cat"]'),  # too many
        ("2,", "4,"),
        (', "night": true', ""),  # left out
        ('"wish": "ok"}', '"wish": "ok", "more": 1}'),
        ('"wish": "ok"}', '"wish": "ok"} and so on'),
    ],
)
def test_an_answer_that_does_not_fit_cannot(part: str, other: str) -> None:
    assert allowed(SHOT).fullmatch(WHOLE)
    assert part in WHOLE
    assert not allowed(SHOT).fullmatch(WHOLE.replace(part, other))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (text(pattern="^[a-c]*$", maxLength=3), ["", "abc"], ["abca", "d"]),
        (text(pattern="^[a-c]+$", maxLength=3), ["a"], [""]),
        (text(pattern="^[a-c]{2,4}$"), ["ab", "abca"], ["a", "abcab"]),
        (text(pattern="^[a-c]{2,}$", maxLength=3), ["ab"], ["a", "abca"]),
        (text(pattern="^[a-c]{2}$"), ["ab"], ["a", "abc"]),
        (text(pattern="^[a-c]{1,9}$", minLength=2, maxLength=3), ["ab"], ["a", "abca"]),
        (text(pattern=r"^[\d .,'-]{1,9}$"), ["1 2.,'-"], ["a"]),
        (text(pattern=r"^[\w\]\-]{1,9}$"), ["a_]-"], [" ", "\\"]),
        (text(pattern="^[ -~]{1,9}$"), ["a~b"], ["é", '"', "\\"]),
    ],
)
def test_a_pattern_lists_the_characters(
    schema: dict[str, object], good: list[str], bad: list[str]
) -> None:
    expression = allowed(schema)
    assert all(expression.fullmatch(f'"{answer}"') for answer in good)
    assert not any(expression.fullmatch(f'"{answer}"') for answer in bad)


def test_a_list_has_exactly_as_many_items_as_the_schema_says() -> None:
    expression = allowed(
        {"type": "array", "items": text(maxLength=1), "minItems": 3, "maxItems": 3}
    )
    assert expression.fullmatch('["a", "b", "c"]')
    assert not expression.fullmatch('["a", "b"]')
    assert not expression.fullmatch('["a", "b", "c", "d"]')


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        (text(), "the schema has no maxLength"),
        (text(pattern="^[a-z]*$"), "the schema has no maxLength"),
        (text(maxLength=MAX_REPEATS + 1), f"they must rise from 0 to {MAX_REPEATS}"),
        (text(minLength=3, maxLength=2), "must rise"),
        (text(pattern="^a|b$", maxLength=2), "only one that lists the characters"),
        (text(pattern="^[^a]*$", maxLength=2), "only one that lists the characters"),
        (text(pattern='^["]*$', maxLength=2), "allows no character"),
        ({"type": "array", "items": text(maxLength=1)}, "has no maxItems"),
        ({"type": "array", "maxItems": 2}, "a list without items"),
        ({"type": "object"}, "without properties"),
        ({"type": "object", "properties": {"a": {"type": "number"}}}, r"the schema\.a is of type"),
        ({"type": "integer", "minimum": 1}, "without bounds"),
        ({"type": "integer", "minimum": 1, "maximum": 10**9}, "can be written out"),
        ({"enum": []}, "allows no value"),
        ({"$ref": "#/$defs/A"}, "no such name"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/A"}}},
            },
            "contains itself",
        ),
        ({}, "is of type None"),
    ],
)
def test_a_schema_without_a_bounded_grammar_is_refused(schema: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        grammar_of(schema)
