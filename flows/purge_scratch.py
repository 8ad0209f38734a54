"""purge-scratch: removes what no video needs any more."""

from prefect import flow

from tasks.purge import abort_uploads, purge_hand_overs


@flow(name="purge-scratch", persist_result=False)
def purge_scratch(keep_days: int = 45) -> None:
    """Remove uploads that nobody finished and hand-overs of old runs.

    Args:
        keep_days: Hand-overs younger than this stay, 1 to 365 days.
    """
    abort_uploads()
    purge_hand_overs(keep_days)
