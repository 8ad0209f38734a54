"""Prefect artifacts on the page of a run: progress, storyboard, stills, contact sheet, video,
costs.

An artifact that cannot be created is logged and does not fail the run. Outside a studio no
artifacts are created.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.runtime import deployment, flow_run

from infra.adapters.object_store import ObjectStore
from infra.adapters.settings import Settings
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import Film, Manifest, main_key
from pipelines.documents.route import Route
from pipelines.documents.stand_ins import stand_ins
from pipelines.progress import Progress
from pipelines.quality import seams
from pipelines.schema.keys import ObjectKey
from pipelines.schema.languages import NAMES
from pipelines.schema.names import WARNINGS
from pipelines.schema.plan import Estimate, Kind, Plan
from pipelines.schema.stages import SHARES, STAGES
from pipelines.schema.storyboard import Storyboard
from pipelines.schema.translation import Translation
from tasks.page_order import create_behind, create_first
from tasks.progress import ProgressLog, listening

FILM_MADE, DRAFT_MADE = "the film is made", "the draft is made"
_EVERY = 2.0
"""Seconds between two updates of a progress artifact. Each update is an HTTP request, and a copy of
the progress of another run is two."""
_LINK_LIFE = timedelta(days=7)
"""The longest life of a signed S3 link. Addresses of the gateway do not expire."""
_NAME = 60
"""Characters of a brief that name its video."""
_VERBS: dict[Kind, str] = {"video": "Play", "image": "Look at"}
_log = logging.getLogger("reelwright.page")


@contextlib.contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Log an exception of the block instead of raising it."""
    try:
        yield
    except Exception:
        _log.warning("%s could not be shown", what, exc_info=True)


class ProgressBar:
    """A progress artifact of the current run. It is created at the first report, and never goes
    back: another attempt, or another backend, begins where the one before it came to."""

    def __init__(self) -> None:
        self._id: UUID | None = None
        self._next = 0.0
        self._shown: tuple[float, str] | None = None

    def show(self, percent: float, text: str, *, at_once: bool = False) -> None:
        """Update the artifact. Updates within _EVERY seconds are dropped, except the last one (100
        %), and with `at_once`."""
        percent = max(percent, self._shown[0] if self._shown else 0.0)
        early = time.monotonic() < self._next and percent < 100 and not at_once
        if early or (percent, text) == self._shown:
            return
        self._next = time.monotonic() + _EVERY
        self._shown = (percent, text)
        with _harmless("the progress"):
            if self._id is None:
                made = create_behind(
                    lambda: create_progress_artifact(percent, key="progress", description=text)
                )
                self._id = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._id, progress=percent, description=text)

    def __call__(self, progress: Progress) -> None:
        if progress.stage not in SHARES:
            return
        done = STAGES[: list(SHARES).index(progress.stage)]
        before = sum(SHARES[stage] for stage in done)
        share = SHARES[progress.stage] * progress.done / max(progress.total, 1)
        self.show(round(before + share, 1), progress.detail)


@contextlib.contextmanager
def run_page(made: str = FILM_MADE) -> Iterator[None]:
    """Show the progress of the block on the page of its run. At the end the page says `made`."""
    if deployment.id is None:
        yield
        return
    # Otherwise Prefect would not show Reelwright's own INFO lines on the run's page.
    logging.getLogger("reelwright").setLevel(logging.INFO)
    bar = ProgressBar()
    with listening(bar), listening(ProgressLog()):
        yield
    bar.show(100, made)


