"""The report of `reelwright doctor --gpu`, line by line as it becomes known."""

from collections.abc import Callable, Iterator, Mapping

from infra.adapters import disk
from infra.adapters.device.choice import device_lock
from infra.adapters.device.host import DeviceHost
from infra.adapters.settings import Settings
from infra.apps.doctor import Finding
from infra.apps.gpu.card import examine_card
from infra.apps.gpu.presets import VIDEO_SECONDS, Measured, Outcome, measure
from pipelines.backends.base import BackendDefinition
from pipelines.schema.memory import GB
from tasks.rates import keep_rates, kept_rates

BASIS = "measured by doctor --gpu"
_HEAD = (
    "preset",
    "fits",
    "plan GB",
    "peak GB",
    "memory mode",
    "a chunk",
    "denoise + decode",
    f"{VIDEO_SECONDS} s of video",
)


def examine_gpu(
    settings: Settings,
    backends: Mapping[str, BackendDefinition],
    say: Callable[[str], None],
    *,
    on_cpu: bool = False,
) -> Iterator[Finding]:
    """The card, then each of `backends` that works on a device, measured.

    The device is taken as a run takes it, so this waits for one that is at work. How fast each
    backend is, is kept for the estimates of its next runs. `on_cpu` measures without a card, as the
    tests do.
    """
    host = DeviceHost(settings)
    if not on_cpu:
        for finding in examine_card(host):
            yield finding
            if not finding.good:
                return
    with disk.exclusive(device_lock(settings), lambda: say("waiting for the run on the device")):
        for definition in backends.values():
            if definition.capabilities.location == "device":
                measured = measure(definition, settings, say)
                _keep(settings, host.device, measured)
                yield _finding(measured, _about_code(measured, host))


def _keep(settings: Settings, device: str, measured: Measured) -> None:
    """Random weights are as fast as others."""
    if not measured.seconds_a_unit:
        return
    rates = kept_rates(settings, measured.definition, device)
    rates = rates.measured("chunk", measured.seconds_a_unit, BASIS)
    keep_rates(settings, measured.definition, device, rates)


def _about_code(measured: Measured, host: DeviceHost) -> list[str]:
    """Which presets were measured with compiled code and which without; nothing on a CPU."""
    made = [item for item in measured.outcomes if item.cost]
    if host.device == "cpu" or not made:
        return []
    groups = {True: "with compiled code", False: "without compiled code"}
    lines = []
    for compiled, words in groups.items():
        names = [item.preset.name for item in made if item.cost and item.cost.compiled is compiled]
        if names:
            lines.append(f"     measured {words}: {', '.join(names)}")
    if host.compile == "auto" and not all(item.cost and item.cost.compiled for item in made):
        lines.append(
            "     a warm process compiles while it waits (REELWRIGHT_COMPILE=auto): its chunks may "
            "take less time"
        )
    return lines


def _finding(measured: Measured, about_code: list[str]) -> Finding:
    """What is not installed is no fault; what is installed and cannot make a clip is one."""
    title = measured.definition.title
    if measured.problem:
        needed = not measured.random
        return Finding("backend", False, f"{title}: {measured.problem}", needed)
    note = " (not installed: random weights of its size)" if measured.random else ""
    good = any(outcome.cost for outcome in measured.outcomes)
    text = "\n".join([f"{title}{note}", *_table(measured.outcomes), *about_code])
    return Finding("backend", good, text, needed=not measured.random)


def _table(outcomes: tuple[Outcome, ...]) -> Iterator[str]:
    rows = [_HEAD, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row, outcome in zip(rows, (None, *outcomes), strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"     {line.rstrip()}"
        if outcome and outcome.problem:
            yield f"       {outcome.problem}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    cost = outcome.cost
    fits = "yes" if outcome.fits else "no" if outcome.planned else "?"
    plan = f"{outcome.planned / GB:.1f}" if outcome.planned else "–"
    if cost is None:
        return (outcome.preset.name, fits, plan, *["–"] * 5)
    film = outcome.film_seconds
    return (
        outcome.preset.name,
        fits,
        plan,
        f"{cost.reserved / GB:.1f}" if cost.reserved else "–",
        cost.memory_mode,
        _seconds(cost.seconds),
        f"{_seconds(cost.denoise)} + {_seconds(cost.decode)}",
        "a picture" if film is None else _seconds(film),
    )


def _seconds(value: float) -> str:
    """In figures that mean something: a tenth below ten seconds, minutes above two of them."""
    if value < 10:
        return f"{value:.1f} s"
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
