"""Entries of the cost ledger, as they lie in the bucket.

The ledger is one book a month. A book is a list of entries that are numbered from 1 without gaps
and are never changed. Each entry names the SHA-256 of the one before it, so that a missing or
replaced entry is found.
"""

import hashlib
from decimal import Decimal
from typing import Literal

from pydantic import Field

from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money

MONTH = r"[0-9]{4}-(?:0[1-9]|1[0-2])"
"""Pattern of a month, such as `2026-11`."""
Basis = Literal["estimated", "billed"]
"""`billed`: calculated from what the service counted. `estimated`: from a price list or a formula
of the operator."""
Action = Literal["reserve", "settle", "release", "keep", "gpu", "close"]
State = Literal["reserved", "settled", "kept", "released"]
"""`reserved` will be spent, `settled` is spent, `kept` counts as spent because nobody can say what
it cost, `released` cost nothing."""


class Spender(Frozen):
    """For what money is spent."""

    run: str
    """Id of the editor's run. A child run on another host has the id of its parent here."""
    campaign: str = ""
    video: str = ""
    """Content id, as soon as the plan is made."""
    preset: str = ""
    waived: tuple[str, ...] = ()
    """Caps that a person has waived for this run: `video`, `campaign`, `day` or `month`."""
    waived_up_to: Money | None = None
    """The most that this run may spend with this preset while those caps are waived: the sum that
    the person approved. None: nothing is waived."""


class Waiver(Frozen):
    """What a person allowed a run by approving a price."""

    caps: tuple[str, ...] = ()
    up_to: Money | None = None
    """The sum that the person saw. None: it is not known, and then nothing is waived."""


NO_WAIVER = Waiver()


class GpuUse(Frozen):
    """How the price of GPU time was calculated."""

    seconds: Decimal
    electricity: Money
    depreciation: Money
    formula: str
    """In words, with the operator's figures."""


class Posting(Frozen):
    """One sum of an entry. The newest posting with an id says what that id costs."""

    id: str = Field(min_length=1, max_length=200)
    backend: str
    state: State
    price: Money
    basis: Basis = "estimated"
    reason: str = ""
    gpu: GpuUse | None = None
    """Only of GPU time of our own."""


class Draft(Frozen):
    """What an entry will say, before it has a number."""

    action: Action
    spender: Spender
    postings: tuple[Posting, ...] = ()
    next_month: str = ""
    """Only of `close`: the month whose book goes on."""


class Entry(Frozen):
    """One entry, stored as `ledger/<month>/<number>.json`."""

    version: Literal[1] = 1
    month: str = Field(pattern=f"^{MONTH}$")
    number: int = Field(ge=1, le=99_999_999)
    before: str = ""
    """SHA-256 of the entry before; empty for the first one."""
    time: str
    """UTC, ISO 8601."""
    day: str
    """Day in the studio's time zone, within the month of the book."""
    action: Action
    spender: Spender
    postings: tuple[Posting, ...] = ()
    next_month: str = Field("", pattern=f"^({MONTH})?$")

    def as_bytes(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(indent=1).encode()


def sha256_of(data: bytes) -> Digest:
    """What the next entry says of an entry with these bytes."""
    return Digest(hashlib.sha256(data).hexdigest())
