"""The state that all requests of a gateway share."""

from dataclasses import dataclass, field

from anyio import CapacityLimiter

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.library import installed_names
from infra.apps.gateway.database import Database
from infra.apps.gateway.disk_watch import DiskWatch
from infra.apps.gateway.hooks import Hooks
from infra.apps.gateway.library import Library
from infra.apps.gateway.limits import Limits
from infra.apps.gateway.line import Line
from infra.apps.gateway.measures import Measures
from infra.apps.gateway.meters import Meters
from infra.apps.gateway.needs import Needs
from infra.apps.gateway.openai_video_jobs import VideoJobs
from infra.apps.gateway.readiness import Readiness
from infra.apps.gateway.run_pages import RunPages
from infra.apps.gateway.runs import Runs
from infra.apps.gateway.store_work import StoreWork
from infra.apps.gateway.uses import Uses
from infra.apps.gateway.videos import Videos
from pipelines.backends.registry import definitions


@dataclass
class Gateway:
    """The shared parts of one gateway."""

    settings: Settings
    database: Database
    store: ObjectStore
    runs: Runs
    run_pages: RunPages
    needs: Needs
    jobs: VideoJobs
    videos: Videos
    limits: Limits
    hooks: Hooks
    work: StoreWork
    readiness: Readiness
    library: Library
    line: Line
    uses: Uses
    meters: Meters
    measures: Measures
    disks: DiskWatch
    checks: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(2))
    """Passwords that are looked at at once: each takes a core and 19 MiB."""

    def installed(self) -> frozenset[str]:
        """Names of the backends whose models are on this machine, for what they need at least.

        A remote backend needs none.
        """
        names = set(installed_names(self.settings.paths.models))
        return frozenset(
            item.name
            for item in definitions().values()
            if names.issuperset(item.models_for(item.capabilities.required))
        )

    def address(self, path: str) -> str:
        """`path` on this gateway, as others reach it."""
        return f"{self.settings.gateway.base_url}{path}"
