"""Mistral's own vocabularies and chat templates, for GGUF files with random weights.

The vocabularies come with Mistral's package of tokenizers, in SentencePiece's format.
"""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import gguf

Version = Literal["v0.2", "v0.3"]
"""Of Mistral 7B Instruct. In v0.2 `[INST]` is text, in v0.3 a control token."""
_FILES: dict[Version, str] = {
    "v0.2": "tokenizer.model.v1",
    "v0.3": "mistral_instruct_tokenizer_240323.model.v3",
}
TEMPLATES: dict[Version, str] = {
    "v0.2": (
        "{{ bos_token }}{% for message in messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...')"
        " }}{% endif %}"
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}"
        "{% endif %}{% endfor %}"
    ),
    "v0.3": (
        "{{- bos_token }}{%- for message in messages %}"
        "{%- if message['role'] == 'user' %}{{- '[INST] ' + message['content'] + '[/INST]' }}"
        "{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] + eos_token }}"
        "{%- else %}{{- raise_exception('Only user and assistant roles are supported!') }}"
        "{%- endif %}{%- endfor %}"
    ),
}
"""What the released files have as `tokenizer.chat_template`, v0.3 without its tools."""


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model, in order."""

    tokens: tuple[bytes, ...]
    scores: tuple[float, ...]
    kinds: tuple[gguf.TokenType, ...]


def vocabulary_of(version: Version) -> Vocabulary:
    """32,000 tokens of v0.2, 32,768 of v0.3."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((files("mistral_common") / "data" / _FILES[version]).read_bytes())
    return Vocabulary(
        tokens=tuple(piece.piece.encode() for piece in model.pieces),
        scores=tuple(piece.score for piece in model.pieces),
        kinds=tuple(gguf.TokenType(piece.type) for piece in model.pieces),
    )
