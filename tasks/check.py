"""Checks a brief before anything is made: its uploads, its cost, and the free disk space."""

import logging
from pathlib import Path

from prefect import task

from infra.adapters import disk
from infra.adapters.device.choice import upscaler_dtype
from pipelines.backends.checkpoint import BYTES
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Film
from pipelines.documents.stand_ins import stand_ins
from pipelines.errors import BriefError, CorruptObjectError, ReelwrightError
from pipelines.planning.estimate import estimate, learn
from pipelines.planning.memory import PROCESS_BYTES, Footprint
from pipelines.planning.plan import frames_of
from pipelines.planning.rates import Rates
from pipelines.progress import Progress
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.memory import DEVICE_CONTEXT
from pipelines.schema.plan import Estimate
from tasks.artifacts import show_estimate, show_stand_ins
from tasks.chunks import inputs_of
from tasks.context import UPSCALER_SCALE, RunContext
from tasks.costs import priced
from tasks.options import STAGE
from tasks.progress import report
from tasks.rates import keep_rates, kept_rates


@task(name="check", **STAGE)
def check(brief: Brief, context: RunContext) -> Estimate:
    """Check the uploads of the brief and the disk space, and estimate the cost.

    Raises BriefError if an upload is missing or damaged, if the motion is shorter than the video,
    or if the brief changes a shot that it does not have; MediaError if a video of the motion cannot
    be read; DiskFullError if the disk has too little free space; SettingsError as `priced`;
    StoreError if the store fails.
    """
    sizes = {key: _check_upload(key, context) for key in brief.uploads}
    archive = sizes[ObjectKey(brief.motion)] if brief.motion else 0
    expected = estimate(brief, context.backend, _rates(context), footprint_of(context), archive)
    expected = priced(expected, context)
    warnings = stand_ins(context.device_record, None)
    for warning in warnings:
        report(Progress("check", 1, 1, f"WARNING: {warning}"))
    show_stand_ins(warnings)
    report(Progress("check", 1, 1, _in_words(expected)))
    show_estimate(expected)
    disk.check_room(context.folder, expected.disk_bytes)
    if brief.motion:
        _check_motion(brief, context)  # it unpacks the archive
    return expected


def _check_upload(key: ObjectKey, context: RunContext) -> int:
    """Its size in bytes. Raises BriefError if it is missing or damaged."""
    found = context.store.head(key)
    if found is None:
        raise BriefError(f"{key} is not in the bucket; upload the file again")
    try:
        context.store.verify(found)
    except CorruptObjectError as error:
        raise BriefError(
            f"{key} is damaged in the bucket; upload the same file again, which replaces it"
        ) from error
    return found.size


def _check_motion(brief: Brief, context: RunContext) -> None:
    """Raises BriefError if the motion is shorter than the video that is asked for."""
    fps, wanted = brief.backend.capabilities.fps, frames_of(brief)
    roles = brief.resolved_preset().options.video_roles
    found = inputs_of(None, context).motion_frames(Digest(Path(brief.motion).stem), roles, fps)
    if wanted > found:
        raise BriefError(
            f"{brief.seconds:g} seconds are asked for, but the motion lasts {found / fps:.2f} "
            "seconds: ask for fewer, or upload a longer one"
        )


@task(name="learn", **STAGE)
def learn_rates(film: Film, context: RunContext) -> None:
    """Store how fast this machine was, for the next estimate. An error is logged and not raised."""
    try:
        rates = learn(_rates(context), film, context.backend, context.elapsed)
        keep_rates(context.settings, context.backend.definition, context.device, rates)
    except (OSError, ReelwrightError):
        # The film is finished, so an error here must not fail the run.
        logging.getLogger(__name__).warning("the rates were not kept", exc_info=True)


def _in_words(expected: Estimate) -> str:
    return (
        f"{expected.time_words}, {expected.memory_words}, "
        f"{expected.disk_bytes / 1e6:,.0f} MB of disk"
    )


def _rates(context: RunContext) -> Rates:
    return kept_rates(context.settings, context.backend.definition, context.device)


def footprint_of(context: RunContext) -> Footprint:
    """What the models besides the video model take on this host, and how much room there is."""
    host, upscaler = context.host, context.upscaler_model
    if host is None:
        return Footprint(enhancer=0, upscaler=0)
    room, on_gpu = host.room_bytes(), host.device == "cuda"
    return Footprint(
        enhancer=context.writer_bytes,
        upscaler=sum(upscaler.sizes.values()) if upscaler else 0,
        way=context.upscale_way,
        scale=UPSCALER_SCALE,
        value_bytes=BYTES[upscaler_dtype(context.settings, host.device)],
        base=DEVICE_CONTEXT if on_gpu else PROCESS_BYTES,
        room=room,
        loaded=room - host.free_bytes() if on_gpu else 0,
    )