class ProgressMirror:
    """Copies the progress of another run to the page of this run, as the part of the whole from
    `start` to `end` per cent."""

    def __init__(
        self, client: SyncPrefectClient, run: UUID, start: float, end: float, made: str
    ) -> None:
        self._client = client
        self._start, self._end, self._made = start, end, made
        self._artifacts_of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        self._bar = ProgressBar()
        self._next = 0.0

    def look(self) -> None:
        """Copy the present progress of the other run, unless that was done within _EVERY
        seconds."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY
        with _harmless("the progress"):
            for artifact in self._client.read_artifacts(artifact_filter=self._artifacts_of_run):
                if artifact.type == "progress" and artifact.data is not None:
                    share = float(str(artifact.data)) / 100
                    percent = round(self._start + (self._end - self._start) * share, 1)
                    self._bar.show(percent, artifact.description or "")

    def finish(self) -> None:
        """Show that the other run is done."""
        self._bar.show(self._end, self._made, at_once=True)


def show_stand_ins(lines: Sequence[str]) -> None:
    """Show what stands in for a model or the device, as soon as it is known. `status` reads it."""
    if deployment.id is None or not lines:
        return
    with _harmless("a warning"):
        create_markdown_artifact("\n\n".join(lines), key=WARNINGS, description="Warning")


def show_route(route: Route) -> None:
    """Show what makes the brief, why, and why not another preset."""
    if deployment.id is None:
        return
    with _harmless("the route"):
        create_markdown_artifact(
            describe_route(route), key="route", description=f"Made with {route.chosen.preset}"
        )


def describe_route(route: Route) -> str:
    """The route as Markdown: its lines as a list."""
    return "\n".join(f"- {line}" for line in route.lines())


def show_estimate(expected: Estimate) -> None:
    """Show what each stage is expected to cost, before the first one begins."""
    if deployment.id is None:
        return
    rows = [
        {
            "stage": item.stage,
            "seconds": round(item.seconds),
            "memory, GB": item.memory_words if item.parts else f"{item.memory_bytes / 1e9:.1f}",
            "disk, MB": round(item.disk_bytes / 1e6),
        }
        for item in expected.stages
    ]
    with _harmless("the estimate"):
        create_table_artifact(rows, key="estimate", description=f"Expected: {in_words(expected)}")


def show_storyboard(plan: Plan, storyboard: Storyboard) -> None:
    """Show the shots as a table, as soon as they are written, and whether a template wrote them."""
    show_stand_ins(stand_ins(None, storyboard))
    _show_shots(plan, storyboard)


def _show_shots(plan: Plan, storyboard: Storyboard) -> None:
    if deployment.id is None:
        return
    rows: list[dict[str, Any]] = [
        {
            "shot": shot.number,
            "seconds": plan.seconds_of_shot(shot.number),
            "what it shows": shot.prompt,
            "camera": shot.camera,
            "written by": shot.source,
            "seeds": ", ".join(str(c.request.seed) for c in plan.chunks if c.shot == shot.number),
        }
        for shot in storyboard.shots
    ]
    with _harmless("the storyboard"):
        create_table_artifact(rows, key="storyboard", description="Storyboard")


def show_draft(draft: Draft) -> None:
    """Show the stills and the shots to the person who decides about them."""
    with _harmless("the draft"):
        store = ObjectStore(Settings.load().store)
        for shot in draft.shots:
            if shot.still is None:
                continue
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
    show_stand_ins(draft.warnings)


def describe_draft(draft: Draft, route: Route | None = None, silence: str = "") -> str:
    """Markdown above the form for the approval of a draft, with what `silence` means. Raises
    SettingsError if a setting is invalid."""
    lines = [f"**The shots of this brief.** The video takes {in_words(draft.estimate)}.", ""]
    lines += [f"{shot.number}. {shot.prompt} ({shot.seconds:g} s)" for shot in draft.shots]
    lines += ["", silence] if silence else []
    lines += _in_two_languages(draft.translation) if draft.translation else []
    lines += [line for warning in draft.warnings for line in ("", f"**Warning:** {warning}.")]
    own = page_of(f"/jobs/{flow_run.id}")
    there = f"[Look at the stills, edit and answer here]({own})" if own else "*Artifacts* has them"
    decided = ["", "**What makes it**", "", describe_route(route)] if route else []
    pictures = f"Their stills: {there}."
    if draft.without_stills:
        pictures = " ".join(filter(None, (f"{draft.without_stills}.", own and f"{there}.")))
    return "\n".join([*lines, "", pictures, *decided])


def _in_two_languages(told: Translation) -> list[str]:
    """Markdown with each translated text beside its original."""
    own = f": {told.english}" if told.is_of_prompt else ":"
    others = [f"- {item.title}: {item.original} → {item.english}" for item in told.others]
    return ["", f"**Translated** from {NAMES[told.language]}{own}", "", *others]


def describe_cost(route: Route) -> str:
    """Markdown above the form for the approval of a price."""
    question = f"**May this video be made?** {route.chosen.preset}: {route.ask}."
    return "\n".join([question, "", describe_route(route)])


def page_of(path: str) -> str:
    """The address of `path` on the gateway; empty if the settings name no gateway.

    Raises SettingsError if a setting is invalid.
    """
    url = Settings.load().gateway.url
    return f"{url.rstrip('/')}{path}" if url else ""


def show_film(film: Film, prompt: str) -> None:
    """Show the finished video of the brief `prompt` to the person who decides about it."""
    with _harmless("the film"):
        path = f"/jobs/{flow_run.id}"
        _show_pictures(film.plan, path)
        _show_link(film.plan, prompt, "Not published yet.", path)


def describe_film(film: Film) -> str:
    """Markdown above the form for the approval of a video.

    Raises SettingsError if a setting is invalid, and StoreError if the settings name no gateway and
    the store cannot sign a link.
    """
    link = page_of(f"/jobs/{flow_run.id}")
    link = link or ObjectStore(Settings.load().store).link(film.video.key, _LINK_LIFE)
    verb = _VERBS[film.plan.kind]
    noun = "picture" if film.plan.kind == "image" else "video"
    return f"**The {noun} is made, and not published yet.** [{verb} it]({link})"


def _show_link(plan: Plan, prompt: str, description: str, path: str) -> None:
    """The video by the words of its brief, one click away: in the run's log, where Prefect's page
    makes a link of an address, and as the first artifact."""
    verb = _VERBS[plan.kind]
    address = page_of(path) or ObjectStore(Settings.load().store).link(
        main_key(plan.content_id, plan.kind), _LINK_LIFE
    )
    words = " ".join(prompt.split())
    name = f"{words[:_NAME]}…" if len(words) > _NAME else words
    # Brackets in a brief would end the link's text.
    text = name.translate(str.maketrans("[]", "()"))
    create_first(
        lambda: create_link_artifact(
            address,
            link_text=f"{verb} “{name}”",
            key="video",
            description=f"[{verb} “{text}”]({address})\n\n{description}",
        )
    )
    logging.getLogger("reelwright").setLevel(logging.INFO)
    _log.info("%s “%s”: %s", verb.lower(), name, address)


def _show_pictures(plan: Plan, path: str) -> None:
    store, cid = ObjectStore(Settings.load().store), plan.content_id
    video = page_of(path) or store.link(main_key(cid, plan.kind), _LINK_LIFE)
    words = f"{_VERBS[plan.kind]} the {'picture' if plan.kind == 'image' else 'video'}"
    if plan.kind == "image":
        shown, about = ObjectKey.poster(cid), "The picture."
    else:
        shown, about = ObjectKey.contact(cid), "One picture of every chunk."
    name = f"{cid}.jpg" if plan.kind == "image" else f"{cid}-contact.jpg"
    create_image_artifact(
        page_of(f"/videos/{name}") or store.link(shown, _LINK_LIFE),
        key="contact-sheet",
        description=f"{about} [{words}]({video})",
    )


def in_words(expected: Estimate) -> str:
    """An estimate in words, for an editor."""
    cost = f", {expected.cost:.2f} for the GPU" if expected.cost else ""
    cost += f", at most {expected.price}" if expected.price else ""
    return f"{expected.time_words}{cost}"


def show_video(manifest: Manifest) -> None:
    """Show the published video: link, contact sheet, transitions and costs."""
    if deployment.id is None:
        return
    with _harmless("the video"):
        path = f"/watch/{manifest.content_id}"
        _show_pictures(manifest.plan, path)
        show_stand_ins(stand_ins(manifest.device, manifest.storyboard))
        _show_shots(manifest.plan, manifest.storyboard)
        if manifest.transitions:
            rows = _transitions(manifest)
            create_table_artifact(rows, key="joins", description="How the chunks meet")
        create_table_artifact(_costs(manifest), key="cost", description="What each stage cost")
        _show_link(manifest.plan, manifest.brief.prompt, manifest.address, path)


def _transitions(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "at": f"{join.frame / manifest.clip.fps:.2f} s",
            "join": join.made,
            "how it looks": seams.in_words(join.seam),
            "times the usual step": join.seam.score,
            "colour": join.seam.colour,
            "structure": join.seam.structure,
            "motion": join.seam.motion,
            "retries": join.retries,
        }
        for join in manifest.transitions
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
