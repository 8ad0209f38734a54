"""What every Wan clip avoids, read with the code: a process that began before an upgrade keeps its
own to the end."""

from importlib import resources

NEGATIVE = (
    resources.files("pipelines.backends.wan").joinpath("negative.txt").read_text("utf-8").strip()
)
"""Words that every negative prompt ends with (diffusers' Wan guide)."""
