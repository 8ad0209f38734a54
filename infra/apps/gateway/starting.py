"""Starting a brief for a client, checked before anything begins."""

from uuid import uuid4

from infra.apps.gateway.state import Gateway
from infra.apps.gateway.views import RunView
from pipelines.planning.plan import timeline
from pipelines.schema.brief import Brief
from pipelines.schema.plan import digest_of


async def start_brief(gateway: Gateway, brief: Brief, client: str, key: str) -> RunView:
    """A run of `brief`; with a `key` the same one however often it is asked for.

    Raises BriefError, ServerError, or ProblemError 409 if the key belongs to another brief.
    """
    timeline(brief)
    own = digest_of(["brief", client, key])[:40] if key else uuid4().hex
    run = await gateway.runs.start(brief, f"api-{own}", ["api", f"client:{client}"[:60]])
    return await gateway.runs.see(run)
