"""Small pieces of Markdown that several generated pages share."""

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written from the code by `make docs`; changes by hand are lost. -->\n"


def cell(text: str) -> str:
    """`text` as one cell of a table: on one line, without a bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are escaped here."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell(item) for item in line)} |" for line in lines) + "\n"
