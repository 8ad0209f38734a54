"""The route of a brief: which preset makes it, which ones would be next, and why, in words.

One text says it (`Route.lines`), for the terminal, the API, the page of a run, the draft, and the
manifest.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

from pipelines.schema.durations import range_words, time_words
from pipelines.schema.frozen import Frozen
from pipelines.schema.money import Money

LEFT_OUT = "without the start of its run and publishing"
"""What no run measures: the time from the router's choice to the first stage, and from the last
stage to the manifest."""


class Forecast(Frozen):
    """What a video would cost with one preset, if nothing of it exists yet."""

    seconds: float
    """Of all stages of the run and what lies between them; LEFT_OUT says what is not in it."""
    memory_bytes: int = 0
    """Most on the device at once; for a remote backend, in the host's memory for its frames."""
    price: Money | None = None
    """The most that a remote backend asks for it; None for one on the device."""
    basis: str = ""
    """Where the seconds come from."""
    low_seconds: float = 0.0
    """Between this and `high_seconds` lie most runs; both are 0 if that is not known."""
    high_seconds: float = 0.0

    @property
    def words(self) -> str:
        """Seconds, memory and money in one line."""
        memory = f", {self.memory_bytes / 1e9:.1f} GB of memory" if self.memory_bytes else ""
        money = f"costs {self.price}" if self.price and self.price.amount else "nothing is paid"
        known = [range_words(self.low_seconds, self.high_seconds)] if self.high_seconds else []
        basis = "; ".join([*known, *([self.basis] if self.basis else []), LEFT_OUT])
        basis = f" ({basis})"
        return f"about {time_words(self.seconds)}{basis}{memory}, {money}"


class Candidate(Frozen):
    """A preset that can make the brief now."""

    preset: str
    title: str
    backend: str
    location: Literal["device", "remote"]
    forecast: Forecast | None = None
    """None if it is not known here, as for a named preset whose models lie on another host."""
    score: float = 0.0
    """0 to 1, by the weights of the policy."""
    reasons: tuple[str, ...] = ()
    later: str = ""
    """Why it comes after the candidate before it."""
    ask: str = ""
    """Why a person must agree before it is used; empty if nobody has to."""

    @property
    def words(self) -> str:
        """Its costs in one line."""
        return self.forecast.words if self.forecast else "time, memory and price are not known here"


Cause = Literal["unfit", "forbidden", "unavailable", "demand", "unknown", "cap", "named"]
"""Why a preset is not used, for programs.

`unfit`        it cannot make the brief
`forbidden`    the policy does not allow it
`unavailable`  its models are not installed, or its service does not answer
`demand`       words of the brief ask for what it cannot do
`unknown`      nobody can say what it would cost
`cap`          it is above a cap
`named`        the brief names another one"""


class Alternative(Frozen):
    """A preset that is not used, and why."""

    preset: str
    title: str
    cause: Cause
    reason: str
    forecast: Forecast | None = None


class Setback(Frozen):
    """A candidate that was tried and could not be used."""

    preset: str
    reason: str


class Route(Frozen):
    """What makes a brief, and what would be next."""

    asked: str
    """The preset of the brief: a name, or `auto`."""
    policy: str
    """Name of the policy that decided."""
    reasons: tuple[str, ...]
    """What holds for all presets, such as rules of the policy that apply."""
    candidates: tuple[Candidate, ...]
    """In the order in which they are tried; one at least."""
    alternatives: tuple[Alternative, ...] = ()
    """All other presets."""
    above_cap: Literal["approval", "next"] = "next"
    """What happens if the ledger says that a cap is reached."""
    setbacks: tuple[Setback, ...] = ()
    """Candidates that were tried, from the first one on."""
    approved: tuple[str, ...] = ()
    """Presets whose price a person approved."""
    refused: tuple[str, ...] = ()
    """Presets that the ledger refused, which a person is asked about, or was."""
    sums: Mapping[str, Money] = {}
    """The most that a run may spend with a preset above a cap: the sum that the person saw who
    approved it, or is asked about it."""
    turn: int = 0
    """How often the video was begun again, with another candidate or after an approval."""

    @property
    def chosen(self) -> Candidate:
        """The candidate that makes the video."""
        return self.candidates[len(self.setbacks)]

    @property
    def left(self) -> tuple[Candidate, ...]:
        """The candidates after it."""
        return self.candidates[len(self.setbacks) + 1 :]

    @property
    def ask(self) -> str:
        """Why a person must agree first; empty if nobody has to, or somebody did."""
        return "" if self.chosen.preset in self.approved else self.chosen.ask

    def lines(self) -> Iterator[str]:
        """The decision, its reasons, and the alternatives with why not, for a person."""
        chosen = self.chosen
        how = "as the brief says" if self.asked == chosen.preset else "chosen by Reelwright"
        yield f"{chosen.preset} ({chosen.title}), {how}: {chosen.words}"
        for reason in (*self.reasons, *chosen.reasons):
            yield f"because: {reason}"
        if self.ask:
            yield f"a person must approve it: {self.ask}"
        for setback in self.setbacks:
            yield f"tried before: {setback.preset}: {setback.reason}"
        for place, item in enumerate(self.left, start=1):
            why = "; ".join((*([item.later] if item.later else []), *item.reasons))
            yield f"next, number {place}: {item.preset}, {item.words}; {why}"
        same: dict[str, list[str]] = {}
        for other in self.alternatives:
            reason = other.reason.replace(f"preset {other.preset!r}", "preset")
            same.setdefault(reason, []).append(other.preset)
        for reason, names in same.items():
            yield f"not {', '.join(names)}: {reason}"
