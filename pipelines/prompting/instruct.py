"""What a language model that follows instructions is asked, and how it is reached.

The strategy `direct` asks such a model for outline, sheet and shots; `pipelines.prompting.llama` is
the model in a child process.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Instruction:
    """One question, which the model answers with a JSON object."""

    text: str
    """The instruction. A word in braces, such as `{idea}`, is a field of `data`."""
    data: Mapping[str, str]
    """What people or a model wrote. It never becomes a control token."""
    schema: Mapping[str, Any]
    """JSON schema of the answer, within what `grammar.grammar_of` takes. Its strings are bounded:
    no answer is longer than `max_tokens`. The model does not see it: `text` names the fields."""
    seed: int
    max_tokens: int
    temperature: float = 0.0
    """0: the most probable token each time, whatever the seed."""
    seconds: float = math.inf
    """Most seconds for the answer, beside the model's own limit. It decides no word."""


class InstructModel(Protocol):
    """A model with a chat template, which obeys."""

    @property
    def name(self) -> str:
        """Name and revision; part of the identity of what it writes."""

    @property
    def context(self) -> int:
        """Tokens of question and answer together."""

    def structured(self, instruction: Instruction) -> str:
        """JSON text that follows the schema. A model without a grammar may return any text, and an
        answer that reaches `max_tokens` is cut, so the caller checks it.

        Raises EnhancerError if the model did not load, gave no answer, or has no room for it.
        """

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` in the model's own vocabulary. Raises EnhancerError as above."""
