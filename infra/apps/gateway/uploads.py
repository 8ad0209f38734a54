"""`POST /uploads`: pictures, and archives of the videos that guide an animation.

What a client sent is kept only as far as it was understood: the pixels of a picture, the videos and
the picture of an archive. Its names and everything else are dropped.
"""

import hashlib
import tempfile
import threading
from pathlib import Path
from typing import IO

from fastapi import APIRouter, Depends, Request, UploadFile
from pydantic import BaseModel, Field

from infra.adapters.object_store import ObjectStore
from infra.apps.gateway.access import Maker, gateway_of
from infra.apps.gateway.problems import REFUSALS, ProblemError
from infra.apps.gateway.submission import require_free_space
from pipelines.errors import BriefError
from pipelines.media.archive import CHARACTER, LIMITS, is_zip, pack_motion, unpack_motion
from pipelines.media.motion import MAX_CHECK_SECONDS, MotionFacts, check_motion
from pipelines.media.still import as_png
from pipelines.schema.keys import Digest, ObjectKey

router = APIRouter()
MAX_PICTURE = 20_000_000
"""Bytes."""
MAX_BODY = LIMITS.packed_bytes + 100_000
"""Bytes of a request: the archive, and how a form wraps it."""
_CHECKS = threading.BoundedSemaphore(2)
"""Archives that are checked at once: each decodes four videos on a core of its own."""
_BLOCK = 1 << 20


class Upload(BaseModel):
    """A picture that was kept."""

    image_path: str = Field(description="`uploads/….png`: what a brief's `image` takes.")


class MotionUpload(BaseModel):
    """The videos that guide an animation, kept as one archive."""

    motion: str = Field(description="`uploads/….zip`: what a brief's `motion` takes.")
    image_path: str = Field(
        description="`uploads/….png`: the character, if the archive holds a `src_ref.png`; else "
        "empty, and the brief must name a picture."
    )
    seconds: float = Field(description="How long the videos last.")
    frames: int
    fps: float
    size: str = Field(description="Of pose, background and mask, such as `1280*720`.")
    modes: list[str] = Field(
        description="`animate`, and `replace` if there are a background and a mask."
    )
    ignored: list[str] = Field(
        description="Files of the archive that mean nothing here and were dropped; the first 20."
    )


async def _room(request: Request) -> None:
    """Asked before the store's threads are, which may all be waiting."""
    require_free_space(gateway_of(request))


@router.post(
    "/uploads",
    tags=["Runs"],
    status_code=201,
    responses=REFUSALS,
    dependencies=[Depends(_room)],
)
async def upload(request: Request, file: UploadFile, _: Maker) -> Upload | MotionUpload:
    """Keep a picture or a motion.

    A PNG, JPEG or WebP picture is for `image_path` or a brief's `image`. A zip archive of
    `src_pose.mp4` and `src_face.mp4`, and of `src_bg.mp4` and `src_mask.mp4` for a replacement, as
    Wan's preprocessing writes them, guides an animation.
    """
    gateway = gateway_of(request)
    head = await file.read(4)
    await file.seek(0)
    if is_zip(head):
        patience = MAX_CHECK_SECONDS + gateway.settings.gateway.store_seconds
        return await gateway.work.run(keep_motion, gateway.store, file.file, patience=patience)
    return await gateway.work.run(keep_picture, gateway.store, file.file)


def keep_picture(store: ObjectStore, stream: IO[bytes]) -> Upload:
    """Raises BriefError if it is no picture, or too large."""
    data = stream.read(MAX_PICTURE + 1)
    if len(data) > MAX_PICTURE:
        raise ProblemError(
            413, "too_large", f"a picture may have {MAX_PICTURE:,} bytes; make it smaller"
        )
    return Upload(image_path=_stored_picture(store, data))


def _stored_picture(store: ObjectStore, data: bytes) -> ObjectKey:
    plain = as_png(data)
    key = ObjectKey.upload(Digest(hashlib.sha256(plain).hexdigest()))
    store.put_bytes(key, plain, "image/png")
    return key


def keep_motion(store: ObjectStore, stream: IO[bytes]) -> MotionUpload:
    """Check an archive whole, and keep its videos and its picture.

    Takes seconds to minutes of one core. Raises BriefError if it breaks a rule, ProblemError 503
    if too many others are being checked; nothing is kept then.
    """
    if not _CHECKS.acquire(blocking=False):
        raise ProblemError(
            503,
            "too_many",
            "other archives are being checked, and nothing of this one was kept; send it again "
            "in a while",
            headers={"Retry-After": "10"},
        )
    try:
        with tempfile.TemporaryDirectory(prefix="reelwright-upload-") as name:
            return _kept_motion(store, stream, Path(name))
    finally:
        _CHECKS.release()


def _kept_motion(store: ObjectStore, stream: IO[bytes], folder: Path) -> MotionUpload:
    sent, ours, files = folder / "sent.zip", folder / "ours.zip", folder / "files"
    with sent.open("wb") as target:
        while block := stream.read(_BLOCK):
            target.write(block)
    files.mkdir()
    motion = unpack_motion(sent, files)
    facts = check_motion(motion)
    picture = _stored_character(store, motion.character) if motion.character else ""
    key = ObjectKey.upload_archive(pack_motion(motion, ours))
    store.put_file(key, ours, "application/zip")
    return _answer(key, picture, facts, motion.ignored)


def _stored_character(store: ObjectStore, path: Path) -> str:
    try:
        if path.stat().st_size > MAX_PICTURE:
            raise BriefError(f"the picture may have {MAX_PICTURE:,} bytes: make it smaller")
        return _stored_picture(store, path.read_bytes())
    except BriefError as error:
        raise BriefError(f"{CHARACTER} in the archive: {error}") from error


def _answer(
    key: ObjectKey, picture: str, facts: MotionFacts, ignored: tuple[str, ...]
) -> MotionUpload:
    return MotionUpload(
        motion=key,
        image_path=picture,
        seconds=round(facts.seconds, 3),
        frames=facts.frames,
        fps=round(float(facts.fps), 3),
        size=f"{facts.width}*{facts.height}",
        modes=["animate", "replace"] if facts.replaces else ["animate"],
        ignored=list(ignored),
    )
