"""A hook of MkDocs: files outside of docs/ that pages link to become parts of the site.

The pages are read in a checkout too, where `../infra/deploy/README.md` is the right link. MkDocs
knows only what lies in docs/, so such a file is taken in as `repository/<path>`, with the files
that it links to itself. A link to a folder, which a site cannot show, becomes plain text.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^( *```.*?^ *```)", re.MULTILINE | re.DOTALL)
_INSIDE = "repository/"


def outside_code(change: Callable[[str], str], markdown: str) -> str:
    """`markdown` with everything but its fenced blocks changed."""
    return "".join(
        part if part.lstrip().startswith("```") else change(part) for part in _FENCE.split(markdown)
    )


def place_of(src_uri: str) -> str:
    """Path from the root of the repository of a page of the site."""
    return src_uri[len(_INSIDE) :] if src_uri.startswith(_INSIDE) else f"docs/{src_uri}"


def target_of(link: str, place: str) -> str:
    """Path from the root of what `link` on the page at `place` means; empty if it is an address."""
    path = link.partition("#")[0]
    if not path or "://" in link or link.startswith("mailto:"):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), path))


def links_of(text: str, place: str) -> Iterator[str]:
    """Targets of the links in `text`, without those in its code."""
    for match in LINK.finditer(_FENCE.sub("", text)):
        target = target_of(match[2], place)
        if target:
            yield target


def on_files(files: Files, config: Any) -> Files:
    """Take in the files outside of docs/ that pages link to, and those that these link to."""
    root = Path(config.config_file_path).parent
    waiting = [
        (place_of(file.src_uri), file.content_string) for file in files.documentation_pages()
    ]
    taken: set[str] = set()
    while waiting:
        place, text = waiting.pop()
        for target in links_of(text, place):
            path = root / target
            if target.startswith(("docs/", "..")) or target in taken or not path.is_file():
                continue
            taken.add(target)
            files.append(File.generated(config, _INSIDE + target, abs_src_path=str(path)))
            if path.suffix == ".md":
                waiting.append((target, path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let the links of a page lead to where their targets lie in the site."""
    place = place_of(page.file.src_uri)
    root = Path(config.config_file_path).parent

    def moved(match: re.Match[str]) -> str:
        words, link = match[1], match[2]
        target = target_of(link, place)
        if not target or target.startswith(".."):
            return match[0]
        if (root / target).is_dir():
            return words
        there = target[len("docs/") :] if target.startswith("docs/") else _INSIDE + target
        anchor = link[link.index("#") :] if "#" in link else ""
        found = posixpath.relpath(there, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{words}]({found}{anchor})"

    return outside_code(lambda part: LINK.sub(moved, part), markdown)
