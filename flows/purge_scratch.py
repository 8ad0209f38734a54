"""purge-scratch: removes unused objects and old runs, and looks after the cost ledger; once a month
it verifies the whole bucket."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.cost_upkeep import tend_ledger
from tasks.options import done, failed
from tasks.purge import abort_uploads, purge_history, show_sweep, sweep_bucket
from tasks.verify import verify_bucket


@flow(name="purge-scratch", persist_result=False)
def purge_scratch(keep_days: int = 0, dry_run: bool = False, verify: bool = False) -> State[Any]:
    """Remove what no video uses and what is older than the settings say.

    Args:
        keep_days: Hand-overs younger than this stay, 1 to 365 days; 0: as the settings say.
        dry_run: Only say what would be removed.
        verify: Instead of that, read every byte of the bucket against the manifests.
    """
    if verify:
        found = verify_bucket()
        return done(found.sentence()) if found.clean else failed(found.sentence())
    if not dry_run:
        abort_uploads()
    report = sweep_bucket(keep_days, dry_run)
    ledger = tend_ledger(dry_run)
    runs = purge_history(dry_run)
    show_sweep(report, runs)
    return done("; ".join(filter(None, (report.sentence(), ledger.sentence()))))
