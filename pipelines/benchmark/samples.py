"""The outcome of one video of a comparison, as it is stored in the bucket."""

from typing import Literal

from pipelines.schema.frozen import Frozen
from pipelines.schema.keys import Digest
from pipelines.schema.money import Money

Outcome = Literal["made", "refused", "unavailable", "failed"]
"""`made`: a published video. Everything else is no success: `refused` by the backend because of the
content, `unavailable` or over its quota, `failed` for another reason."""


class Measure(Frozen):
    """One automatic measurement of a video."""

    name: str
    value: float
    scorer: str
    """Who measured it. Values of different scorers are never compared."""


class Film(Frozen):
    """What was made, at what cost."""

    content_id: Digest
    seconds: float
    """Length of the video."""
    size: str
    """Width*height of the finished video in pixels."""
    fps: int
    wall_seconds: float | None
    """Sum of the run's stages, with the loading of models. None if the run that published it found
    parts of it in the bucket: that time says nothing about the backend."""
    device: Literal["cuda", "cpu", "remote", "unknown"]
    gpu_bytes: int
    """Most on the GPU in any stage: torch's reserve, child processes and contexts, as NVML and
    torch count them. 0 without a GPU."""
    ram_bytes: int
    """Most of the process in memory."""


class Sample(Frozen):
    """One video of one candidate: what came of it."""

    candidate: str
    """Slug of the candidate."""
    number: int
    prompt: str
    seed: int
    outcome: Outcome
    problem: str = ""
    """Why there is no video."""
    film: Film | None = None
    cost: Money | None = None
    """None if nobody knows a price. A failed video may have cost something, too."""
    cost_basis: Literal["", "estimated", "billed"] = ""
    measures: tuple[Measure, ...] = ()
    scorers: tuple[str, ...] | None = None
    """Those that have measured it; None if it was not measured yet."""

    @property
    def file(self) -> str:
        """Its name in the folder of the comparison."""
        return sample_file(self.candidate, self.number)

    @property
    def clip(self) -> str:
        """Name of the file of its video there."""
        return f"{self.candidate}-{self.number:03}.mp4"

    @property
    def poster(self) -> str:
        """Name of the file of its poster there."""
        return f"{self.candidate}-{self.number:03}.jpg"


def sample_file(candidate: str, number: int) -> str:
    """Name of the file of the sample of that candidate and number."""
    return f"sample-{candidate}-{number:03}.json"
