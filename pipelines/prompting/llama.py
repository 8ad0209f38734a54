"""The prompt enhancer: asks the language model in a child process, and restarts the child if it
fails."""

import inspect
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, Self

from pipelines import processes
from pipelines.errors import EnhancerError
from pipelines.prompting import llama_child
from pipelines.prompting.texts import TEMPLATES

MAX_TOKENS = 96
_CHILD = inspect.getsource(llama_child)
"""Source of the child, given to it as text. If the child read the file, it could read that of
another version."""
_STARTS = 2
"""Most starts of the child in one run."""


@dataclass(frozen=True)
class ShotRequest:
    """A request to the enhancer for words that continue `opening`."""

    idea: str
    camera: str
    opening: str
    seed: int


class PromptEnhancer(Protocol):
    """A model that continues a shot's opening with a few words."""

    @property
    def name(self) -> str: ...

    def words(self, request: ShotRequest) -> str:
        """The continuation, unchecked. Raises EnhancerError if there is no answer."""


@dataclass(frozen=True)
class LlamaOptions:
    """How the model is loaded, and how long loading and answers may take (seconds)."""

    context: int = 2048
    threads: int = 1
    gpu_layers: int = 0
    load_timeout: float = 300.0
    answer_timeout: float = 120.0


class LlamaEnhancer:
    """A GGUF model in a child process, which starts at the first request and is restarted once.

    Use it as a context manager: the exit ends the child, which frees all its memory.
    """

    def __init__(
        self,
        model: Path,
        name: str,
        prompt: Literal["completion", "instruct"],
        options: LlamaOptions,
    ) -> None:
        self._model = model
        self._name = name
        self._template = TEMPLATES[prompt]
        self._options = options
        self._child: _Child | None = None
        self._starts_left = _STARTS

    @property
    def name(self) -> str:
        return self._name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def renew(self) -> Self:
        """Prepare for another run: the child may again be started twice."""
        self._starts_left = _STARTS
        return self

    def close(self) -> None:
        """End the child."""
        self._drop()

    def words(self, request: ShotRequest) -> str:
        """The continuation, unchecked, up to the end of a sentence.

        Raises EnhancerError if the child could not answer, or failed after its last start.
        """
        message = {
            "pieces": self._pieces(request),
            "seed": request.seed % 2**31,
            "max_tokens": MAX_TOKENS,
        }
        while True:
            try:
                if self._child is None:
                    self._start()
                assert self._child is not None
                answer = self._child.ask(message, self._options.answer_timeout)
            except EnhancerError:
                self._drop()
                if self._starts_left == 0:
                    raise
                continue
            if "text" not in answer:
                raise EnhancerError(f"the enhancer could not answer: {answer.get('error', answer)}")
            return _whole_sentence(str(answer["text"]), cut=answer.get("finish") == "length")

    def _pieces(self, request: ShotRequest) -> list[tuple[str, bool]]:
        """The prompt as pairs (text, may hold control tokens). Only our own template may hold
        them."""
        pieces: list[tuple[str, bool]] = []
        rest = self._template.removeprefix("<s>")  # the child adds it as a token
        while "{" in rest:
            before, _, rest = rest.partition("{")
            field, _, rest = rest.partition("}")
            pieces += [(before, True), (getattr(request, field), False)]
        return [*pieces, (rest, True)]

    def _start(self) -> None:
        if self._starts_left == 0:
            raise EnhancerError("the enhancer's process was given up after two starts")
        self._starts_left -= 1
        self._child = _Child(self._model, self._options)

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _whole_sentence(text: str, *, cut: bool) -> str:
    """The text up to its last full stop. A text that the token limit cut keeps only whole
    sentences."""
    text = " ".join(text.split())
    end = max(text.rfind(mark) for mark in ".!?")
    if end >= 0:
        return text[: end + 1]
    return "" if cut else text


class _Child:
    def __init__(self, model: Path, options: LlamaOptions) -> None:
        numbers = (options.context, options.threads, options.gpu_layers)
        argv = [sys.executable, "-c", _CHILD, str(model)]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = processes.start_child(
            [*argv, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._buffer = b""
        try:
            answer = self._read(options.load_timeout)
            if not answer.get("ready"):
                raise EnhancerError(f"the enhancer's model does not load: {answer.get('error')}")
        except BaseException:
            self.close()
            raise

    def ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EnhancerError(self._reason_of_exit()) from error
        return self._read(timeout)

    def _read(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise EnhancerError(f"the enhancer gave no answer within {timeout:g} s")
                data = os.read(self._process.stdout.fileno(), 65536)
                if not data:
                    raise EnhancerError(self._reason_of_exit())
                self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise EnhancerError(f"the enhancer answered nonsense: {line[:80]!r}") from error
        if not isinstance(answer, dict):
            raise EnhancerError(f"the enhancer answered nonsense: {line[:80]!r}")
        return answer

    def _reason_of_exit(self) -> str:
        code = processes.stop(self._process, 1.0)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return f"the enhancer's process died (code {code}) {' '.join(last)}".strip()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # the child died before it read the request
        processes.stop(self._process, 2.0)
        self._errors.close()
