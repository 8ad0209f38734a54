"""What all requests share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.catalog import MODEL_SETS
from infra.adapters.weights.index import read_index
from infra.adapters.weights.library import folder_of
from infra.apps.gateway.database import Database

if TYPE_CHECKING:
    from infra.apps.gateway.access import Limits
    from infra.apps.gateway.hooks import Hooks
    from infra.apps.gateway.readiness import Readiness
    from infra.apps.gateway.runs import Runs
    from infra.apps.gateway.store_work import StoreWork
    from infra.apps.gateway.videos import Videos


@dataclass
class Gateway:
    """One gateway."""

    settings: Settings
    database: Database
    store: ObjectStore
    runs: "Runs"
    videos: "Videos"
    limits: "Limits"
    hooks: "Hooks"
    work: "StoreWork"
    readiness: "Readiness"

    def installed(self) -> list[str]:
        """Model sets that are complete on this machine, but for what only some briefs need."""
        folder = self.settings.paths.models
        return [
            model_set.name
            for model_set in MODEL_SETS.values()
            if all(
                read_index(folder_of(folder, model_set.name, model.role))
                for model in model_set.models
                if model.role != "extender"
            )
        ]

    def address(self, path: str) -> str:
        """`path` on this gateway, as others reach it."""
        return f"{self.settings.gateway.base_url}{path}"
