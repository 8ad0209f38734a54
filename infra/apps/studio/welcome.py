"""What `reelwright up` says when everything runs: where each part is, and who goes where."""

from collections.abc import Iterator, Sequence
from pathlib import Path


def welcome(
    services: Sequence[tuple[str, str, Path]],
    *,
    gateway: str,
    link: str,
    prefect: str,
    passwords: Path,
) -> str:
    """Lines of text. `services` are name, address and log of each part; `gateway`, `link` (which
    logs a browser in) and `prefect` are addresses, empty for a part that runs elsewhere."""
    parts = [(name, f"{where}; log: {log}") for name, where, log in services]
    rows = [*parts, *_people(gateway, prefect)]
    if link:
        rows.append(("log in", f"{link}  (once, within 15 minutes)"))
    rows.append(("passwords", str(passwords)))
    return "".join(f"{name:<10} {text}\n" for name, text in rows)


def _people(gateway: str, prefect: str) -> Iterator[tuple[str, str]]:
    if gateway:
        yield "editors", f"{gateway}/new  (log in with the link below, or with a key)"
    if prefect:
        yield "", f"{prefect}/deployments  (the form with every field; Prefect asks for a login)"
        yield "", "what an editor types there: the line that `reelwright login --prefect` prints"
    if gateway:
        yield "programs", f"{gateway}  (with a key: reelwright keys add NAME)"
    yield "operators", "reelwright status; reelwright logs --follow; reelwright runs list"
