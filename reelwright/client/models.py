"""What the client's methods return."""

from typing import Literal

from reelwright.client.answers import (
    DraftedStoryboard,
    LinkView,
    NoteView,
    RouteAnswer,
    RunView,
    Share,
    Tested,
    TrashedView,
    VideoView,
)

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


class Check(RouteAnswer):
    """What a brief would be made with. Nothing was started."""


class StoryboardDraft(DraftedStoryboard):
    """The storyboard that a run asks about."""


class Note(NoteView):
    """What people say about a video."""


class Trashed(TrashedView):
    """A video that was deleted and can be taken back."""


class Link(LinkView):
    """A link that shows one video without a login."""


class NewLink(Link, Share):
    """A link that was just made, with its address."""


class WebhookTest(Tested):
    """What became of a test event."""
