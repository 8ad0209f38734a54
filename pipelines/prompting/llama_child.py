"""llama_child: a program that runs the language model, with JSON lines on stdin and stdout.

llama.cpp can crash its process (bad grammar, use after close, out of memory), and only the end of
the process reliably frees its VRAM. Pieces of text that come from people are tokenised without
control tokens.

Request:  {"pieces": [[text, control], …], "seed": n, "max_tokens": n}
Response: {"text": …, "finish": "stop" | "length"} or {"error": …}; the first is {"ready": true}
"""

import gc
import json
import os
import sys
from typing import Any

TEMPERATURE, TOP_P, MIN_P, REPEAT_PENALTY = 0.7, 0.95, 0.05, 1.08
"""Community values for Mistral 7B Instruct; a repeat penalty of 1.0 loops on the small model."""


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


def _answer(model: Any, opening: Opening, request: dict[str, Any]) -> dict[str, Any]:
    pieces = [
        model.tokenize(text.encode(), add_bos=index == 0, special=bool(control))
        for index, (text, control) in enumerate(request["pieces"])
    ]
    tokens = [token for piece in pieces for token in piece]
    room = model.n_ctx() - len(tokens)
    if room < request["max_tokens"]:
        return {"error": f"{len(tokens)} tokens leave no room in a context of {model.n_ctx()}"}
    opening.prepare(model, pieces[0])
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


def main(path: str, context: int, threads: int, gpu_layers: int) -> None:
    """Load the model at `path`, then answer requests until standard input ends."""
    # What llama.cpp prints on stdout goes to stderr, so that it does not mix with the protocol.
    protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message: dict[str, Any]) -> None:
        protocol.write(json.dumps(message) + "\n")
        protocol.flush()

    from llama_cpp import Llama

    try:
        model = Llama(
            path, n_ctx=context, n_threads=threads, n_gpu_layers=gpu_layers, verbose=False
        )
    except ValueError as error:
        say({"error": str(error)})
        return
    # Nobody reads the logits, but every saving and loading of the state would copy them: a
    # megabyte for each token with the small model's vocabulary.
    model.scores = model.scores[:, :0]
    say({"ready": True})
    gc.freeze()
    opening = Opening()
    for line in sys.stdin:
        try:
            say(_answer(model, opening, json.loads(line)))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            say({"error": f"{type(error).__name__}: {error}"})
        gc.collect()  # each answer leaves a sampler of 3 MB in a cycle


if __name__ == "__main__":
    main(sys.argv[1], *(int(number) for number in sys.argv[2:5]))
