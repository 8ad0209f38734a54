"""A translation model (MarianMT) in a child process on the CPU, which ends when it has answered."""

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines import processes
from pipelines.errors import EnhancerError
from pipelines.language import marian_child

TIMEOUT = 150.0
"""Seconds for loading, and as many for each text. On one busy core, importing the libraries took up
to a minute."""
SETTING = "REELWRIGHT_LLM_TRANSLATE_TIMEOUT"
"""Name of the variable that sets it."""
_CHILD = inspect.getsource(marian_child)
"""Source of the child, given to it as text. If the child read the file, it could read that of
another version."""


@dataclass(frozen=True)
class MarianTranslator:
    """A model in `folder`, as the hub has it. No memory is held between two calls."""

    folder: Path
    name: str
    threads: int = 1
    timeout: float = TIMEOUT
    """Seconds as of TIMEOUT."""

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        """The `texts` in English, unchecked. `language` is the model's own.

        Raises EnhancerError if the model does not load, dies, or gives no answer in time, which is
        `timeout` seconds for loading and for each text.
        """
        limit = self.timeout * (1 + len(texts))
        asked = {"folder": str(self.folder), "threads": self.threads, "texts": list(texts)}
        child = processes.start_child(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # It must not take memory of the GPU, and asks no hub.
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        )
        try:
            line = json.dumps(asked).encode() + b"\n"
            output, errors = child.communicate(line, timeout=limit)
        except subprocess.TimeoutExpired as error:
            reason = (
                f"the translator for {language!r} gave no answer within {limit:g} s, which are "
                f"{self.timeout:g} s for its start and as many for each of {len(texts)} texts; the "
                f"operator can raise {SETTING}"
            )
            raise EnhancerError(reason) from error
        finally:
            processes.stop(child, 1.0)
        return self._answer(output, errors, child.returncode, len(texts))

    def _answer(self, output: bytes, errors: bytes, code: int, count: int) -> list[str]:
        try:
            answer = json.loads(output.splitlines()[-1])
            found = answer["texts"]
        except (IndexError, ValueError):
            last = " ".join(errors.decode(errors="replace").strip().splitlines()[-1:])
            raise EnhancerError(f"the translator's process died (code {code}) {last}") from None
        except KeyError:
            raise EnhancerError(f"the translator failed: {answer.get('error')}") from None
        if len(found) != count:
            raise EnhancerError(f"the translator gave {len(found)} texts for {count}")
        return [str(text) for text in found]
