"""The documents build as a site without a warning, and the site loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}  # an advertisement of its makers
    done = subprocess.run(command, cwd=REPOSITORY, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads by itself, and the text of its paragraphs."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.paragraphs: list[str] = []
        self._inside = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        is_style = tag == "link" and values.get("rel") in ("stylesheet", "icon", "preconnect")
        if tag in ("script", "img", "video", "source") or is_style:
            self.loads += [found for key in ("src", "href") if (found := values.get(key))]
        if tag in ("div", "pre", "table", "ul", "ol"):
            self._inside = False  # these end a paragraph, said or not
        if tag == "p":
            self._inside = True
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.paragraphs[-1] += data


def pages_of(site: Path) -> list[Path]:
    return [path for path in site.rglob("*.html") if path.name != "404.html"]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = pages_of(site)
    assert len(pages) > 30
    foreign = {str(path): url for path in pages for url in Page(path).loads if "//" in url}
    assert foreign == {}


def test_lists_and_tables_are_shown_as_such(site: Path) -> None:
    """GitHub begins a list or a table within a paragraph, the site only after an empty line."""
    plain = [
        f"{path.relative_to(site)}: {text.strip()[:80]}"
        for path in pages_of(site)
        for text in Page(path).paragraphs
        if re.search(r"^\s*(- |\* |\d+\. |\|.*\|)", text, re.MULTILINE)
    ]
    assert plain == []


def test_the_reference_is_found_from_the_first_page(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for name in ("settings", "reference/cli", "reference/error-codes", "reference/manifest"):
        assert f'href="{name}.html"' in home
    assert (site / "reference" / "openapi.json").exists()
    assert (site / "repository" / "infra" / "deploy" / "index.html").exists()
