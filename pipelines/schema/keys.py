"""Names of objects in the bucket. The types refuse every key outside of the layout.

The layout is public: `chunks/<digest>.mp4`, and `video.mp4`, `poster.jpg`, `contact.jpg` and
`manifest.json` in `videos/<content-id>/`; a picture has `image.png` and `image.webp` there instead
of `video.mp4`. Other objects let a rerun skip finished work: `shots/<digest>.json` (a written
shot, or a part of an outline or a sheet), `segments/<digest>.mp4` (an upscaled chunk; `.png` for a
picture), and beside each chunk `chunks/<digest>.json` (its takes), `chunks/<digest>.png` (its last
raw frames, one below the other, which the next chunk may continue) and, if it has one, its sound as
`chunks/<digest>.flac`.
`stills/<digest>.png` is a still of a draft, `uploads/<digest>.png` a picture that a client sent,
`uploads/<digest>.zip` the videos that guide an animation.

`runs/<flow-run-id>/film.json` and `draft.json` are results of the GPU host for the flow that waits
for them; `failure.json` is the error of such a run, `route.json` how the router decided about a
brief, `turn-<n>.json` the storyboard that was approved before the run fell back for the n-th time,
and `published.json` says which video that flow published. `calendar/` holds the calendar,
and up to which time each entry was checked. `manifests/<content-id>.json` is a second copy of each
manifest, from which a damaged one is restored; without the first one it has no effect.
`retention/keep.json` names the campaigns that are kept for ever. `runs/<uuid>/probe.json` is
written and removed to find out whether the store works.

`jobs/<digest>.json` is the job of a remote backend for a chunk. `ledger/<month>/<number>.json` are
the entries of the cost ledger, numbered from 1 without gaps, `totals-<number>.json` what they add
up to until that number, and `report.html` and `report.csv` the report of a month that is over.
`benchmarks/<name>/` holds a comparison of backends. `hosts/<worker>.json` is what a GPU host has,
for the routers of other hosts.
"""

import re
from typing import Any, Self
from uuid import UUID

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_KEY = re.compile(
    r"(?:chunks/[0-9a-f]{64}\.(?:mp4|json|png|flac)"
    r"|segments/[0-9a-f]{64}\.(?:mp4|png)"
    r"|shots/[0-9a-f]{64}\.json"
    r"|videos/[0-9a-f]{64}/(?:video\.mp4|image\.(?:png|webp)|poster\.jpg|contact\.jpg|manifest\.json)"
    r"|calendar/(?:calendar\.yaml|marks/[a-z0-9][a-z0-9-]{0,59}\.json)"
    r"|uploads/[0-9a-f]{64}\.(?:png|zip)"
    r"|stills/[0-9a-f]{64}\.png"
    r"|runs/[0-9a-f-]{36}/(?:film|draft|published|probe|route|failure|turn-[1-9][0-9]{0,3})\.json"
    r"|manifests/[0-9a-f]{64}\.json"
    r"|retention/keep\.json"
    r"|jobs/[0-9a-f]{64}\.json"
    r"|ledger/[0-9]{4}-[0-9]{2}/(?:(?:totals-)?[0-9]{8}\.json|report\.(?:html|csv))"
    r"|hosts/[A-Za-z0-9._-]{1,120}\.json"
    r"|benchmarks/[a-z0-9][a-z0-9-]{0,59}/[A-Za-z0-9._-]{1,120})\Z"
)


def is_key(text: str) -> bool:
    """Whether `text` is a key of the layout."""
    return _KEY.match(text) is not None


class Digest(str):
    """A lower-case hexadecimal SHA-256. Raises ValueError for anything else."""

    def __new__(cls, value: str) -> Self:
        if not _DIGEST.match(value):
            raise ValueError(f"{value!r} is not a SHA-256 in lower-case hexadecimal")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, handler(str))


