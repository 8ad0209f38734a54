"""Which caps of the ledger a person has waived for a run, by approving its price."""

import logging
from uuid import UUID

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from pipelines.costs.caps import CAPS
from pipelines.costs.entries import NO_WAIVER, Waiver
from pipelines.documents.route import Route
from pipelines.errors import CorruptObjectError
from pipelines.schema.keys import ObjectKey

_log = logging.getLogger("reelwright.route")


def waiver_of(store: ObjectStore, run: str, preset: str) -> Waiver:
    """The caps that the editor's run `run` may exceed with `preset`, and up to which sum.

    Who approved the price of a video waived the cap of a video. Who was shown what the ledger
    refused, and approved that, waived all of them. Both hold for the sum that was shown: above it
    the caps hold again. Nothing is waived for a process without a run, or if the route is damaged
    or knows no sum. Raises StoreError if the store fails.
    """
    try:
        data = store.get_bytes(ObjectKey.route(UUID(run)))
        route = Route.model_validate_json(data) if data else None
    except (CorruptObjectError, ValidationError, ValueError) as error:
        _log.warning("the route of run %s cannot be read, so no cap is waived: %s", run, error)
        return NO_WAIVER
    if route is None or preset not in route.approved:
        return NO_WAIVER
    caps = CAPS if preset in route.refused else ("video",)
    return Waiver(caps=caps, up_to=route.sums.get(preset))
