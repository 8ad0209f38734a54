"""Reads an operator's YAML file into a model. Each fault is said with its line."""

from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipelines import plain_yaml
from pipelines.errors import SettingsError

_SECRETS = frozenset({("key",), ("secret",), ("token",), ("password",)})
"""Fields whose value is never shown: somebody may have written the secret itself there."""
Model = TypeVar("Model", bound=BaseModel)


def read_yaml(text: str, source: str, model: type[Model]) -> Model:
    """`text`, which was read from `source`, as a `model`.

    Raises SettingsError with a sentence for each fault: source, line, place, value and rule.
    """
    root = compose(text, source)
    try:
        return model.model_validate({} if root is None else plain_yaml.construct(root))
    except ValidationError as error:
        raise SettingsError(in_words(error, source, root)) from error
    except yaml.YAMLError as error:
        raise _no_yaml(source, error) from error


def compose(text: str, source: str) -> yaml.Node | None:
    """The nodes of `text`; None for an empty text. Raises SettingsError if it is no YAML."""
    try:
        return plain_yaml.compose(text)
    except yaml.YAMLError as error:
        raise _no_yaml(source, error) from error


def in_words(
    error: ValidationError, source: str, root: yaml.Node | None, above: Sequence[str | int] = ()
) -> str:
    """The faults of `error` as sentences. `above` is the place of the validated part in `root`."""
    sentences = []
    for item in error.errors():
        place = (*above, *item["loc"])
        name = ".".join(str(part) for part in place) or "the file"
        rule = _rule_of(item["type"], str(item["msg"]))
        hidden = isinstance(item["input"], dict | list) or place[-1:] in _SECRETS
        shown = "" if hidden else f"={item['input']!r:.80}"
        sentences.append(f"{source}, line {line_of(root, place)}: {name}{shown}: {rule}")
    return "; ".join(sentences)


def _rule_of(kind: str, message: str) -> str:
    """pydantic's message for an unknown field names neither the rule nor the remedy."""
    if kind == "extra_forbidden":
        return "no field has this name here; correct the name, or remove the line"
    if kind == "missing":
        return "this field is required; add it"
    return message.removeprefix("Value error, ")


def line_of(root: yaml.Node | None, place: Sequence[Any]) -> int:
    """Line, from 1 on, of the value at `place`, or of what should hold it."""
    node, line = root, 1
    for part in place:
        if node is not None:
            line = node.start_mark.line + 1
        node, at = _below(node, part)
        if node is None:
            return at or line
        line = at
    return line if place or root is None else root.start_mark.line + 1


def _below(node: yaml.Node | None, part: Any) -> tuple[yaml.Node | None, int]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item, item.start_mark.line + 1
    return None, 0


def _no_yaml(source: str, error: yaml.YAMLError) -> SettingsError:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    problem = getattr(error, "problem", None) or str(error)
    return SettingsError(f"{source}{line}: this is no YAML ({problem}); correct it")
