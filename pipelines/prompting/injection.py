"""Sentences of a brief that speak to the writer, such as "ignore your instructions".

A brief is data in the questions, but a model of 7 billion parameters obeys it now and then. What
such a sentence asks for cannot be filmed, so it is left out before the model reads it.
"""

import re

_SENTENCE = re.compile(r"(?<=[.!?;:\n])\s+")
_OF_TASK = r"(?:instructions?|prompts?|rules|guidelines|directions|system message)"
_COMMAND = re.compile(
    rf"\b(?:ignore|disregard|forget|override|bypass)\b[\w\s,']{{0,40}}\b{_OF_TASK}\b"
    rf"|\b(?:print|reveal|repeat|output|show me|tell me|give me|write down|what (?:are|is|were))\b"
    rf"[\w\s,']{{0,40}}\b(?:your|system|the above|previous|initial|hidden)\b[\w\s,']{{0,20}}"
    rf"\b{_OF_TASK}\b"
    r"|\b(?:you are|act as|pretend to be) (?:now |a |an )*"
    r"(?:ai|assistant|chatbot|language model|dan)\b"
    r"|\bsystem prompt\b|\b(?:reply|answer|respond) (?:only )?(?:with|in)\b",
    re.IGNORECASE,
)


def without_commands(idea: str) -> str:
    """`idea` without the sentences that speak to the writer; empty if it has no others."""
    kept = [sentence for sentence in _SENTENCE.split(idea) if not _COMMAND.search(sentence)]
    return " ".join(kept)
