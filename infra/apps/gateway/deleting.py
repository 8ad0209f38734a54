"""Who may delete a video: a manager any, and who starts videos those that nobody else asked for.

The manifest says by which runs a video was asked for, and the audit log which client started each
of them. So a video whose start is no longer in the audit log, or that came from a webhook, the
calendar or Prefect's form, is the managers'.

A deletion that can be taken back leaves the files where they are as long as a run needs them. One
for ever does not, so it waits until no run of somebody else needs them; a manager's does not wait,
because a video may have to be gone at once.
"""

from datetime import datetime

from infra.apps.gateway import audit
from infra.apps.gateway.database import Database
from infra.apps.gateway.keys import Client
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.recording import STARTED
from infra.apps.gateway.state import Gateway
from infra.apps.gateway.videos import absent, content_id_of
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import Digest

DELETED = "video.deleted"
"""The action of a deletion in the audit log."""


def may_delete(database: Database, client: Client, manifest: Manifest) -> bool:
    """Whether `client` may delete the video."""
    if "manage" in client.scopes:
        return True
    return "make" in client.scopes and _asked_alone(database, client, manifest)


def require_delete(database: Database, client: Client, manifest: Manifest) -> None:
    """Raises ProblemError 403 if `client` may not delete the video."""
    if not may_delete(database, client, manifest):
        raise ProblemError(
            403,
            "forbidden",
            "you may delete a video that you, and nobody else, asked for; for this one, ask the "
            "operator",
        )


def may_take_back(database: Database, client: Client, video: Digest) -> bool:
    """Whether `client` may take back the deletion of `video`: its own deletions only, without the
    scope `manage`."""
    if "manage" in client.scopes:
        return True
    last = audit.entries(database, audit.Wanted(action=DELETED, subject=video, limit=1))
    return "make" in client.scopes and bool(last) and last[0].who_id == client.id


def require_take_back(database: Database, client: Client, video: Digest) -> None:
    """Raises ProblemError 403 if `client` may not take back the deletion."""
    if not may_take_back(database, client, video):
        raise ProblemError(
            403, "forbidden", "only who deleted a video may take it back; ask the operator"
        )


async def require_delete_for_ever(gateway: Gateway, client: Client, name: str) -> None:
    """Raises ProblemError 403 if `client` may not delete the video of the file `name`, or somebody
    else deleted it so that it can be taken back; 404 if there is none, also none whose deletion
    broke off; 409 if a run of somebody else needs it. ServerError if Prefect does not answer."""
    if "manage" in client.scopes:
        return
    cid = content_id_of(name)
    manifest = await gateway.work.run(gateway.videos.record, cid)
    if manifest is None:
        raise absent(name)
    require_delete(gateway.database, client, manifest)
    if gateway.library.trashed(cid) and not gateway.videos.index.has(cid):
        require_take_back(gateway.database, client, cid)
    if await gateway.needs.is_needed(manifest, besides=client):
        raise ProblemError(
            409,
            "in_use",
            "a run of somebody else makes the same video, or waits for an answer about it; delete "
            f"it so that it can be taken back (POST /videos/{cid}/trash), which leaves it to that "
            "run, try again when the run has ended, or ask the operator",
        )


def _asked_alone(database: Database, client: Client, manifest: Manifest) -> bool:
    asked = [act for act in manifest.people if act.did == "asked"]
    if not asked:
        return False
    # Versions up to 0.5.0 recorded nobody: who asked for such a video again is not the first.
    first = min(datetime.fromisoformat(act.when) for act in asked)
    if first > datetime.fromisoformat(manifest.created):
        return False
    return all(
        audit.has(database, action=STARTED, subject=str(act.run), who_id=client.id) for act in asked
    )
