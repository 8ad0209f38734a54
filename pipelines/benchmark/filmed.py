"""What a manifest says about a video of a comparison."""

from typing import Literal

from pipelines.benchmark.samples import Film
from pipelines.documents.manifest import Manifest
from pipelines.schema.money import Money


def film_of(manifest: Manifest) -> Film:
    """Length, time and memory of a published video."""
    clip = manifest.clip
    return Film(
        content_id=manifest.content_id,
        seconds=clip.frames / clip.fps,
        size=f"{clip.width}*{clip.height}",
        fps=clip.fps,
        wall_seconds=_wall_seconds(manifest),
        device=manifest.device.kind if manifest.device else "unknown",
        gpu_bytes=max((stage.peak_gpu_bytes for stage in manifest.stages), default=0),
        ram_bytes=max((stage.peak_rss_bytes for stage in manifest.stages), default=0),
    )


def cost_of(manifest: Manifest) -> tuple[Money | None, Literal["", "estimated", "billed"]]:
    """What a published video cost, and what that rests on: `billed` if services counted all of it.

    None if the ledger knows of no cost: nobody set a price, or the video was made before there was
    a ledger.
    """
    costs = manifest.costs
    if costs is None:
        return None, ""
    billed = all(part.basis == "billed" for part in costs.parts)
    return costs.total, "billed" if billed else "estimated"


def _wall_seconds(manifest: Manifest) -> float | None:
    """Of the run that wrote the manifest; None if it found parts of the video in the bucket."""
    made = [part.made for part in manifest.chunks] + [part.made for part in manifest.segments]
    if not made or not all(made):
        return None
    return round(sum(stage.seconds for stage in manifest.stages), 3)
