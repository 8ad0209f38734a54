"""Which caps of the ledger a person has waived for a run, by approving its price."""

import logging
from uuid import UUID

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.costs.caps import CAPS, CapName
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError
from pipelines.schema.keys import ObjectKey

_log = logging.getLogger("reelwright.route")


def waived_caps(store: ObjectStore, run: str, preset: str) -> tuple[CapName, ...]:
    """The caps that the editor's run `run` may exceed with `preset`.

    Who approved the price of a video waived the cap of a video. Who was shown what the ledger
    refused, and approved that, waived all of them. None for a process without a run, and if the
    route is damaged. Raises StoreError if the store fails.
    """
    try:
        data = store.get_bytes(ObjectKey.route(UUID(run)))
        route = Route.model_validate_json(data) if data else None
    except (CorruptObjectError, ValidationError, ValueError) as error:
        _log.warning("the route of run %s cannot be read, so no cap is waived: %s", run, error)
        return ()
    if route is None or preset not in route.approved:
        return ()
    return CAPS if preset in route.refused else ("video",)
