"""A writer whose answers are kept in a file, so that a second scorecard does not ask again.

An answer depends on the writer and on what it is asked, and on nothing else. So a changed gate uses
the kept answers, and only questions that no run has asked before take time.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.prompting.instruct import Instruction, InstructModel
from pipelines.prompting.llama import PromptEnhancer, ShotRequest
from pipelines.prompting.texts import TEMPLATES
from pipelines.schema.plan import digest_of


class Writer(PromptEnhancer, InstructModel, Protocol):
    """A model that continues words, and answers in JSON."""

    @property
    def strategy(self) -> Literal["complete", "direct"]:
        """How it is to be asked."""


class RecordedWriter:
    """A writer beside the file `path` of JSON lines, which is made if it is not there.

    An answer that is found in the file counts with the seconds that it took when it was given.
    """

    def __init__(self, writer: Writer, path: Path) -> None:
        self._writer, self._path = writer, path
        self._kept = _read(path)
        self.asked = 0
        """Questions so far."""
        self.fresh = 0
        """Those of them that were put to the writer now."""
        self.seconds = 0.0
        """What the answers so far took the writer."""

    @property
    def name(self) -> str:
        return self._writer.name

    @property
    def strategy(self) -> Literal["complete", "direct"]:
        return self._writer.strategy

    @property
    def context(self) -> int:
        return self._writer.context

    def words(self, request: ShotRequest) -> str:
        """As PromptEnhancer says. Raises EnhancerError, of which nothing is kept."""
        question = ["words", TEMPLATES, _without_time(request)]
        return self._answer(question, lambda: self._writer.words(request))

    def structured(self, instruction: Instruction) -> str:
        """As InstructModel says. Raises EnhancerError, of which nothing is kept."""
        question = ["structured", _without_time(instruction)]
        return self._answer(question, lambda: self._writer.structured(instruction))

    def count_tokens(self, text: str) -> int:
        return self._writer.count_tokens(text)

    def _answer(self, question: list[Any], ask: Callable[[], str]) -> str:
        key = digest_of([self.name, *question])
        self.asked += 1
        if key not in self._kept:
            start = time.monotonic()
            text = ask()
            self._keep(key, text, round(time.monotonic() - start, 3))
        text, seconds = self._kept[key]
        self.seconds += seconds
        return text

    def _keep(self, key: str, text: str, seconds: float) -> None:
        self.fresh += 1
        self._kept[key] = (text, seconds)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "text": text, "seconds": seconds}) + "\n")


def _without_time(question: ShotRequest | Instruction) -> dict[str, Any]:
    """What decides the answer."""
    return {name: value for name, value in asdict(question).items() if name != "seconds"}


def _read(path: Path) -> dict[str, tuple[str, float]]:
    """The answers by their keys. A last line that was cut when its run was killed is left out."""
    kept: dict[str, tuple[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            item = json.loads(line)
        except ValueError:
            continue
        kept[item["key"]] = (item["text"], item["seconds"])
    return kept
