"""The prompt enhancer: asks the language model in a child process, and restarts the child if it
fails."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pipelines.errors import EnhancerError
from pipelines.prompting.deadline import Deadline
from pipelines.prompting.grammar import grammar_of
from pipelines.prompting.instruct import Instruction
from pipelines.prompting.llama_process import LlamaProcess
from pipelines.prompting.placement import Placement
from pipelines.prompting.texts import TEMPLATES, marked_parts

MAX_TOKENS = 96
"""Of the words that continue a shot."""
TEMPERATURE = 0.7
"""Likewise; a community value for Mistral 7B Instruct."""
Kind = Literal["completion", "instruct"]
"""A base model continues a text, an instruct model obeys."""
KvCache = Literal["f16", "q8_0", "q4_0"]
"""Numbers of the context's keys and values, as llama.cpp calls them."""
_CACHE_BITS: dict[KvCache, float] = {"f16": 16, "q8_0": 8.5, "q4_0": 4.5}
"""Bits of one number: blocks of 32 share a factor of 16 bits."""
_GGML_TYPES: dict[KvCache, int] = {"f16": 1, "q8_0": 8, "q4_0": 2}
"""Numbers of `enum ggml_type`. llama_cpp has them too, but its import loads the library."""
_FIELD = re.compile(r"\{(\w+)\}")
_STARTS = 2
"""Most starts of the child in one run."""
_GRACE = 10.0
"""Most seconds after its time in which a child must stop an answer by itself, or it is ended. It
looks at the clock after each token; reading a prompt can take it longer."""


