"""Accepting a brief: what it will cost, and whether there is room for it."""

import logging
from pathlib import Path

from prefect import task
from pydantic import ValidationError

from infra.adapters import disk
from infra.adapters.settings import Settings
from infra.adapters.weights.library import InstalledSet
from pipelines.errors import BriefError, CorruptObjectError, ReelwrightError
from pipelines.planning.estimate import DEFAULT_RATES, Footprint, Rates, estimate, learn
from pipelines.progress import Progress
from pipelines.schema.brief import Brief
from pipelines.schema.keys import ObjectKey
from pipelines.schema.manifest import Film
from pipelines.schema.plan import Estimate
from tasks.knobs import STAGE
from tasks.progress import report
from tasks.room import Room


@task(name="check", **STAGE)
def check(brief: Brief, room: Room) -> Estimate:
    """Say what the brief will cost. Raises DiskFullError if there is no room for it, BriefError if
    its picture is not there, or damaged."""
    if brief.picture:
        _check_picture(brief.picture, room)
    expected = estimate(brief, _rates(room), _footprint(room.models))
    cost = expected.seconds / 3600 * room.settings.compute.gpu_hour_price
    expected = expected.model_copy(update={"cost": round(cost, 4)})
    report(Progress("check", 1, 1, _in_words(expected)))
    disk.check_room(room.folder, expected.disk_bytes)
    return expected


def _check_picture(key: ObjectKey, room: Room) -> None:
    found = room.store.head(key)
    if found is None:
        raise BriefError(f"{key} is not in the bucket; upload the picture again")
    try:
        room.store.verify(found)
    except CorruptObjectError as error:
        raise BriefError(
            f"{key} is damaged in the bucket; upload the same picture again, which replaces it"
        ) from error


@task(name="learn", **STAGE)
def learn_rates(film: Film, room: Room) -> None:
    """Remember how fast this machine was, for the next estimate."""
    try:
        rates = learn(_rates(room), film)
        disk.write_atomic(_path(room), rates.model_dump_json().encode())
    except (OSError, ReelwrightError):
        # The film is made: nothing that happens now may call the run failed.
        logging.getLogger(__name__).warning("the rates were not kept", exc_info=True)


def _in_words(expected: Estimate) -> str:
    return (
        f"about {expected.seconds:,.0f} s, {expected.peak_memory_bytes / 1e9:.1f} GB of memory, "
        f"{expected.disk_bytes / 1e6:,.0f} MB of disk ({expected.basis})"
    )


def _path(room: Room) -> Path:
    folder = Settings.load().paths.data_dir / "rates"
    disk.make_directory(folder)
    return folder / f"{room.models.model_set.name}-{room.device_name}.json"


def _rates(room: Room) -> Rates:
    try:
        return Rates.model_validate_json(_path(room).read_bytes())
    except (OSError, ValidationError):
        return DEFAULT_RATES[room.device_name]


def _footprint(models: InstalledSet) -> Footprint:
    encoder = models.video.index.size_of("text_encoder/")
    denoiser = models.extender or models.video
    held = denoiser.index.size_of() - denoiser.index.size_of("text_encoder/")
    return Footprint(
        writer=models.writer.index.size_of(),
        encoder=encoder,
        denoiser=held,
        upscaler=models.upscaler.index.size_of(),
        decode_bytes_a_pixel=models.model_set.decode_bytes_a_pixel,
    )
