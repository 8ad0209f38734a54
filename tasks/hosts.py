"""GPU hosts say what they have, and the router of another host reads it.

The worker of the GPU pool stores `hosts/<its name>.json` at its start and every EVERY seconds. So a
change of its models is known after that time, and a host that was switched off is forgotten after
FRESH.
"""

import logging
import re
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import Any

from pydantic import ValidationError

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.adapters.weights.library import OWN_LORAS, installed_names
from pipelines.backends.registry import definitions, presets
from pipelines.documents.brief import Brief
from pipelines.documents.host import HostReport
from pipelines.documents.parsing import parse_brief
from pipelines.documents.route import Forecast
from pipelines.errors import BriefError, ReelwrightError, StoreError
from pipelines.schema.keys import ObjectKey
from pipelines.schema.presets import Preset
from pipelines.schema.request import InputKind
from tasks.surroundings import HostSurroundings

EVERY = 120.0
"""Seconds between two reports of a host."""
FRESH = timedelta(minutes=5)
"""Age at which a report does not count any more."""
_USUAL_SECONDS = 4.0
_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_NOTHING = "0" * 64
"""Digest of an upload that nobody reads: an estimate looks at no picture."""
_GIVEN: dict[InputKind, dict[str, Any]] = {
    "first_frame": {"image": f"uploads/{_NOTHING}.png"},
    "last_frame": {"last_image": f"uploads/{_NOTHING}.png"},
    "reference_image": {"references": [f"uploads/{_NOTHING}.png"]},
    "reference_video": {"motion": f"uploads/{_NOTHING}.zip"},
}
_log = logging.getLogger("reelwright.hosts")


def tell(settings: Settings, name: str) -> None:
    """Store what this host has, as the worker `name`. If it cannot be stored, that is logged, and
    the routers of other hosts know nothing of this one."""
    try:
        report = report_of(settings, name)
        key = ObjectKey.host(_NAME.sub("-", name)[:120])
        store = ObjectStore(settings.store)
        store.put_bytes(key, report.model_dump_json().encode(), "application/json")
    except ReelwrightError as error:
        _log.warning("what this host has could not be stored for the router: %s", error)


def report_of(settings: Settings, name: str) -> HostReport:
    """What this host has now. Models are looked at by names and sizes, and nothing is loaded."""
    here = HostSurroundings(settings)
    own = (settings.paths.models / OWN_LORAS).glob("*.safetensors")
    found = {preset.name: _forecast(here, preset) for preset in presets().values()}
    return HostReport(
        name=name,
        written=datetime.now(UTC),
        version=metadata.version("reelwright"),
        device=here.device,
        models=frozenset([*installed_names(settings.paths.models), *(path.stem for path in own)]),
        usual_seconds=_USUAL_SECONDS,
        forecasts={preset: forecast for preset, forecast in found.items() if forecast},
    )


def gpu_host(store: ObjectStore) -> HostReport | None:
    """The newest fresh report, those of hosts with a GPU first. None if there is none, or if the
    store does not answer."""
    found: list[HostReport] = []
    try:
        for key in store.list_keys("hosts/"):
            data = store.get_bytes(ObjectKey(key))
            report = _read(key, data) if data else None
            if report and datetime.now(UTC) - report.written < FRESH:
                found.append(report)
    except StoreError as error:
        _log.warning("what GPU hosts have is not known: %s", error)
        return None
    return max(found, key=lambda item: (item.device == "cuda", item.written), default=None)


def _read(key: str, data: bytes) -> HostReport | None:
    try:
        return HostReport.model_validate_json(data)
    except ValidationError:
        _log.warning("%s was written by another version of Reelwright and is not used", key)
        return None


def _forecast(here: HostSurroundings, preset: Preset) -> Forecast | None:
    """None for a remote backend, which every host knows, and if the models are not installed."""
    if definitions()[preset.backend].capabilities.location == "remote":
        return None
    try:
        brief = _usual_brief(preset)
        return here.forecast(brief) if here.availability(brief).available else None
    except ReelwrightError:
        return None


def _usual_brief(preset: Preset) -> Brief:
    """A brief of _USUAL_SECONDS with a text and what the backend cannot do without. Raises
    BriefError if there is no such brief."""
    values: dict[str, Any] = {"prompt": "a ball", "preset": preset.name, "seconds": _USUAL_SECONDS}
    values["kind"] = "image" if preset.is_still else "video"
    for kind in definitions()[preset.backend].capabilities.required - {"text"}:
        if kind not in _GIVEN:
            raise BriefError(f"{preset.name} needs {kind}, of which no usual one is known")
        values |= _GIVEN[kind]
    return parse_brief(values)
