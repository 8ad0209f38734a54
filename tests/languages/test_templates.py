"""No text of a page is left out of the catalogs, and no page in Thai has an English one."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import nodes
from starlette.requests import Request

from infra.apps.gateway.languages.rendering import _environment, render
from pipelines.documents.brief import Brief
from pipelines.schema.translation import TranslatedText, Translation
from tests.languages.messages import TEMPLATES, of_templates

PAGES = sorted(TEMPLATES.glob("*.html"))
SHOWN = ("aria-label", "alt", "title", "placeholder")
"""Attributes that people read or hear."""
NAMES = {"Reelwright", "API", "CSV", "GB", "REST", "WebP"}
NAMES |= {"Q", "W", "E", "Space", "Enter", "s", "rw_…"}
"""What is the same in every language."""
CLASSES = ("good", "bad")
"""Names of the style sheet."""


class Texts(HTMLParser):
    """The texts of a template that are for people."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in SHOWN]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def plain_texts(path: Path) -> list[str]:
    """Words of a template outside of its expressions."""
    reader = Texts()
    source = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", " ", path.read_text(), flags=re.DOTALL)
    reader.feed(source)
    words = [word for text in reader.found for word in re.findall(r"[A-Za-z_…]+", text)]
    return [word for word in words if word not in NAMES]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_text_of_a_template_goes_through_the_catalog(path: Path) -> None:
    assert plain_texts(path) == []


def test_the_check_finds_a_text_that_does_not(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<p>{{ _("Known") }} forgotten <a title="hidden">{% if x %}{% endif %}</a></p>')
    assert plain_texts(page) == ["forgotten", "hidden"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_expression_of_a_template_is_an_english_sentence(path: Path) -> None:
    """As in `{{ "with" if sound else "without" }}`: only `_` and `said` may be given texts."""
    tree = _environment().parse(path.read_text())
    for output in tree.find_all(nodes.Output):
        for part in output.nodes:
            if isinstance(part, nodes.CondExpr):
                for branch in (part.expr1, part.expr2):
                    text = branch.value if isinstance(branch, nodes.Const) else ""
                    assert text in ("", *CLASSES), (path.name, part.lineno)


def request_in(language: str, path: str = "/") -> Request:
    headers = [(b"accept-language", language.encode())]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"a=1&b=2"}
    return Request(scope | {"headers": headers, "server": ("127.0.0.1", 1), "scheme": "http"})


@pytest.mark.parametrize("name", ["login.html", "new.html", "benchmarks.html", "message.html"])
def test_a_page_in_thai_has_no_english_text(name: str) -> None:
    problem = "the prompt is empty; say in a sentence what the video shows"
    values: dict[str, Any] = {
        "problem": problem,
        "title": "No such run",
        "text": "It was deleted.",
        "presets": [],
    }
    values["values"] = {name: field.default for name, field in Brief.model_fields.items()}
    page = render(request_in("th", "/new"), name, **values).body.decode()
    english = render(request_in("en", "/new"), name, **values).body.decode()
    assert '<html lang="th">' in page
    assert 'href="/language/en?to=%2Fnew%3Fa%3D1%26b%3D2"' in page
    texts = {message.text for message in of_templates()}
    used = {text for text in texts if f">{text}" in english or f'"{text}"' in english}
    assert len(used) >= 5
    for text in used | {problem}:
        assert f">{text}" not in page, text
        assert f'="{text}"' not in page.replace(f'value="{text}"', ""), text


def test_a_value_is_escaped_in_every_language() -> None:
    for language in ("th", "en"):
        values = {"name": "<b>", "total": 0}
        page = render(request_in(language), "rate.html", **values).body.decode()
        assert "&lt;b&gt;" in page
        assert "<b>" not in page


def test_each_translated_text_stands_beside_its_original() -> None:
    others = (
        TranslatedText(field="storyboard.2", original="หิมะตก", english="snow falls"),
        TranslatedText(field="sheet.fox", original="จิ้งจอกแดง", english="a red fox"),
    )
    told = Translation(
        language="th", original="a fox", english="a fox", translator="model@1", others=others
    )
    for language, title in (("en", "the words of shot 2"), ("th", "ข้อความของช็อต 2")):
        page = render(request_in(language), "translation.html", translation=told).body.decode()
        found = re.findall(r"<d[td][^>]*>([^<]*)<", page)
        assert found[:3] == [title, "หิมะตก", "snow falls"]
        assert found[4:] == ["จิ้งจอกแดง", "a red fox"]


def test_numbers_and_times_are_written_as_the_reader_does() -> None:
    source = "{{ 1234.5|number(2) }} {{ '2026-11-27T22:01:00+00:00'|day }}"
    shown = _environment().from_string(source)
    assert shown.render() == "1,234.50 Nov 27, 2026"
    assert _environment().from_string("{{ 'yesterday'|day }} {{ 'x'|time }}").render() == (
        "yesterday x"
    )
