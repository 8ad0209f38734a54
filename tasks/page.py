"""What an editor sees on a run's page: progress, storyboard, contact sheet, video, figures.

Nothing here may fail a run, and without a studio nothing here does anything.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import deployment, flow_run

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.progress import Progress
from pipelines.schema.draft import Draft
from pipelines.schema.keys import Digest, ObjectKey
from pipelines.schema.manifest import Film, Manifest
from pipelines.schema.plan import Estimate, Plan
from pipelines.schema.presets import FPS
from pipelines.schema.storyboard import Storyboard
from tasks.progress import ProgressLog, listening

_SHARES = {"enhance": 5, "encode": 5, "chunks": 65, "stitch": 2, "upscale": 20, "upload": 3}
"""Per cent of a run, roughly: the bar shall move, the words beside it are exact."""
FILM_MADE, DRAFT_MADE = "the film is made", "the draft is made"
_EVERY = 1.0
"""Seconds between two updates; each costs a request."""
_LINK_LIFE = timedelta(days=7)
"""The longest that S3's signatures allow; the gateway's addresses stay."""
_log = logging.getLogger("reelwright.page")


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.warning("%s could not be shown", what, exc_info=True)


class ProgressBar:
    """A progress artifact of the current run, made at the first report."""

    def __init__(self) -> None:
        self._id: UUID | None = None
        self._next = 0.0
        self._shown: tuple[float, str] | None = None

    def show(self, percent: float, text: str) -> None:
        """At most once in _EVERY seconds, but for the end."""
        early = time.monotonic() < self._next and percent < 100
        if early or (percent, text) == self._shown:
            return
        self._next = time.monotonic() + _EVERY
        self._shown = (percent, text)
        with _harmless("the progress"):
            if self._id is None:
                made = create_progress_artifact(percent, key="progress", description=text)
                self._id = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._id, progress=percent, description=text)

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in _SHARES:
            return
        stages = list(_SHARES)
        before = sum(_SHARES[stage] for stage in stages[: stages.index(progress.stage)])
        share = _SHARES[progress.stage] * progress.done / max(progress.total, 1)
        self.show(round(before + share, 1), progress.detail)


@contextlib.contextmanager
def run_page(made: str = FILM_MADE) -> Iterator[None]:
    """All progress of the block appears on the page of its run, at last what was `made`."""
    if deployment.id is None:
        yield
        return
    # What Reelwright logs belongs on the run's page as well.
    logging.getLogger("reelwright").setLevel(logging.INFO)
    bar = ProgressBar()
    with listening(bar), listening(ProgressLog()):
        yield
    bar.show(100, made)


class ProgressMirror:
    """The progress of another run, shown on the page of this one as `share` of the whole."""

    def __init__(self, client: SyncPrefectClient, run: UUID, share: float, made: str) -> None:
        self._client = client
        self._share, self._made = share, made
        self._theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        self._bar = ProgressBar()

    def look(self) -> None:
        """Show how far it is now."""
        with _harmless("the progress"):
            for artifact in self._client.read_artifacts(artifact_filter=self._theirs):
                if artifact.type == "progress" and artifact.data is not None:
                    percent = round(self._share * float(str(artifact.data)), 1)
                    self._bar.show(percent, artifact.description or "")

    def finish(self) -> None:
        """It is done."""
        self._bar.show(100 * self._share, self._made)


def show_storyboard(plan: Plan, storyboard: Storyboard) -> None:
    """The shots as a table, as soon as they are known."""
    if deployment.id is None:
        return
    rows: list[dict[str, Any]] = [
        {
            "shot": shot.number,
            "seconds": _seconds(plan, shot.number),
            "what it shows": shot.prompt,
            "camera": shot.camera,
            "written by": shot.source,
            "seeds": ", ".join(str(c.spec.seed) for c in plan.chunks if c.shot == shot.number),
        }
        for shot in storyboard.shots
    ]
    with _harmless("the storyboard"):
        create_table_artifact(rows, key="storyboard", description="Storyboard")


def show_draft(draft: Draft) -> None:
    """The stills and the shots that a person is asked about."""
    with _harmless("the draft"):
        store = ObjectStore(Settings.load().store)
        for shot in draft.shots:
            create_image_artifact(
                page_of(f"/{shot.still.key}") or store.link(shot.still.key, _LINK_LIFE),
                key=f"still-{shot.number}",
                description=f"Shot {shot.number}: {shot.prompt}",
            )
        rows = [
            {"shot": shot.number, "seconds": shot.seconds, "what it shows": shot.prompt}
            for shot in draft.shots
        ]
        create_table_artifact(rows, key="draft", description=f"Draft. {in_words(draft.estimate)}")


def describe_draft(draft: Draft) -> str:
    """Markdown above the form that asks about it."""
    lines = [f"**The shots of this brief.** The video takes {in_words(draft.estimate)}.", ""]
    lines += [f"{shot.number}. {shot.prompt} ({shot.seconds:g} s)" for shot in draft.shots]
    own = page_of(f"/jobs/{flow_run.id}")
    there = f"[Look at the stills, edit and answer here]({own})" if own else "*Artifacts* has them"
    return "\n".join([*lines, "", f"Their stills: {there}."])


def page_of(path: str) -> str:
    """`path` on the gateway; empty if the settings do not say where it is."""
    url = Settings.load().gateway.url
    return f"{url.rstrip('/')}{path}" if url else ""


def show_film(film: Film) -> None:
    """The finished video that a person is asked about."""
    with _harmless("the film"):
        _show_pictures(film.plan.content_id, "Not published yet.", f"/jobs/{flow_run.id}")


def describe_film(film: Film) -> str:
    """Markdown above the form that asks about it."""
    link = page_of(f"/jobs/{flow_run.id}")
    link = link or ObjectStore(Settings.load().store).link(film.video.key, _LINK_LIFE)
    return f"**The video is made, and not published yet.** [Play it]({link})"


def _show_pictures(cid: Digest, description: str, page: str) -> None:
    store = ObjectStore(Settings.load().store)
    video = page_of(page) or store.link(ObjectKey.video(cid), _LINK_LIFE)
    contact = page_of(f"/videos/{cid}-contact.jpg")
    create_link_artifact(video, link_text="Play the video", key="video", description=description)
    create_image_artifact(
        contact or store.link(ObjectKey.contact(cid), _LINK_LIFE),
        key="contact-sheet",
        description=f"One picture of every chunk. [Play the video]({video})",
    )


def in_words(expected: Estimate) -> str:
    """An estimate as an editor reads it."""
    minutes = expected.seconds / 60
    length = f"{minutes:.1f} minutes" if minutes >= 1 else f"{expected.seconds:.0f} seconds"
    cost = f", {expected.cost:.2f} for the GPU" if expected.cost else ""
    return f"about {length}{cost} ({expected.basis})"


def show_video(manifest: Manifest) -> None:
    """Link, contact sheet, joins and cost of the finished video."""
    if deployment.id is None:
        return
    with _harmless("the video"):
        _show_pictures(manifest.content_id, manifest.address, f"/watch/{manifest.content_id}")
        show_storyboard(manifest.plan, manifest.storyboard)
        if manifest.joins:
            create_table_artifact(_joins(manifest), key="joins", description="How the joins look")
        create_table_artifact(_costs(manifest), key="cost", description="What each stage cost")


def _joins(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "at": f"{join.frame / FPS:.2f} s",
            "join": join.made,
            "times the usual step": join.seam.score,
            "colour": join.seam.colour,
            "structure": join.seam.structure,
            "motion": join.seam.motion,
            "retries": join.retries,
        }
        for join in manifest.joins
    ]


def _costs(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "stage": cost.stage,
            "seconds": cost.seconds,
            "memory, GB": round(cost.peak_rss_bytes / 1e9, 2),
            "GPU memory, GB": round(cost.peak_gpu_bytes / 1e9, 2),
        }
        for cost in manifest.stages
    ]


def _seconds(plan: Plan, shot: int) -> float:
    return round(sum(chunk.keep for chunk in plan.chunks if chunk.shot == shot) / FPS, 2)
