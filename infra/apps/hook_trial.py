"""`reelwright hooks try`: what the gateway would make of a delivery of a webhook."""

from collections.abc import Sequence
from pathlib import Path

from infra.apps.gateway.deliveries import tried
from infra.apps.gateway.hooks import read_hooks
from infra.apps.gateway.problems import ProblemError
from pipelines.documents.brief import Brief
from pipelines.errors import BriefError, ReelwrightError


def try_delivery(
    hooks: Path | None, source: str, payload: Path, event: str | None, headers: Sequence[str]
) -> Brief:
    """The brief that the gateway would start for the body in `payload`.

    Raises BriefError if the gateway would refuse the delivery, ReelwrightError if its source does
    not ask for the event, and SettingsError if the file of hooks cannot be used.
    """
    sources = read_hooks(hooks).sources
    if source not in sources:
        raise BriefError(
            f"there is no source {source!r}; there are: {', '.join(sources) or 'none'}"
        )
    if event is not None and headers:
        raise BriefError(
            "--event and --header are both given; the headers name the event: keep one"
        )
    try:
        outcome = tried(sources[source], dict(map(_header, headers)), payload.read_bytes(), event)
    except ProblemError as problem:
        raise BriefError(f"the gateway would answer {problem.status}: {problem}") from problem
    if outcome.brief is None:
        raise ReelwrightError(f"nothing would be started: {outcome.sentence}")
    return outcome.brief


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise BriefError(f"--header {text!r:.80}: write 'NAME: VALUE', as a delivery has it")
    return name.strip(), value.strip()
