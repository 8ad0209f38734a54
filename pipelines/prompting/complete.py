"""The strategy `complete`: a language model continues the brief's own words, shot by shot.

It is the strategy for base models, and what is tried next where an instruct model gave no film.
"""

from collections.abc import Sequence

from pipelines.errors import EnhancerError
from pipelines.prompting.asking import NoAnswerError
from pipelines.prompting.cameras import camera_of
from pipelines.prompting.gates import fault_of
from pipelines.prompting.llama import PromptEnhancer, ShotRequest
from pipelines.prompting.stored import shot_digests
from pipelines.schema.keys import Digest
from pipelines.schema.storyboard import Shot, ShotSource, Strategy
from pipelines.schema.text import without_control_tokens

ATTEMPTS = 3
SEED_STEP = 100_003
"""Difference of seeds between attempts. It is larger than any number of shots, so no two requests
share a seed."""


class Complete:
    """The work of this strategy on one brief. Shot n depends on the brief and on shots 1 to n-1
    only."""

    name: Strategy = "complete"

    def __init__(self, idea: str, seed: int, count: int, enhancer: PromptEnhancer) -> None:
        self._idea, self._seed, self._enhancer = idea, seed, enhancer
        self._digests = list(shot_digests(count, idea, seed, enhancer.name))

    def digest(self, number: int) -> Digest:
        """Identity of shot `number`."""
        return self._digests[number - 1]

    def write(self, number: int, earlier: Sequence[Shot]) -> Shot:
        """Shot `number`. Raises NoAnswerError if the model fails, or all its answers do."""
        camera, opening = camera_of(number), opening_of(self._idea)
        before = [shot.prompt.removeprefix(f"{shot.camera}: {opening}") for shot in earlier]
        fault = ""
        for attempt in range(ATTEMPTS):
            seed = self._seed + number + attempt * SEED_STEP
            request = ShotRequest(self._idea, camera, opening, seed)
            try:
                words = without_control_tokens(self._enhancer.words(request))
            except EnhancerError as error:
                raise NoAnswerError("failed", str(error)) from error
            fault = fault_of(words, self._idea, before)
            if not fault:
                source: ShotSource = "llm-retry" if attempt else "llm"
                prompt = f"{camera}: {opening}, {words}"
                return Shot(
                    number=number, camera=camera, prompt=prompt, source=source, strategy=self.name
                )
        raise NoAnswerError(
            "refused", f"{ATTEMPTS} answers failed the checks, the last one: {fault}"
        )

    def restored(self, shot: Shot) -> Shot:
        """A shot from the bucket. Versions up to 0.4 did not note who wrote it."""
        return shot.model_copy(update={"strategy": self.name})


def opening_of(idea: str) -> str:
    """The brief's words as the beginning of a sentence."""
    return idea[:1].upper() + idea[1:].rstrip(" .,;:!?")
