"""`reelwright verify`: compares every byte of the bucket with the manifests, and repairs."""

import os
import time
from collections.abc import Callable
from uuid import UUID

from infra.adapters.manifests import read_manifest
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.reach import reached_store
from infra.apps.session import session
from pipelines.documents.brief import Brief
from pipelines.documents.brief_form import parameters_of
from pipelines.documents.manifest import Manifest
from pipelines.errors import ReelwrightError
from pipelines.schema.keys import Digest
from pipelines.schema.names import brief_deployment
from pipelines.verification import VerifyReport

_DEPLOYMENT = brief_deployment("batch")
_POLL = 2.0
Say = Callable[[str], None]
Make = Callable[[Brief], str]
"""Makes a video again; returns the id of its run, or nothing if there is none to look at."""


def verify(say: Say) -> VerifyReport:
    """Read the whole bucket and change nothing. Raises ReelwrightError if it cannot be read."""
    with reached_store(say) as store:
        from tasks.verify import audit

        return audit(store, say)


def repair(say: Say) -> VerifyReport:
    """Read the whole bucket, mend what can be mended, and look again at what was mended."""
    settings = environment.adopted()
    with session(settings, say):
        from tasks.verify import audit, mend

        store = ObjectStore(Settings.load().store)
        report = audit(store, say)
        mend(store, report)
        if any(fault.what == "part" for fault in report.faults):
            _make_again(store, report, _maker(), say)
        return report


def _make_again(store: ObjectStore, report: VerifyReport, make: Make, say: Say) -> None:
    """Make each damaged video again from its brief, and verify it."""
    from tasks.verify import check_video

    damaged = dict.fromkeys(fault.content_id for fault in report.faults if fault.what == "part")
    for number, text in enumerate(damaged, start=1):
        cid = Digest(text)
        manifest = read_manifest(store, cid).manifest
        if manifest is None:
            continue  # deleted meanwhile
        say(f"{number} of {len(damaged)}: making {manifest.brief.prompt!r:.60} again")
        others = [fault for fault in report.faults if fault.content_id != cid]
        words = _once_more(manifest, report, make)
        faults = check_video(store, cid)
        report.faults = others + faults
        if faults:
            report.repaired.append(f"video {cid} is still damaged: {words or _OTHER}")
        else:
            report.repaired.append(f"video {cid} was made again")


_OTHER = (
    "its brief makes another video now, because models or settings have changed since; delete the "
    "damaged one on the gateway"
)


def _once_more(manifest: Manifest, report: VerifyReport, make: Make) -> str:
    """Make one video again. Returns why it could not be made; empty if it was."""
    # It was approved when it was published: nobody is asked again.
    brief = manifest.brief.model_copy(update={"approval": "none"})
    try:
        run = make(brief)
    except ReelwrightError as error:
        return str(error)
    if run:
        report.runs.append(run)
    return ""


def _maker() -> Make:
    """A function that makes a video: through the studio's workers if the Prefect server has our
    deployments, else in this process."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    if os.environ.get("PREFECT_API_URL"):
        with get_client(sync_client=True) as client:
            try:
                found = client.read_deployment_by_name(_DEPLOYMENT)
            except ObjectNotFound:
                return _make_here
        return lambda brief: _make_there(found.id, brief)
    return _make_here


def _make_here(brief: Brief) -> str:
    from flows.produce_content import produce_content
    from tasks.context import check_surroundings

    check_surroundings(brief, Settings.load())
    produce_content(brief)
    return ""


def _make_there(deployment: UUID, brief: Brief) -> str:
    """Start a run on the studio's workers and wait for it; after Ctrl-C it goes on there."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(
            deployment,
            parameters=parameters_of(brief),
            tags=["verify"],
        )
        while True:
            state = client.read_flow_run(run.id).state
            if state and state.is_final():
                break
            time.sleep(_POLL)
    if not state.is_completed():
        raise ReelwrightError(f"run {run.id} ended as {state.name}: {state.message or 'no reason'}")
    return str(run.id)
