"""One template language fills the briefs of webhooks and of the calendar."""

from datetime import date, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BriefError
from pipelines.templates import check, fill

DATA = {
    "name": "morning",
    "date": date(2027, 5, 1),
    "time": time(7, 30),
    "product": {"title": "a ball", "seconds": 2, "price": 9.5, "tags": ["red", "big"], "a:b": 1},
    "nothing": None,
}
NAMES = ("name", "item", "date", "time")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{product.title} moves", "a ball moves"),
        ("{product.seconds}", 2),
        ("for {product.seconds} s", "for 2 s"),
        ("{product.tags}", ["red", "big"]),
        ("{product.tags[0:1]}", ["red"]),
        ("{join(': ', product.tags)}", "red: big"),
        ("{product.price:.2f}", "9.50"),
        ("{date}", "2027-05-01"),
        ("{date:%A} {time:%H:%M}", "Saturday 07:30"),
        ('{product."a:b":03d}', "001"),
        ("{nothing}", None),
        ("a{nothing}b{missing}c{nothing:%A}", "abc"),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{morning}"),
        ("a } alone", "a } alone"),
    ],
)
def test_a_text_is_filled(text: str, value: Any) -> None:
    assert fill(text, DATA) == value
    assert fill({"a": [text, 1]}, DATA) == {"a": [value, 1]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a {name", "a brace is not closed"),
        ("{a..b}", "is no JMESPath"),
        ("{}", "is no JMESPath"),
        ("{name:{width}}", "{name} is unknown"),
        ("{name:100}", "too wide"),
        ("{date:%999d}", "too wide"),
    ],
)
def test_a_text_that_is_no_template_is_refused_before_there_is_data(text: str, words: str) -> None:
    with pytest.raises(BriefError) as refusal:
        check({"shots": [{"prompt": text}]})
    assert words in str(refusal.value)


@pytest.mark.parametrize("text", ["{dat}", "{date.__class__}", "{product.title}", "{name!r}"])
def test_where_the_names_are_given_no_other_is_allowed(text: str) -> None:
    check("{name} {item} {date:%A} {time:%H:%M}", NAMES)
    with pytest.raises(BriefError, match=r"is unknown; use \{name\}, \{item\}"):
        check(text, NAMES)


@pytest.mark.parametrize("text", ["{product:%A}", "{product.title:.2f}", "{abs(name)}"])
def test_a_value_that_does_not_suit_is_named_with_its_expression(text: str) -> None:
    check(text)
    with pytest.raises(BriefError) as refusal:
        fill(text, DATA)
    assert f"{text} does not suit the data" in str(refusal.value)


def test_an_expression_cannot_reach_into_objects() -> None:
    assert fill("{date.year}", DATA) is None
    assert fill("{name.__class__.__mro__}", DATA) is None


@given(st.text())
def test_any_text_with_its_braces_doubled_stays_what_it_was(text: str) -> None:
    assert fill(text.replace("{", "{{").replace("}", "}}"), DATA) == text


@given(st.text(alphabet="{}[]():'\"`\\\\ab.%0", max_size=20))
def test_any_text_is_filled_or_refused_and_breaks_nothing(text: str) -> None:
    try:
        check(text)
        filled = fill(text, DATA)
    except BriefError:
        assert "{" in text
    else:
        assert "{" not in text or filled != text
