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
from pipelines.documents.manifest import Manifest, TransitionRecord, main_key
from pipelines.documents.stand_ins import stand_ins
from pipelines.errors import BriefError, DiskFullError, ReelwrightError
from pipelines.planning.plan import check_timeline, kind_of
from pipelines.quality import seams
from pipelines.schema.keys import ObjectKey
from pipelines.schema.plan import Kind
from pipelines.schema.presets import AUTO

_SUFFIXES: dict[Kind, tuple[str, ...]] = {"video": (".mp4",), "image": (".png", ".webp")}


def check_target(out: Path | None, kind: Kind = "video") -> None:
    """Raises BriefError if `out` cannot become a file with a video or a picture."""
    if out is None:
        return
    if out.is_dir():
        raise BriefError(f"--out {out} is a directory; name a file in it")
    if not out.absolute().parent.is_dir():
        raise BriefError(f"--out {out}: the directory {out.parent} does not exist; make it first")
    fitting, suffix = _SUFFIXES[kind], out.suffix.lower()
    if suffix in (".jpg", ".json"):
        names = " or ".join(fitting)
        raise BriefError(f"--out {out}: poster and manifest take .jpg and .json; name it {names}")
    if kind == "image" and suffix not in fitting:
        raise BriefError(f"--out {out}: a picture is a PNG or a WebP; name it .png or .webp")
    if kind == "video" and suffix in _SUFFIXES["image"]:
        raise BriefError(f"--out {out}: a video is an MP4; name it .mp4, or add --image")
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
    check_target(out, kind_of(brief))
    settings = environment.adopted()
    from tasks.context import check_surroundings  # it imports Prefect: see `adopted`

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
    """The video or picture as `out`, poster (.jpg) and manifest (.json) beside it."""
    store = ObjectStore(Settings.load().store)
    objects = {item.key: item for item in manifest.objects}
    cid = manifest.content_id
    try:
        store.get_file(objects[ObjectKey.poster(cid)], out.absolute().with_suffix(".jpg"))
        write_atomic(out.with_suffix(".json"), manifest.model_dump_json(indent=1).encode())
        is_webp = manifest.kind == "image" and out.suffix.lower() == ".webp"
        key = ObjectKey.image_webp(cid) if is_webp else main_key(cid, manifest.kind)
        store.get_file(objects[key], out.absolute())
    except OSError as error:
        raise ReelwrightError(
            f"{out} cannot be written ({error.strerror}); it is safe at {manifest.address}"
        ) from error


def _in_words(join: TransitionRecord, fps: int) -> str:
    seam = join.seam
    figures = f"colour {seam.colour:g}, structure {seam.structure:g}, motion {seam.motion:g}"
    return (
        f"{join.number} at {join.frame / fps:.2f} s, {join.made}: {seams.in_words(seam)}, "
        f"{seam.score:g} times the usual step ({figures})"
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
    is_picture = manifest.kind == "image"
    lines = [
        f"{'picture' if is_picture else 'video':<9} {manifest.address}",
        *([f"{'webp':<9} {folder}/image.webp"] if is_picture else []),
        f"poster    {folder}/poster.jpg",
        f"manifest  {folder}/manifest.json",
        f"size      {clip.width}x{clip.height}"
        if is_picture
        else f"film      {clip.frames} frames, {clip.duration:g} s, {clip.width}x{clip.height}, "
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
