"""All errors that a user can meet, with the exit codes of the command line.

A message is one or two sentences: what was found, the rule, the remedy, and what state is left
behind. The cause stays attached (`raise … from error`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this module is imported everywhere, also where pydantic is not needed
    from collections.abc import Mapping

    from pipelines.schema.money import Money


class ReelwrightError(Exception):
    """Base of all errors. Its message is written for an editor or an operator."""

    exit_code = 1


class BriefError(ReelwrightError):
    """The brief breaks a rule; nothing was started and nothing was written."""

    exit_code = 2


class StoryboardError(BriefError):
    """Shots of an edited storyboard break a rule; nothing was changed and nothing was started."""

    def __init__(self, problems: "Mapping[int, str]") -> None:
        listed = [f"shot {index + 1}: {words}" for index, words in problems.items()]
        super().__init__("; ".join(listed))
        self.problems = dict(problems)
        """A sentence for each shot, by its index in the edited list."""


class SettingsError(ReelwrightError):
    """A setting is missing or invalid, or a program that it names is missing."""


class WeightsError(ReelwrightError):
    """Model files are missing, truncated, altered, or cannot be fetched."""


class EnhancerError(ReelwrightError):
    """The language model's process crashed, hung, or gave an invalid answer."""


class GenerationError(ReelwrightError):
    """A backend could not make a chunk."""


class RefusedError(GenerationError):
    """A backend refuses the content of a request. No other backend is tried: it might be laxer."""


class UnavailableError(GenerationError):
    """A backend cannot be used now. The video may be made by the next candidate of its route."""


class QuotaError(UnavailableError):
    """A remote backend takes no more requests of ours for now."""


class LostJobError(UnavailableError):
    """A paid job may have been started, and nobody can say which one it is. It is never submitted a
    second time; its price stays in the ledger."""


class PendingJobError(GenerationError):
    """A paid job was started and is known, but its clip cannot be had now. No other backend is
    tried, because the same chunk would be paid twice; another run goes on with the job."""


class AnswerLostError(ReelwrightError):
    """A request may have arrived at a server, but no answer came."""


class BudgetError(ReelwrightError):
    """The price of a video is above a cap. Nothing was spent."""

    def __init__(self, message: str, cap: str = "", total: "Money | None" = None) -> None:
        """`cap` is its name: `video`, `campaign`, `day` or `month`. `total` is what the run would
        have spent with the sum that was refused."""
        super().__init__(message)
        self.cap, self.total = cap, total


class BadFramesError(GenerationError):
    """A chunk is non-finite or black, and was discarded."""


class MediaError(ReelwrightError):
    """ffmpeg failed, or its output is not what was asked for."""


class UpscaleError(ReelwrightError):
    """Real-ESRGAN could not upscale a segment."""


class RenderError(ReelwrightError):
    """The GPU host could not make the film."""


class RejectedError(ReelwrightError):
    """A person rejected a storyboard or a video; nothing was published."""


class StoreError(ReelwrightError):
    """The object store is unreachable, refuses access, or is full."""


class CorruptObjectError(StoreError):
    """An object's bytes do not match its recorded sha256, or cannot be read to their end."""


class MissingObjectError(CorruptObjectError):
    """An object that was there a moment ago was swept, or somebody deleted it."""


class ServerError(ReelwrightError):
    """An embedded server (object store, Prefect) could not be started."""


class DiskFullError(ReelwrightError):
    """A local disk has no room for what is about to be written."""


class BackupError(ReelwrightError):
    """A backup cannot be made, read, or restored; the studio is unchanged."""
