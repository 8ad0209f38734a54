"""Every link in a Markdown file leads to something, headings included. Nobody else is asked."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import REPOSITORY
from tests.rules.test_rules import tracked

PAGES = sorted(path for path in tracked() if path.suffix == ".md" and path.exists())


def inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from inline(token.children or [])


@cache
def tokens_of(path: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))


def links_of(path: Path) -> Iterator[str]:
    for token in inline(tokens_of(path)):
        target = token.attrs.get("href", token.attrs.get("src"))
        if target:
            yield str(target)


def slug(title: str) -> str:
    """The anchor that GitHub and the site give to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def anchors_of(path: Path) -> set[str]:
    tokens = tokens_of(path)
    titles = [after for token, after in pairwise(tokens) if opens(token)]
    return {slug("".join(part.content for part in title.children or [])) for title in titles}


def opens(token: Token) -> bool:
    return token.type == "heading_open"


def broken(path: Path) -> Iterator[str]:
    for link in links_of(path):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.is_relative_to(REPOSITORY) or not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors_of(target):
            yield f"{link}: there is no such heading"


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.test_links.REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# One `two`\n[a](#one-two) [b](#three) [c](none.md) ![d](none.png)\n")
    assert [words.partition(":")[0] for words in broken(page)] == ["#three", "none.md", "none.png"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_the_readme_stays_short() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
