"""Prompts as tokens: the model's own chat template, and control tokens that nobody can write.

The child process runs this module beside `llama_child`, from the same source text.
"""

import re
from datetime import date
from typing import Any

PLAIN = "{}\n\nAnswer as JSON:\n"
"""The prompt of a question to a model that has no chat template."""
_QUESTION = "\ue000question\ue001"
"""What stands for the question while the chat template is rendered. Of a private area, so that no
template has it."""
_TODAY = date(2026, 1, 1)
"""What a template is told that asks for the date. The same prompt must come on every day."""


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
    return tokens + _joined(model, texts, controls, drop_spaces=True)


def _joined(model: Any, texts: list[str], controls: list[int], *, drop_spaces: bool) -> list[int]:
    """The tokens of `texts` with a control token between each two of them. Raises ValueError as
    `tokens_of`."""
    internals = model._model
    tokens = list[int]()
    for index, text in enumerate(texts):
        if index > 0:
            tokens.append(controls[index - 1])
            text = text.lstrip(" ") if drop_spaces else text
        if index < len(controls) and drop_spaces:
            text = text.rstrip(" ")
        ordinary = model.tokenize(text.encode(), add_bos=False, special=False)
        if any(_is_control(internals, token) or token in controls for token in ordinary):
            raise ValueError("the text holds a control token of the language model; remove it")
        tokens += ordinary
    return tokens


class Frame:
    """What the model's own chat template puts around a question of a user.

    The template is rendered once, with a mark in place of the question, so that nothing in a
    question is read as a part of the template.
    """

    def __init__(self, model: Any, *, plain: bool) -> None:
        """With `plain`, `PLAIN` in place of the template. Raises ValueError if the model has no
        template, or one that does not put out the question exactly once."""
        self._model = model
        prompt = PLAIN.format(_QUESTION) if plain else _rendered(model)
        pieces = prompt.split(_QUESTION)
        if len(pieces) != 2:
            raise ValueError(
                f"the model's chat template shows a question {len(pieces) - 1} times instead of "
                "once; use a model with another template"
            )
        self._before, self._after = (_split(model, piece, plain=plain) for piece in pieces)
        has_bos = self._before[1][:1] == [model.token_bos()]
        adds_bos = not has_bos and model._model.add_bos_token()
        self._bos = [model.token_bos()] if adds_bos else []
        # SentencePiece adds the space that belongs behind a control token by itself; a template
        # that writes one would give two, which Mistral's own tokenizer never does.
        kind = model.metadata.get("tokenizer.ggml.model")
        adds = model.metadata.get("tokenizer.ggml.add_space_prefix", "true") == "true"
        self._drop_spaces = kind == "llama" and adds

    def tokens(self, question: str, *, closed: bool = True) -> list[int]:
        """The whole prompt; if it is not `closed`, up to the end of `question`.

        Raises ValueError if the vocabulary makes a control token of the question.
        """
        (texts, controls), (after, more) = self._before, self._after
        joined = [*texts[:-1], texts[-1] + question]
        if closed:
            joined = [*joined[:-1], joined[-1] + after[0], *after[1:]]
            controls = [*controls, *more]
        return self._bos + _joined(self._model, joined, controls, drop_spaces=self._drop_spaces)


def _rendered(model: Any) -> str:
    """The model's chat template around `_QUESTION`. Raises ValueError if there is none or it fails.

    The instructions stand in the turn of the user: Mistral's templates have no other place for
    them, or drop what is said as `system`.
    """
    template = model.metadata.get("tokenizer.chat_template")
    if not template:
        raise ValueError(
            "this model file has no chat template, as a base model has none; use an instruct model"
        )
    from jinja2 import TemplateError
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    eos, bos = (
        model._model.token_get_text(token) if token >= 0 else ""
        for token in (model.token_eos(), model.token_bos())
    )
    failures = (TemplateError, ValueError, TypeError, LookupError, AttributeError)
    try:
        formatter: Any = Jinja2ChatFormatter(template, eos_token=eos, bos_token=bos)  # sandboxed
        formatter.strftime_now = _TODAY.strftime
        rendered = formatter(
            messages=[{"role": "user", "content": _QUESTION}],
            enable_thinking=False,  # a grammar leaves no room for thoughts before the answer
        )
    except (*failures, ArithmeticError, RecursionError) as error:
        raise ValueError(f"the model's chat template cannot be rendered: {error}") from error
    return str(rendered.prompt)


def _split(model: Any, piece: str, *, plain: bool) -> tuple[list[str], list[int]]:
    """The texts of a piece of the template, and the control tokens between them."""
    if plain:
        return [piece], []
    marks: dict[str, int] = {}
    for token in model.tokenize(piece.encode(), add_bos=False, special=True):
        text = model._model.token_get_text(token)
        if _is_control(model._model, token) or (_is_own(model._model, token) and text[0] in "<["):
            marks[text] = token
    if not marks:
        return [piece], []
    longest_first = sorted(marks, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", piece)
    return parts[::2], [marks[text] for text in parts[1::2]]


def _control_token(model: Any, text: str) -> int | None:
    """The control token that `text` is in this vocabulary, if it is one."""
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    is_one = len(tokens) == 1 and _is_control(model._model, tokens[0])
    return tokens[0] if is_one else None


def _is_control(internals: Any, token: int) -> bool:
    from llama_cpp import LLAMA_TOKEN_ATTR_CONTROL

    return bool(internals.token_get_attr(token) & LLAMA_TOKEN_ATTR_CONTROL)


def _is_own(internals: Any, token: int) -> bool:
    """Whether it is a token that was added by hand: some files have the marks of a turn so."""
    from llama_cpp import LLAMA_TOKEN_ATTR_USER_DEFINED

    return bool(internals.token_get_attr(token) & LLAMA_TOKEN_ATTR_USER_DEFINED)
