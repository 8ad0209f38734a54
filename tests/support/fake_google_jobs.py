"""The jobs that the fake of Google's services took, and what they cost."""

from dataclasses import dataclass
from decimal import Decimal

from tests.support.fake_google_rules import VEO_MODELS

TOKENS = {"360p": 1931, "720p": 5792, "1080p": 8688}
"""Output tokens for a second of Omni. 5,792 at 720p: docs of resellers of Omni 1.0."""
PER_TOKEN = {"video": Decimal("0.000012"), "text": Decimal("0.000009"), "in": Decimal("0.0000015")}
PER_SECOND = {"720p": Decimal("0.10"), "1080p": Decimal("0.12")}
"""Of veo-3.1-fast."""
THOUGHTS = 120


@dataclass
class Job:
    """A job that was taken, and will be charged."""

    id: str
    model: str
    mode: str
    resolution: str
    aspect: str
    seconds: int
    delivery: str
    by_second: Decimal | None = None
    """Price of a second, in place of tokens, if the account has a contract of that kind."""
    looks: int = 0
    cancelled: bool = False

    @property
    def has_clip(self) -> bool:
        return self.mode in ("ok", "lost", "unreadable", "elsewhere", "storing") or (
            self.mode.startswith(("short", "truncated"))
        )

    @property
    def amount(self) -> Decimal:
        """What it costs."""
        price = PER_SECOND[self.resolution] if self.model in VEO_MODELS else self.by_second
        if price is not None:
            return price * self.seconds if self.has_clip else Decimal(0)
        counted = self.tokens
        return sum((counted[name] * price for name, price in PER_TOKEN.items()), Decimal(0))

    @property
    def tokens(self) -> dict[str, int]:
        if self.mode == "budget":
            return {"video": 0, "text": 0, "in": 0}
        video = TOKENS[self.resolution] * self.seconds if self.has_clip else 0
        return {"video": video, "text": THOUGHTS, "in": 40}
