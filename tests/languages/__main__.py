"""Brings the catalogs up to date with the code: `python -m tests.languages [OTHER.po …]`.

New messages are added without a translation, those that are gone are removed. What a catalog lacks
is taken from the other files of the same language, such as the versions of two branches.
"""

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from infra.apps.gateway.languages.catalog import LOCALES
from tests.languages.messages import Message, messages

HEADER = """# Messages of Reelwright. The key of each is its English text; see docs/languages.md.
msgid ""
msgstr ""
"Language: {code}\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""


def read(path: Path, language: str) -> Catalog:
    """The catalog in the file `path`."""
    with path.open("rb") as file:
        return read_po(file, locale=language)


def translation_of(message: Message, catalogs: list[Catalog]) -> str:
    """The first translation of `message`; empty if there is none."""
    for catalog in catalogs:
        known = catalog.get(message.text, message.context or None)
        if known and known.string and not known.fuzzy:
            return str(known.string)
    return ""


def main(others: list[Path]) -> None:
    """Write each catalog, and say what it lacks."""
    for path in sorted(LOCALES.glob("*.po")):
        before = [read(item, path.stem) for item in (path, *others)]
        after = Catalog(path.stem)
        lacking = []
        for message in messages().values():
            translated = translation_of(message, before)
            lacking += [] if translated else [message]
            comments = [message.note] if message.note else []
            context = message.context or None
            after.add(message.text, translated, context=context, auto_comments=comments)
        with path.open("wb") as file:
            file.write(HEADER.format(code=path.stem).encode())
            write_po(file, after, width=100, sort_output=True, omit_header=True)
        print(f"{path.name}: {len(after)} messages, {len(lacking)} without a translation")
        for message in lacking:
            print(f"  {message.place}: {message.text}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