class ObjectKey(str):
    """A key inside our bucket. Raises ValueError for a key outside the layout."""

    def __new__(cls, value: str) -> Self:
        if not _KEY.match(value):
            raise ValueError(f"{value!r} is not a key of the bucket's layout")
        return super().__new__(cls, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, handler(str))

    @classmethod
    def chunk(cls, digest: Digest) -> Self:
        return cls(f"chunks/{digest}.mp4")

    @classmethod
    def takes(cls, digest: Digest) -> Self:
        return cls(f"chunks/{digest}.json")

    @classmethod
    def overlap(cls, digest: Digest) -> Self:
        return cls(f"chunks/{digest}.png")

    @classmethod
    def sound(cls, digest: Digest) -> Self:
        return cls(f"chunks/{digest}.flac")

    @classmethod
    def segment(cls, digest: Digest) -> Self:
        return cls(f"segments/{digest}.mp4")

    @classmethod
    def picture_segment(cls, digest: Digest) -> Self:
        return cls(f"segments/{digest}.png")

    @classmethod
    def shot(cls, digest: Digest) -> Self:
        return cls(f"shots/{digest}.json")

    @classmethod
    def video(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/video.mp4")

    @classmethod
    def image(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/image.png")

    @classmethod
    def image_webp(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/image.webp")

    @classmethod
    def poster(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/poster.jpg")

    @classmethod
    def contact(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/contact.jpg")

    @classmethod
    def calendar(cls) -> Self:
        return cls("calendar/calendar.yaml")

    @classmethod
    def calendar_mark(cls, entry: str) -> Self:
        return cls(f"calendar/marks/{entry}.json")

    @classmethod
    def upload(cls, digest: Digest) -> Self:
        return cls(f"uploads/{digest}.png")

    @classmethod
    def upload_archive(cls, digest: Digest) -> Self:
        return cls(f"uploads/{digest}.zip")

    @classmethod
    def still(cls, digest: Digest) -> Self:
        return cls(f"stills/{digest}.png")

    @classmethod
    def draft(cls, run: UUID) -> Self:
        return cls(f"runs/{run}/draft.json")

    @classmethod
    def published(cls, run: UUID) -> Self:
        return cls(f"runs/{run}/published.json")

    @classmethod
    def route(cls, run: UUID) -> Self:
        return cls(f"runs/{run}/route.json")

    @classmethod
    def turn(cls, run: UUID, number: int) -> Self:
        return cls(f"runs/{run}/turn-{number}.json")

    @classmethod
    def failure(cls, run: UUID) -> Self:
        return cls(f"runs/{run}/failure.json")

    @classmethod
    def film(cls, run: UUID) -> Self:
        return cls(f"runs/{run}/film.json")

    @classmethod
    def manifest(cls, content_id: Digest) -> Self:
        return cls(f"videos/{content_id}/manifest.json")

    @classmethod
    def manifest_copy(cls, content_id: Digest) -> Self:
        return cls(f"manifests/{content_id}.json")

    @classmethod
    def keep_list(cls) -> Self:
        return cls("retention/keep.json")

    @classmethod
    def job(cls, digest: Digest) -> Self:
        return cls(f"jobs/{digest}.json")

    @classmethod
    def ledger_entry(cls, month: str, number: int) -> Self:
        return cls(f"ledger/{month}/{number:08}.json")

    @classmethod
    def ledger_totals(cls, month: str, number: int) -> Self:
        return cls(f"ledger/{month}/totals-{number:08}.json")

    @classmethod
    def ledger_report(cls, month: str, suffix: str) -> Self:
        return cls(f"ledger/{month}/report.{suffix}")

    @classmethod
    def benchmark(cls, name: str, file: str) -> Self:
        return cls(f"benchmarks/{name}/{file}")

    @classmethod
    def host(cls, name: str) -> Self:
        return cls(f"hosts/{name}.json")

    @classmethod
    def probe(cls, number: UUID) -> Self:
        return cls(f"runs/{number}/probe.json")
