"""The prompt enhancer: asks the language model in a child process, and restarts the child if it
fails."""

import inspect
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, Self

from pipelines import processes
from pipelines.errors import EnhancerError
from pipelines.prompting import llama_child
from pipelines.prompting.placement import Placement
from pipelines.prompting.texts import MARKERS, TEMPLATES

MAX_TOKENS = 96
KvCache = Literal["f16", "q8_0", "q4_0"]
"""Numbers of the context's keys and values, as llama.cpp calls them."""
_CACHE_BITS: dict[KvCache, float] = {"f16": 16, "q8_0": 8.5, "q4_0": 4.5}
"""Bits of one number: blocks of 32 share a factor of 16 bits."""
_GGML_TYPES: dict[KvCache, int] = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""Numbers of `enum ggml_type`. llama_cpp has them too, but its import loads the library."""
_FIELD = re.compile(r"\{(\w+)\}")
_MARKER = re.compile("|".join(re.escape(marker) for marker in MARKERS))
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
    """Tokens of prompt and answer together."""
    batch: int = 512
    """Tokens of a prompt that are evaluated at once."""
    threads: int = 1
    """Threads while words are written, token by token."""
    prompt_threads: int = 0
    """Threads while a prompt is evaluated; 0: one for each core."""
    gpu_layers: int = 0
    """Layers on the GPU; -1: all."""
    flash_attention: bool = False
    kv_cache: KvCache = "f16"
    """Others than `f16` need flash attention, which is then on."""
    load_timeout: float = 300.0
    answer_timeout: float = 120.0

    @property
    def cache_bits(self) -> float:
        """Bits of a number of the context's keys and values, for the memory that it needs."""
        return _CACHE_BITS[self.kv_cache]

    @property
    def uses_flash_attention(self) -> bool:
        """Whether it is on, by its own option or for the sake of `kv_cache`."""
        return self.flash_attention or self.kv_cache != "f16"

    @property
    def maps_file(self) -> bool:
        """Whether the file is mapped, and not read. For a CPU, llama.cpp packs weights anew where
        the processor computes faster so. A mapped file would stay in memory beside that copy: a
        model of 4.4 GB took 8.8 GB."""
        return self.gpu_layers != 0

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of `llama_cpp.Llama`."""
        return {
            "n_ctx": self.context,
            "n_batch": self.batch,
            "n_ubatch": self.batch,
            "n_threads": self.threads,
            "n_threads_batch": self.prompt_threads or None,
            "n_gpu_layers": self.gpu_layers,
            "use_mmap": self.maps_file,
            "flash_attn": self.uses_flash_attention,
            "type_k": _GGML_TYPES[self.kv_cache],
            "type_v": _GGML_TYPES[self.kv_cache],
        }


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
        self.placement: Placement | None = None
        """Where the model lies, as llama.cpp said at the last start of the child."""

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

    def load(self) -> Placement:
        """Start the child, if it does not run, and return where the model lies.

        Raises EnhancerError if the model does not load, or the child has no starts left.
        """
        if self._child is None:
            self._start()
        assert self.placement is not None
        return self.placement

    @property
    def notice(self) -> str:
        """A sentence if the model should be on a GPU and no layer of it is; else empty."""
        if self.placement is None or not self._options.gpu_layers:
            return ""
        reason = self.placement.why_not_on_gpu
        return f"the language model ran on the CPU beside a GPU: {reason}" if reason else ""

    def words(self, request: ShotRequest) -> str:
        """The continuation, unchecked, up to the end of a sentence.

        Raises EnhancerError if the child could not answer, or failed after its last start.
        """
        parts, head = self._parts(request)
        message = {
            "parts": parts,
            "head": head,
            "seed": request.seed % 2**31,
            "max_tokens": MAX_TOKENS,
        }
        while True:
            try:
                self.load()
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

    def _parts(self, request: ShotRequest) -> tuple[list[tuple[str, bool]], int]:
        """The prompt as pairs (text, is marker), and how many of them stand before the first field.

        Markers are looked for before the fields are filled: what people write never is one.
        """
        parts: list[tuple[str, bool]] = []
        head = 0
        for text, is_marker in _split(self._template):
            before, *_ = _FIELD.split(text)
            if not head and before != text:
                parts.append((before, False))
                head, text = len(parts), text.removeprefix(before)
            filled = _FIELD.sub(lambda field: str(getattr(request, field[1])), text)
            parts.append((filled, is_marker))
        return parts, head

    def _start(self) -> None:
        if self._starts_left == 0:
            raise EnhancerError("the enhancer's process was given up after two starts")
        self._starts_left -= 1
        self._child = _Child(self._model, self._options)
        self.placement = self._child.placement

    def _drop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def _split(template: str) -> list[tuple[str, bool]]:
    """The template as pairs (text, is marker), without the beginning that the child adds."""
    parts: list[tuple[str, bool]] = []
    position = 0
    for marker in _MARKER.finditer(template):
        parts += [(template[position : marker.start()], False), (marker[0], True)]
        position = marker.end()
    return [*parts, (template[position:], False)]


def _whole_sentence(text: str, *, cut: bool) -> str:
    """The text up to its last full stop. A text that the token limit cut keeps only whole
    sentences."""
    text = " ".join(text.split())
    end = max(text.rfind(mark) for mark in ".!?")
    if end >= 0:
        return text[: end + 1]
    return "" if cut else text


def _placement_in(answer: dict[str, Any]) -> Placement:
    try:
        return Placement.of(answer)
    except KeyError as error:
        raise EnhancerError(f"the enhancer answered nonsense: it left out {error}") from error


def _environment(options: LlamaOptions) -> Mapping[str, str] | None:
    """The child's environment. Without layers on the GPU it sees none: a llama.cpp that is built
    with CUDA would have a context there, and compute prompts with it, all the same."""
    return None if options.gpu_layers else os.environ | {"CUDA_VISIBLE_DEVICES": ""}


class _Child:
    def __init__(self, model: Path, options: LlamaOptions) -> None:
        argv = [sys.executable, "-c", _CHILD, str(model), json.dumps(options.arguments)]
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        self._process = processes.start_child(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(options),
        )
        self._buffer = b""
        try:
            answer = self._read(options.load_timeout)
            if not answer.get("ready"):
                raise EnhancerError(f"the enhancer's model does not load: {answer.get('error')}")
            self.placement = _placement_in(answer)
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
