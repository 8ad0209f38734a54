"""Brings the catalogs up to date with the code: `python -m tests.languages`.

New messages are added without a translation, those that are gone are removed.
"""

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from infra.apps.gateway.languages.catalog import LOCALES
from tests.languages.messages import messages


def main() -> None:
    """Write each catalog, and say what it lacks."""
    for path in sorted(LOCALES.glob("*.po")):
        with path.open("rb") as file:
            before = read_po(file, locale=path.stem)
        after = Catalog(
            locale=path.stem, project="Reelwright", header_comment=before.header_comment
        )
        after.revision_date = after.creation_date = before.creation_date
        lacking = 0
        for message in messages().values():
            context = message.context or None
            known = before.get(message.text, context)
            translated = known.string if known else ""
            lacking += not translated
            comments = [message.note] if message.note else []
            after.add(message.text, translated, context=context, auto_comments=comments)
        with path.open("wb") as file:
            write_po(file, after, width=100, sort_output=True)
        print(f"{path.name}: {len(after)} messages, {lacking} without a translation")


if __name__ == "__main__":
    main()
