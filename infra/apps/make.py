"""`reelwright make`: one brief from start to published video on this machine."""

import os
from pathlib import Path

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps.console import ProgressBars
from infra.apps.session import session
from pipelines.errors import BriefError, ReelwrightError
from pipelines.planning.plan import shots_of
from pipelines.schema.brief import Brief
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import Manifest
from tasks.room import check_surroundings


def check_target(out: Path | None) -> None:
    """Raises BriefError if `out` cannot become a file."""
    if out is None:
        return
    if out.is_dir():
        raise BriefError(f"--out {out} is a directory; name a file in it")
    if not out.absolute().parent.is_dir():
        raise BriefError(f"--out {out}: the directory {out.parent} does not exist; make it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise BriefError(f"--out {out}: the directory {out.parent} cannot be written to")


def make(brief: Brief, out: Path | None) -> Manifest:
    """Make and publish the video of `brief`, and copy it to `out` if that is given.

    Raises ReelwrightError with a sentence for the person; finished chunks are kept then.
    """
    shots_of(brief)
    check_target(out)
    settings = Settings.load()
    check_surroundings(brief, settings)
    with ProgressBars() as bars, session(settings, bars.note):
        from flows.produce_content import produce_content
        from tasks.progress import listening

        with listening(bars):
            manifest = produce_content(brief)
        if out is not None:
            _copy_out(manifest, out)
    return manifest


def _copy_out(manifest: Manifest, out: Path) -> None:
    store = ObjectStore(Settings.load().store)
    key = ObjectKey.video(manifest.content_id)
    found = next(item for item in manifest.objects if item.key == key)
    try:
        store.get_file(found, out.absolute())
    except OSError as error:
        raise ReelwrightError(
            f"{out} cannot be written ({error.strerror}); the video is safe at {manifest.address}"
        ) from error


def summary(manifest: Manifest, out: Path | None) -> str:
    """What a person wants to know about the finished video, in a few lines."""
    run, clip = manifest.run, manifest.clip
    made = f"{run.chunks_made} chunks made, {run.chunks_reused} reused"
    if run.segments_made or run.segments_reused:
        made += f"; {run.segments_made} segments upscaled, {run.segments_reused} reused"
    if run.already_published:
        made += " (published before, nothing to do)"
    lines = [
        f"video     {manifest.address}",
        f"manifest  {manifest.address.rpartition('/')[0]}/manifest.json",
        f"film      {clip.frames} frames, {clip.duration:g} s, {clip.width}x{clip.height}, "
        f"{clip.fps} fps",
        f"run       {made}, {run.seconds:.1f} s",
    ]
    lines += [f"note      {warning}" for warning in manifest.warnings]
    if out is not None:
        lines.append(f"file      {out}")
    return "\n".join(lines)

