"""The pages that are written from the code, each with the function that writes it."""

from collections.abc import Callable

from tests.docs import (
    cli_page,
    client_page,
    client_source,
    codes_page,
    manifest_page,
    rest_page,
    settings_page,
)

PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page.text,
    "docs/reference/cli.md": cli_page.text,
    "docs/reference/rest.md": rest_page.text,
    "docs/reference/openapi.json": rest_page.document_text,
    "docs/reference/manifest.md": manifest_page.text,
    "docs/reference/manifest.schema.json": manifest_page.schema_text,
    "docs/reference/error-codes.md": codes_page.text,
    "docs/reference/exit-codes.md": codes_page.exit_codes_text,
    "docs/reference/client.md": client_page.text,
    "reelwright/client/answers.py": client_source.answers,
    "reelwright/client/briefs.py": client_source.briefs,
    "reelwright/client/remedies.json": client_source.remedies,
}
"""Path from the root of the repository, and what it contains."""
