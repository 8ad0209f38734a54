"""llama_child: a program that runs the language model, with JSON lines on stdin and stdout.

llama.cpp can crash its process (bad grammar, use after close, out of memory), and only the end of
the process reliably frees its VRAM.

Requests: {"parts": [[text, is marker], …], "head": number of parts that all prompts share}, or
          {"question": text, "head": its beginning that other questions share, "plain": whether the
          chat template is left out, "grammar": GBNF}, both with "seed", "max_tokens" and
          "temperature", "cache": whether the state behind the head is kept, and "seconds": the
          most that the answer may take;
          {"measured": a request with a question}; {"counted": text}
Response: {"text": …, "finish": "stop" | "length"}, for the last two {"tokens": n}, or
          {"error": …}. The first response is {"ready": true} with the fields of `LoadLog.report`.
With the option `vocab_only` only the last two can be answered.
"""

import ctypes
import gc
import json
import os
import re
import sys
import time
from typing import Any

from pipelines.prompting.llama_tokens import Frame, tokens_of

TOP_P, MIN_P, REPEAT_PENALTY = 0.95, 0.05, 1.08
"""Community values for Mistral 7B Instruct; a repeat penalty of 1.0 loops on the small model."""
_OPENINGS = 3
"""Beginnings whose states are kept: with Mistral 7B, 134 MB of memory for each 1024 tokens."""
_ERROR = 4
"""A level of llama.cpp's log, as in ggml.h; the table in llama_cpp 0.3.36 is that of older days."""
_LAYER = re.compile(r"layer +\d+ assigned to device (\w+),")
_BUFFER = re.compile(r": +(\w+) +(?:model|KV|compute|output) buffer size = +([\d.]+) MiB")
_DEVICE = re.compile(r"using device (\w+) \((.+?)\) \(")
_MEBIBYTE = 2**20


class LoadLog:
    """What llama.cpp logs while it loads a model, which is its only report of the placement.

    Errors go to stderr as well, also after the loading.
    """

    def __init__(self) -> None:
        self.first_error = ""
        """The cause of a failure; the errors after it say only that the loading failed."""
        self.callback: Any = None
        """What llama.cpp calls: it must live as long as the model."""
        self._text = ""
        self._is_loading = True
        self._start = time.monotonic()

    def add(self, level: int, text: bytes) -> None:
        """Take a piece of the log, which may be a part of a line."""
        words = text.decode(errors="replace")
        if level == _ERROR:
            sys.stderr.write(words)
            self.first_error = self.first_error or words.strip()
        if self._is_loading:
            self._text += words

    def report(self) -> dict[str, Any]:
        """Layers by device, bytes by buffer, titles of the GPUs, seconds since the start, and the
        first error.

        The output layer counts as a layer. The line "offloaded n/m layers" is not used: it repeats
        what was asked for, also if there is no device.
        """
        self._is_loading = False
        layers: dict[str, int] = {}
        for device in _LAYER.findall(self._text):
            layers[device] = layers.get(device, 0) + 1
        sizes: dict[str, int] = {}
        for buffer, mebibytes in _BUFFER.findall(self._text):
            sizes[buffer] = sizes.get(buffer, 0) + round(float(mebibytes) * _MEBIBYTE)
        return {
            "layers": layers,
            "sizes": sizes,
            "devices": dict(_DEVICE.findall(self._text)),
            "seconds": round(time.monotonic() - self._start, 3),
            "complaint": self.first_error,
        }


class Openings:
    """The common beginnings of prompts, each of which the model evaluates once. Going on from its
    saved state takes half the time of a new start and is as repeatable, because the state is the
    same each time."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, ...], Any] = {}
        """By tokens, the one that was used last at the end."""

    def prepare(self, model: Any, tokens: list[int], *, keep: bool) -> None:
        """Bring the model into the state after `tokens`, and nothing else; without `keep`, into the
        state before all tokens."""
        if not (keep and tokens):
            model.reset()  # without it the same seed gives other words after another prompt
            return
        state = self._states.pop(tuple(tokens), None)
        if state is None:
            model.reset()
            model.eval(tokens)
            state = model.save_state()
        self._states[tuple(tokens)] = state
        if len(self._states) > _OPENINGS:
            del self._states[next(iter(self._states))]
        model.load_state(state)


class _Clock:
    """Stops an answer when its time is over. The model stays loaded for the next question."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.has_stopped = False

    def is_over(self, *_: object) -> bool:
        """llama_cpp asks after each token, with the tokens and logits, whether to stop."""
        self.has_stopped = time.monotonic() >= self._end
        return self.has_stopped


