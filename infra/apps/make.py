"""`reelwright make`: one brief from start to published video on this machine."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.adapters.disk import is_full, write_atomic
from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from infra.apps import environment
from infra.apps.console import ProgressBars
from infra.apps.given_files import GivenFiles
from infra.apps.session import session
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest, TransitionRecord
from pipelines.documents.stand_ins import stand_ins
from pipelines.errors import BriefError, DiskFullError, ReelwrightError
from pipelines.planning.plan import check_timeline
from pipelines.schema.keys import ObjectKey
from pipelines.schema.presets import AUTO
from tasks.context import check_surroundings


def check_target(out: Path | None) -> None:
    """Raises BriefError if `out` cannot become a file."""
    if out is None:
        return
    if out.is_dir():
        raise BriefError(f"--out {out} is a directory; name a file in it")
    if not out.absolute().parent.is_dir():
        raise BriefError(f"--out {out}: the directory {out.parent} does not exist; make it first")
    if out.suffix.lower() in (".jpg", ".json"):
        raise BriefError(f"--out {out}: poster and manifest take .jpg and .json; name it .mp4")
    if not os.access(out.absolute().parent, os.W_OK):
        raise BriefError(f"--out {out}: the directory {out.parent} cannot be written to")


@contextmanager
def given_files(
    pictures: Mapping[str, Sequence[Path]], motion: Path | None
) -> Iterator[GivenFiles]:
    """The files for fields of a brief, checked. Raises BriefError, which names the file."""
    with tempfile.TemporaryDirectory(prefix="reelwright-make-") as name:
        given = GivenFiles(Path(name))
        for field, paths in pictures.items():
            if paths:
                given.add_pictures(field, paths)
        if motion:
            given.add_motion(motion)
        yield given


def make(brief: Brief, out: Path | None, given: GivenFiles | None = None) -> Manifest:
    """Make and publish the video of `brief`, and copy it to `out` if that is given.

    `given` are the files that the brief names.

    Raises ReelwrightError with a sentence for the person; finished chunks are kept then.
    """
    check_timeline(brief)
    check_target(out)
    settings = environment.adopted()
    if brief.preset != AUTO:  # the router chooses what is installed
        check_surroundings(brief, settings)
    try:
        return _make(brief, settings, out, given)
    except Exception as error:
        if isinstance(error, DiskFullError) or not is_full(settings.paths.data_dir):
            raise
        raise DiskFullError(
            f"the disk of {settings.paths.data_dir} is full; finished chunks are kept: free some "
            "room and give the same brief again"
        ) from error


def _make(brief: Brief, settings: Settings, out: Path | None, given: GivenFiles | None) -> Manifest:
    with ProgressBars() as bars, session(settings, bars.note):
        from flows.produce_content import produce_content
        from tasks.progress import ProgressLog, listening

        if given:
            given.store(ObjectStore(Settings.load().store))
        with listening(bars), listening(ProgressLog()):
            manifest = produce_content(brief)
            assert isinstance(manifest, Manifest)  # nobody is asked for approval here
        if out is not None:
            _copy_out(manifest, out)
    return manifest


def _copy_out(manifest: Manifest, out: Path) -> None:
    """The video as `out`, poster (.jpg) and manifest (.json) beside it."""
    store = ObjectStore(Settings.load().store)
    objects = {item.key: item for item in manifest.objects}
    cid = manifest.content_id
    try:
        store.get_file(objects[ObjectKey.poster(cid)], out.absolute().with_suffix(".jpg"))
        write_atomic(out.with_suffix(".json"), manifest.model_dump_json(indent=1).encode())
        store.get_file(objects[ObjectKey.video(cid)], out.absolute())
    except OSError as error:
        raise ReelwrightError(
            f"{out} cannot be written ({error.strerror}); the video is safe at {manifest.address}"
        ) from error


def _in_words(join: TransitionRecord, fps: int) -> str:
    seam = join.seam
    return (
        f"{join.number} at {join.frame / fps:.2f} s, {join.made}: {seam.score:g} times the usual "
        f"step (colour {seam.colour:g}, structure {seam.structure:g}, motion {seam.motion:g})"
    )


def _route_lines(manifest: Manifest) -> list[str]:
    """What made it and why, if that was not simply what the brief names."""
    route = manifest.route
    if route is None or (route.asked == route.chosen.preset and not route.setbacks):
        return []
    tried = [f"{'':<9} tried before: {item.preset}: {item.reason}" for item in route.setbacks]
    return [f"made by   {next(route.lines())}", *tried]


def summary(manifest: Manifest, out: Path | None) -> str:
    """What a person wants to know about the finished video, in a few lines."""
    run, clip = manifest.run, manifest.clip
    made = f"{run.chunks_made} chunks made, {run.chunks_reused} reused"
    if run.segments_made or run.segments_reused:
        made += f"; {run.segments_made} segments upscaled, {run.segments_reused} reused"
    if run.already_published:
        made += " (published before, nothing to do)"
    folder = manifest.address.rpartition("/")[0]
    lines = [
        f"video     {manifest.address}",
        f"poster    {folder}/poster.jpg",
        f"manifest  {folder}/manifest.json",
        f"film      {clip.frames} frames, {clip.duration:g} s, {clip.width}x{clip.height}, "
        f"{clip.fps} fps",
        f"run       {made}, {run.seconds:.1f} s",
        *_route_lines(manifest),
    ]
    lines += [
        f"{'joins' if join.number == 1 else '':<9} {_in_words(join, clip.fps)}"
        for join in manifest.transitions
    ]
    loud = stand_ins(manifest.device, manifest.storyboard)
    lines += [
        f"{'WARNING' if warning in loud else 'note':<9} {warning}" for warning in manifest.warnings
    ]
    if out is not None:
        lines.append(f"files     {out}, {out.with_suffix('.jpg')}, {out.with_suffix('.json')}")
    return "\n".join(lines)
