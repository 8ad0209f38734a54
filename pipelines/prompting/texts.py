"""Prompt templates of the enhancer. They are read with the code, so that a process that started
before an upgrade keeps its own ones."""

import re
from importlib import resources

_FOLDER = resources.files("pipelines.prompting.prompts")


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")


TEMPLATES = {kind: _read(kind) for kind in ("completion", "instruct")}
"""The prompt template for each kind of model."""

DIRECTIONS = {
    name: _read(name) for name in ("outline", "outline_more", "sheet", "shot", "rewrite", "repair")
}
"""The questions of the strategy `direct`, and what is added to one that is asked again."""

MARKERS = ("[INST]", "[/INST]")
"""What a template writes for control tokens. Vocabularies without them have them as plain text.
The beginning (`<s>`, `<bos>`) stands in no template: the vocabulary says whether there is one."""
_MARKER = re.compile("|".join(re.escape(marker) for marker in MARKERS))


def marked_parts(template: str) -> list[tuple[str, bool]]:
    """The template as pairs (text, is marker), without the beginning that the child adds."""
    parts: list[tuple[str, bool]] = []
    position = 0
    for marker in _MARKER.finditer(template):
        parts += [(template[position : marker.start()], False), (marker[0], True)]
        position = marker.end()
    return [*parts, (template[position:], False)]
