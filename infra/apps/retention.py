"""`reelwright retention`: shows what the next purge would remove, and protects campaigns."""

import os
from collections.abc import Callable, Iterator

from infra.adapters.settings import Settings
from infra.apps.reach import reached_store
from tasks.sweeping import Sweeper, SweepReport, ages_of, keep_campaign, rows_of

Say = Callable[[str], None]


def plan(say: Say) -> SweepReport:
    """A dry run. Without a Prefect server every run counts as living, so less would go."""
    with reached_store(say) as store:
        settings = Settings.load()
        living: frozenset[str] | None = None
        texts: list[str] = []
        if os.environ.get("PREFECT_API_URL"):
            from tasks.purge import living_runs

            living, texts = living_runs()
        ages = ages_of(settings.retention)
        sweeper = Sweeper(store, ages, settings.retention.kept, living, texts)
        report = sweeper.sweep(dry_run=True)
    if living is None:
        report.notes.append("no studio runs here: every run counts as unfinished")
    return report


def keep(campaign: str, say: Say, *, keeping: bool = True) -> str:
    """Keep the videos of a campaign for ever, or not. Returns a sentence."""
    with reached_store(say) as store:
        listed = keep_campaign(store, campaign, keep=keeping).campaigns
    names = sorted({*listed, *Settings.load().retention.kept})
    return f"kept for ever: {', '.join(names) or 'no campaign'}"


def lines(report: SweepReport) -> Iterator[str]:
    """The report as lines: a table and its notes."""
    rows = rows_of(report)
    widths = {name: max(len(str(row[name])) for row in rows) for name in rows[0]}
    for row in [{name: name for name in rows[0]}, *rows]:
        yield "  ".join(
            f"{row[name]!s:{'<' if name == 'kind' else '>'}{max(width, len(name))}}"
            for name, width in widths.items()
        )
    yield from (f"note: {note}" for note in report.notes)


def as_values(report: SweepReport) -> dict[str, object]:
    """The report as plain values: bytes and objects of each kind."""
    return {
        "dry_run": report.dry_run,
        "kinds": {
            kind: {
                "objects": tally.objects,
                "bytes": tally.size,
                "swept_objects": tally.swept_objects,
                "swept_bytes": tally.swept_size,
                "put_off": tally.put_off,
                "oldest_kept": tally.oldest_kept.isoformat() if tally.oldest_kept else None,
            }
            for kind, tally in report.kinds.items()
        },
        "notes": report.notes,
    }