@dataclass(frozen=True)
class ShotRequest:
    """A request to the enhancer for words that continue `opening`."""

    idea: str
    camera: str
    opening: str
    seed: int
    seconds: float = math.inf
    """Most seconds for the answer, beside the model's own limit. It decides no word."""


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
    temperature: float | None = None
    """Of every answer; 0: the most probable token each time. None: as each question asks."""
    prompt_cache: bool = True
    """Whether the beginnings that prompts share are evaluated once."""
    strategy: Literal["auto", "complete", "direct"] = "auto"
    """How the model is to be asked for shots; `auto`: as its kind can. With `direct` a base model
    is asked questions as plain text. Its answers follow the schema, and make little sense."""
    load_timeout: float = 300.0
    answer_timeout: float = 120.0
    """For every `MAX_TOKENS` of the longest answer."""
    storyboard_timeout: float = math.inf
    """For all answers of a storyboard of up to `time_limit.SHOTS` shots."""

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
        prompt: Kind,
        options: LlamaOptions,
    ) -> None:
        self._model = model
        self._name = name
        self._kind = prompt
        self._template = TEMPLATES[prompt]
        self._options = options
        self._child: LlamaProcess | None = None
        self._vocabulary: LlamaProcess | None = None
        """Has loaded the vocabulary alone, for counting before the model is loaded."""
        self._starts_left = _STARTS
        self.placement: Placement | None = None
        """Where the model lies, as llama.cpp said at the last start of the child."""

    @property
    def name(self) -> str:
        """Name and revision, and a temperature that the options set."""
        forced = self._options.temperature
        return self._name if forced is None else f"{self._name}, temperature {forced:g}"

    @property
    def kind(self) -> Kind:
        """Whether it continues or obeys."""
        return self._kind

    @property
    def strategy(self) -> Literal["complete", "direct"]:
        """How it is to be asked for shots."""
        if self._options.strategy != "auto":
            return self._options.strategy
        return "direct" if self._kind == "instruct" else "complete"

    @property
    def context(self) -> int:
        """Tokens of question and answer together."""
        return self._options.context

    @property
    def storyboard_timeout(self) -> float:
        """Seconds for all answers of a storyboard."""
        return self._options.storyboard_timeout

    @property
    def child_pid(self) -> int | None:
        """Process id of the child, if it runs."""
        return self._child.pid if self._child else None

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

    def load(self, within: float = math.inf) -> Placement:
        """Start the child, if it does not run, and return where the model lies.

        Raises EnhancerError if the model does not load `within` so many seconds, or the child has
        no starts left.
        """
        if self._child is None:
            self._start(min(within, self._options.load_timeout))
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
        answer = self._ask(
            {
                "parts": parts,
                "head": head,
                **self._sampling(request.seed, MAX_TOKENS, TEMPERATURE),
            },
            Deadline(request.seconds),
        )
        return _whole_sentence(str(answer["text"]), cut=answer.get("finish") == "length")

    def structured(self, instruction: Instruction) -> str:
        """The model's answer to `instruction`, as JSON text that follows its schema.

        The same instruction gives the same text on the same build and device, whatever was asked
        before. An answer that reaches `max_tokens` is returned as far as it goes, which is no JSON:
        the caller can name that fault and ask again, which an error would not let it.

        Raises EnhancerError if the schema cannot be a grammar (see `grammar_of`), if the model has
        no chat template, if question and answer do not fit into the context (told by the vocabulary
        alone, before the model is loaded), or as `words`.
        """
        request, end = self._question(instruction), Deadline(instruction.seconds)
        self._check_room(request, end)
        share = max(1.0, instruction.max_tokens / MAX_TOKENS)
        answer = self._ask(request, end, share)
        return str(answer["text"]).strip()

    def count_tokens(self, text: str) -> int:
        """Tokens of `text` in the model's own vocabulary, without a beginning or an end.

        The vocabulary is loaded for it, and not the model. Raises EnhancerError if it does not
        load.
        """
        return self._counted({"counted": text}, Deadline())

    def _question(self, instruction: Instruction) -> dict[str, Any]:
        """The request of `instruction`. Raises EnhancerError for a schema without a grammar."""
        fields = set(_FIELD.findall(instruction.text))
        if absent := sorted(fields - set(instruction.data)):
            raise EnhancerError(f"the instruction has the field {absent[0]!r}, and no data for it")
        try:
            grammar = grammar_of(instruction.schema)
        except ValueError as error:
            raise EnhancerError(f"the answer's schema is no grammar: {error}") from error
        head, *_ = _FIELD.split(instruction.text.lstrip())
        filled = _FIELD.sub(lambda field: instruction.data[field[1]], instruction.text)
        return {
            "question": filled.strip(),
            "head": head.rstrip(),
            "plain": self._kind == "completion" and self._options.strategy == "direct",
            "grammar": grammar,
            **self._sampling(instruction.seed, instruction.max_tokens, instruction.temperature),
        }

    def _sampling(self, seed: int, max_tokens: int, temperature: float) -> dict[str, Any]:
        forced = self._options.temperature
        return {
            "seed": seed % 2**31,
            "max_tokens": max_tokens,
            "temperature": temperature if forced is None else forced,
            "cache": self._options.prompt_cache,
        }

    def _check_room(self, request: dict[str, Any], end: Deadline) -> None:
        """Raises EnhancerError if prompt and answer do not fit. A model that is loaded checks it
        by itself."""
        if self._child is not None:
            return
        tokens, room = self._counted({"measured": request}, end), self._options.context
        if tokens + request["max_tokens"] > room:
            raise EnhancerError(
                f"the question has {tokens} tokens and the answer up to {request['max_tokens']}, "
                f"and the language model's context holds {room}; shorten the brief, or raise "
                "REELWRIGHT_LLM_CONTEXT"
            )

    def _counted(self, message: dict[str, Any], end: Deadline) -> int:
        """The `tokens` of the response, by whichever process has the vocabulary. A process that
        fails is replaced once."""
        most = self._options.answer_timeout
        try:
            answer = self._with_vocabulary(end).ask(message, end.within(most))
        except EnhancerError:
            self._drop()
            answer = self._with_vocabulary(end).ask(message, end.within(most))
        if not isinstance(answer.get("tokens"), int):
            raise EnhancerError(f"the enhancer could not answer: {answer.get('error', answer)}")
        return int(answer["tokens"])

    def _with_vocabulary(self, end: Deadline) -> LlamaProcess:
        """The child, or a process without weights. The GPU is hidden from that one, and it uses up
        no start of the model. Raises EnhancerError if the vocabulary does not load."""
        if self._child is not None:
            return self._child
        if self._vocabulary is None:
            arguments = {"vocab_only": True, "n_ctx": self._options.context}
            self._vocabulary = LlamaProcess(
                self._model, arguments, end.within(self._options.load_timeout), sees_gpu=False
            )
        return self._vocabulary

    def _ask(self, message: dict[str, Any], end: Deadline, share: float = 1.0) -> dict[str, Any]:
        """The child's response, which has a `text`. It may take `share` times the limit of a
        sentence.

        The child stops an answer that takes longer, and stays as it is. One that does not is ended.
        It is started again if it fails and has starts and time left. Raises EnhancerError.
        """
        grace = min(_GRACE, self._options.answer_timeout)
        while True:
            try:
                self.load(end.left)
                assert self._child is not None
                seconds = end.within(share * self._options.answer_timeout)
                answer = self._child.ask(message | {"seconds": seconds}, seconds + grace)
            except EnhancerError:
                self._drop()
                if self._starts_left == 0 or end.left == 0:
                    raise
                continue
            if "text" not in answer:
                raise EnhancerError(f"the enhancer could not answer: {answer.get('error', answer)}")
            return answer

    def _parts(self, request: ShotRequest) -> tuple[list[tuple[str, bool]], int]:
        """The prompt as pairs (text, is marker), and how many of them stand before the first field.

        Markers are looked for before the fields are filled: what people write never is one.
        """
        parts: list[tuple[str, bool]] = []
        head = 0
        for text, is_marker in marked_parts(self._template):
            before, *_ = _FIELD.split(text)
            if not head and before != text:
                parts.append((before, False))
                head, text = len(parts), text.removeprefix(before)
            filled = _FIELD.sub(lambda field: str(getattr(request, field[1])), text)
            parts.append((filled, is_marker))
        return parts, head

    def _start(self, timeout: float) -> None:
        if self._starts_left == 0:
            raise EnhancerError("the enhancer's process was given up after two starts")
        self._starts_left -= 1
        self._drop()
        options = self._options
        self._child = LlamaProcess(
            self._model,
            options.arguments,
            timeout,
            sees_gpu=options.gpu_layers != 0,
        )
        self.placement = self._child.placement

    def _drop(self) -> None:
        for process in (self._child, self._vocabulary):
            if process is not None:
                process.close()
        self._child = self._vocabulary = None


def _whole_sentence(text: str, *, cut: bool) -> str:
    """The text up to its last full stop. A text that the token limit cut keeps only whole
    sentences."""
    text = " ".join(text.split())
    end = max(text.rfind(mark) for mark in ".!?")
    if end >= 0:
        return text[: end + 1]
    return "" if cut else text
