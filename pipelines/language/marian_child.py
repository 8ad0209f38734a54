"""Translates the texts on standard input with a MarianMT model, and ends.

It runs in a process of its own, from its source text, so it imports nothing of Reelwright. Input
and output are one line of JSON each.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Read `{"folder", "threads", "texts"}`, write `{"texts"}` or `{"error"}`."""
    asked = json.loads(sys.stdin.readline())
    try:
        answer: dict[str, Any] = {"texts": translations(**asked)}
    except Exception as error:  # whatever a broken file makes the libraries raise
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write(json.dumps(answer) + "\n")


def translations(folder: str, threads: int, texts: list[str]) -> list[str]:
    """The most probable translation of each text, always the same for the same model.

    One text at a time: in a batch the padding would change the last bits.
    """
    import torch
    from transformers import MarianMTModel, MarianTokenizer

    torch.set_num_threads(threads)
    tokenizer = MarianTokenizer.from_pretrained(folder, local_files_only=True)
    # `weights_only`: the hub's files are pickles, of which nothing but tensors is read.
    model = MarianMTModel.from_pretrained(
        folder, local_files_only=True, weights_only=True, dtype=torch.float32
    ).eval()
    room = model.config.max_position_embeddings
    found = []
    for text in texts:
        given = tokenizer([text], return_tensors="pt", truncation=False)
        tokens = given["input_ids"].shape[1]
        if tokens > room:
            raise ValueError(f"a sentence has {tokens} tokens, the model reads {room}")
        with torch.inference_mode():
            made = model.generate(**given, num_beams=4, do_sample=False, max_length=room)
        found.append(tokenizer.decode(made[0], skip_special_tokens=True))
    return found


if __name__ == "__main__":
    main()
