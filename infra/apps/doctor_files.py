"""What `reelwright doctor` says about remote backends, the routing policy and the caps."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from infra.adapters.device.preview import PreviewHost
from infra.adapters.ledger.rates import caps_of
from infra.adapters.settings import Settings
from infra.apps.findings import Finding, check
from pipelines.backends.base import BackendDefinition
from pipelines.backends.registry import definitions
from pipelines.costs.caps import Caps
from pipelines.errors import ReelwrightError
from pipelines.schema.availability import Availability
from tasks.remote_backends import configure_backends
from tasks.surroundings import Reachable, policy_of

_ASKED_AT_ONCE = 16


def examine_files(settings: Settings) -> Iterator[Finding]:
    """The operator's files, and whether each remote backend answers. Asking costs nothing."""
    if settings.remote.backends:
        yield check("backends file", lambda: _backends(settings))
    yield check("routing policy", lambda: _policy(settings))
    yield check("spending caps", lambda: _words(caps_of(settings.costs), settings))
    remote = [item for item in definitions().values() if item.capabilities.location == "remote"]
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:  # one that is down takes some seconds
        for item, found in zip(
            remote, pool.map(lambda item: _ask(item, settings), remote), strict=True
        ):
            text = f"{item.title}: {'answers' if found.available else found.reason}"
            yield Finding(f"remote {item.name}", found.available, text, needed=False)


def _backends(settings: Settings) -> str:
    configure_backends()
    count = sum(item.capabilities.location == "remote" for item in definitions().values())
    return f"{settings.remote.backends}: {count} enabled"


def _policy(settings: Settings) -> str:
    policy = policy_of(settings)
    if settings.routing.policy is None:
        return "the built-in one: an automatic choice pays nothing"
    return f"{settings.routing.policy}: {policy.name or 'without a name'}"


def _words(caps: Caps, settings: Settings) -> str:
    parts = [
        f"{name} {'no cap' if amount is None else f'{amount} {settings.costs.currency}'}"
        for name, amount in (
            ("video", caps.video),
            ("campaign", caps.campaign),
            ("day", caps.day),
            ("month", caps.month),
        )
    ]
    return ", ".join(parts)


def _ask(definition: BackendDefinition, settings: Settings) -> Availability:
    try:
        backend = definition.create(PreviewHost(settings), definition.capabilities.required)
        if isinstance(backend, Reachable):
            return backend.availability()
    except ReelwrightError as error:
        return Availability(available=False, reason=str(error))
    return Availability(available=True)
