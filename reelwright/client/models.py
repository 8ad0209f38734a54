"""What the client's methods return."""

from typing import Literal

from reelwright.client.answers import RunView, Tested, VideoView

RunState = Literal[
    "accepted", "running", "awaiting_approval", "completed", "failed", "rejected", "cancelled"
]


class Run(RunView):
    """One brief on its way to a video."""

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("completed", "failed", "rejected", "cancelled")


class Video(VideoView):
    """A published video."""


class WebhookTest(Tested):
    """What became of a test event."""
