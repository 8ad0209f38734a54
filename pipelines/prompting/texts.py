"""The texts of our prompts, read with the code: a process that began before an upgrade keeps its
own to the end."""

from importlib import resources

_FOLDER = resources.files("pipelines.prompting.prompts")


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")


TEMPLATES = {kind: _read(kind) for kind in ("completion", "instruct")}
"""What the writer is asked, by the kind of its model."""
CUSTOMARY_NEGATIVE = _read("negative").strip()
"""Words that every negative prompt ends with (diffusers' Wan guide)."""
