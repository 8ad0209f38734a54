"""llama_child: a program that runs the language model, with JSON lines on stdin and stdout.

llama.cpp can crash its process (bad grammar, use after close, out of memory), and only the end of
the process reliably frees its VRAM.

Request:  {"parts": [[text, is marker], …], "head": number of parts that all prompts share,
          "seed": n, "max_tokens": n}
Response: {"text": …, "finish": "stop" | "length"} or {"error": …}. The first response is
{"ready": true} with the fields of `LoadLog.report`.
"""

import ctypes
import gc
import json
import os
import re
import sys
import time
from typing import Any

TEMPERATURE, TOP_P, MIN_P, REPEAT_PENALTY = 0.7, 0.95, 0.05, 1.08
"""Community values for Mistral 7B Instruct; a repeat penalty of 1.0 loops on the small model."""
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


class Opening:
    """The common beginning of all prompts, which the model evaluates once. Going on from its saved
    state takes half the time of a new start and is as repeatable, because the state is the same
    each time."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._state: Any = None

    def prepare(self, model: Any, tokens: list[int]) -> None:
        """Bring the model into the state after `tokens`, and nothing else."""
        if self._state is None or tokens != self._tokens:
            model.reset()  # without it the same seed gives other words after another prompt
            model.eval(tokens)
            self._tokens, self._state = tokens, model.save_state()
        model.load_state(self._state)


def tokens_of(model: Any, parts: list[tuple[str, bool]]) -> list[int]:
    """The tokens of a prompt, whose parts are pairs (text, is marker).

    The text between two control tokens is tokenised in one piece and never becomes a control token.
    A vocabulary such as SentencePiece's puts a space before each piece and merges across the border
    of template and idea, so smaller pieces would give other tokens than the model was trained on.
    A marker of the template is a control token if the vocabulary has it as one (Mistral from v0.3
    on), and else plain text (v0.1, v0.2). Spaces around a control token are dropped, because the
    tokenizer adds the one that belongs there. The results equal those of Mistral's own tokenizer.

    Raises ValueError if the vocabulary makes a control token of text.
    """
    texts, controls = [""], list[int]()
    for text, is_marker in parts:
        token = _control_token(model, text) if is_marker else None
        if token is None:
            texts[-1] += text
        else:
            controls.append(token)
            texts.append("")
    internals = model._model
    tokens = [model.token_bos()] if internals.add_bos_token() else []
    for index, text in enumerate(texts):
        if index > 0:
            tokens.append(controls[index - 1])
            text = text.lstrip(" ")
        if index < len(controls):
            text = text.rstrip(" ")
        ordinary = model.tokenize(text.encode(), add_bos=False, special=False)
        if any(_is_control(internals, token) for token in ordinary):
            raise ValueError("the text holds a control token of the language model; remove it")
        tokens += ordinary
    return tokens


def _control_token(model: Any, text: str) -> int | None:
    """The control token that `text` is in this vocabulary, if it is one."""
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    is_one = len(tokens) == 1 and _is_control(model._model, tokens[0])
    return tokens[0] if is_one else None


def _is_control(internals: Any, token: int) -> bool:
    from llama_cpp import LLAMA_TOKEN_ATTR_CONTROL

    return bool(internals.token_get_attr(token) & LLAMA_TOKEN_ATTR_CONTROL)


def _answer(model: Any, opening: Opening, request: dict[str, Any]) -> dict[str, Any]:
    parts = request["parts"]
    tokens = tokens_of(model, parts)
    room = model.n_ctx() - len(tokens)
    if room < request["max_tokens"]:
        return {"error": f"{len(tokens)} tokens leave no room in a context of {model.n_ctx()}"}
    opening.prepare(model, _common(tokens, tokens_of(model, parts[: request["head"]])))
    result = model.create_completion(
        tokens,
        max_tokens=request["max_tokens"],
        seed=request["seed"],
        temperature=TEMPERATURE,
        top_p=TOP_P,
        min_p=MIN_P,
        repeat_penalty=REPEAT_PENALTY,
        stop=["\n"],
    )
    choice = result["choices"][0]
    return {"text": choice["text"], "finish": choice["finish_reason"]}


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

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def callback(level: int, text: bytes, _: object) -> None:
        log.add(level, text)

    log.callback = callback
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    try:
        model = llama_cpp.Llama(path, verbose=False, **options)
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
    opening = Opening()
    for line in sys.stdin:
        try:
            say(_answer(model, opening, json.loads(line)))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            say({"error": f"{type(error).__name__}: {error}"})
        gc.collect()  # each answer leaves a sampler of 3 MB in a cycle


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