class Writer:
    """Answers requests with a loaded model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._openings = Openings()
        self._frames: dict[bool, Frame] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The response to `request`. Raises ValueError, KeyError, TypeError or RuntimeError."""
        if "counted" in request:
            text = request["counted"].encode()
            return {"tokens": len(self._model.tokenize(text, add_bos=False, special=False))}
        if "measured" in request:
            return {"tokens": len(self._prompt(request["measured"])[0])}
        tokens, head = self._prompt(request)
        room = self._model.n_ctx() - len(tokens)
        if room < request["max_tokens"]:
            return {
                "error": f"{len(tokens)} tokens leave no room for {request['max_tokens']} more in "
                f"a context of {self._model.n_ctx()}"
            }
        options = self._under_grammar(request) if "grammar" in request else {"stop": ["\n"]}
        clock = _Clock(request["seconds"])
        self._openings.prepare(self._model, _common(tokens, head), keep=request["cache"])
        result = self._model.create_completion(
            tokens,
            max_tokens=request["max_tokens"],
            seed=request["seed"],
            temperature=request["temperature"],
            top_p=TOP_P,
            min_p=MIN_P,
            repeat_penalty=REPEAT_PENALTY,
            stopping_criteria=clock.is_over,
            **options,
        )
        if clock.has_stopped:
            return {"error": f"no answer within {request['seconds']:g} s"}
        choice = result["choices"][0]
        return {"text": choice["text"], "finish": choice["finish_reason"]}

    def _prompt(self, request: dict[str, Any]) -> tuple[list[int], list[int]]:
        """The tokens of the prompt, and those of the beginning that it shares with others."""
        if "parts" in request:
            parts = request["parts"]
            head = parts[: request["head"]]
            return tokens_of(self._model, parts), tokens_of(self._model, head)
        plain = request["plain"]
        if plain not in self._frames:
            self._frames[plain] = Frame(self._model, plain=plain)
        frame = self._frames[plain]
        return frame.tokens(request["question"]), frame.tokens(request["head"], closed=False)

    def _under_grammar(self, request: dict[str, Any]) -> dict[str, Any]:
        """Options of a completion. Raises ValueError if llama.cpp cannot read the grammar, which
        would end the process if it were used."""
        from llama_cpp import llama_sampler_free, llama_sampler_init_grammar
        from llama_cpp.llama_grammar import LlamaGrammar

        text = request["grammar"]
        sampler = text.strip() and llama_sampler_init_grammar(
            self._model._model.vocab, text.encode(), b"root"
        )
        if not sampler:
            raise ValueError(f"llama.cpp cannot read the grammar {text[:80]!r}")
        llama_sampler_free(sampler)
        return {"grammar": LlamaGrammar.from_string(text)}


def _common(tokens: list[int], head: list[int]) -> list[int]:
    """The tokens that both lists begin with: the last one of `head` may have merged with what
    follows it in `tokens`."""
    count = 0
    while count < min(len(tokens) - 1, len(head)) and tokens[count] == head[count]:
        count += 1
    return tokens[:count]


def _load(path: str, options: dict[str, Any], log: LoadLog) -> Any:
    """The model at `path`, loaded with `options` of llama_cpp.Llama. Raises ValueError, with what
    llama.cpp gives as the cause."""
    import llama_cpp
    from jinja2 import TemplateError

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def callback(level: int, text: bytes, _: object) -> None:
        log.add(level, text)

    log.callback = callback
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    try:
        model = llama_cpp.Llama(path, verbose=False, **options)
    except TemplateError as error:  # llama_cpp parses the file's templates at once
        raise ValueError(f"its chat template is broken: {error}") from error
    except ValueError as error:
        raise ValueError(f"{error} ({log.first_error})" if log.first_error else error) from error
    # Nobody reads the logits, but every saving and loading of the state would copy them: a
    # megabyte for each token with the small model's vocabulary.
    model.scores = model.scores[:, :0]
    return model


def _has_cuda() -> bool:
    """Whether llama.cpp is built with CUDA, on a machine with a GPU or without one."""
    from llama_cpp import llama_print_system_info

    return b"CUDA : " in llama_print_system_info()  # each backend's name stands before its features


def main(path: str, options: dict[str, Any]) -> None:
    """Load the model at `path`, then answer requests until standard input ends."""
    # What llama.cpp prints on stdout goes to stderr, so that it does not mix with the protocol.
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        protocol.write(json.dumps(message) + "\n")
        protocol.flush()

    log = LoadLog()
    try:
        model = _load(path, options, log)
    except ValueError as error:
        say({"error": str(error)})
        return
    say({"ready": True, "has_cuda": _has_cuda(), **log.report()})
    gc.freeze()
    writer = Writer(model)
    for line in sys.stdin:
        try:
            say(writer.answer(json.loads(line)))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            say({"error": f"{type(error).__name__}: {error}"})
        gc.collect()  # each answer leaves a sampler of 3 MB in a cycle


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
