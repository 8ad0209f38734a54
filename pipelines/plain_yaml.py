"""Reads YAML of an operator with limits: a few lines must not become gigabytes or an endless
loop."""

from typing import Any

import yaml

MAX_TEXT = 1_000_000
"""Characters of a file."""
MAX_VALUES = 100_000
"""Values of a file after all aliases are expanded."""
MAX_DEPTH = 50


def compose(text: str) -> yaml.Node | None:
    """The nodes of `text`; None for an empty text.

    Raises yaml.YAMLError if it is no YAML, or larger or deeper than the limits.
    """
    if len(text) > MAX_TEXT:
        raise yaml.YAMLError(f"{len(text):,} characters; write {MAX_TEXT:,} at most")
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except RecursionError as error:
        raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    if root is not None:
        _count(root, {}, MAX_DEPTH)
    return root


def construct(node: yaml.Node) -> Any:
    """The plain values of `node`. Raises yaml.YAMLError if a value does not suit its tag."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Values of `node` with all aliases expanded. Raises yaml.YAMLError if they are too many."""
    if depth < 0:  # also for an alias that refers to a node around it
        raise yaml.YAMLError(f"it is nested deeper than {MAX_DEPTH} levels")
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = list(node.value)
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_count(child, known, depth - 1) for child in children)
    if known[id(node)] > MAX_VALUES:
        raise yaml.YAMLError(
            f"its aliases stand for more than {MAX_VALUES:,} values; write what they stand for"
        )
    return known[id(node)]
