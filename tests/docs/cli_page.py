"""The page of all commands and options, as Typer's own generator writes it."""

import re

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from infra.apps.cli import app
from tests.docs.tables import NOTICE

_HEAD = f"""# The command `reelwright`

{NOTICE}
What a command ends with: [exit codes](exit-codes.md).

"""


def text() -> str:
    """The whole page."""
    command = get_command(app)
    context = typer.Context(command, info_name="reelwright")
    written = get_docs_for_click(obj=command, ctx=context, name="reelwright")
    body = written.partition("\n")[2].lstrip("\n")
    sizes = re.sub(r"(?<=\d)\*(?=\d)", r"\\*", body)  # or 64*64, 128*128 becomes italics
    return _HEAD + sizes.rstrip("\n") + "\n"
