"""Two videos side by side: `/compare`, with what their briefs and figures have different."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from infra.apps.gateway.access import gateway_of
from infra.apps.gateway.languages.rendering import render
from infra.apps.gateway.listing import view_of
from infra.apps.gateway.pages import to_login
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.store_work import at_store
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.schema.keys import Digest

pages = APIRouter()
Cid = Annotated[str, Query(pattern=r"^[0-9a-f]{64}$")]
_NOT_SEEN = {
    *("approval", "approval_hours", "on_silence", "priority", "campaign", "stands_in_for"),
    "reviewed",
}
"""Fields of a brief that change nothing in the picture."""


@dataclass(frozen=True)
class Difference:
    """One thing that the videos do not have in common."""

    what: str
    left: str
    right: str


@pages.get("/compare")
@at_store
def compare(request: Request, a: Cid, b: Cid) -> Response:
    """Both players, and a table of the differences."""
    if redirect := to_login(request):
        return redirect
    try:
        left, right = _manifest(request, a), _manifest(request, b)
    except ProblemError as problem:
        title = "These videos cannot be compared"
        return render(request, "message.html", problem.status, title=title, text=problem.message)
    return render(
        request,
        "compare.html",
        videos=(view_of(left), view_of(right)),
        differences=differences(left, right),
        shared=len(_chunks(left) & _chunks(right)),
    )


def differences(left: Manifest, right: Manifest) -> list[Difference]:
    """Of the briefs, field by field, and of what came of them."""
    found = [
        Difference(field.title or name, _words(left.brief, name), _words(right.brief, name))
        for name, field in Brief.model_fields.items()
        if name not in _NOT_SEEN
    ]
    found += [
        Difference("Model", view_of(left).model, view_of(right).model),
        Difference("Length", f"{left.clip.duration:.2f} s", f"{right.clip.duration:.2f} s"),
        Difference("Size", _size(left), _size(right)),
    ]
    for number, (one, other) in enumerate(
        zip(left.storyboard.shots, right.storyboard.shots, strict=False), start=1
    ):
        found.append(Difference(f"Shot {number}", one.prompt, other.prompt))
    return [item for item in found if item.left != item.right]


def _words(brief: Brief, name: str) -> str:
    value = getattr(brief, name)
    if name == "shots":
        return ", ".join(f"shot {item.shot}: seed {item.seed} {item.prompt}" for item in value)
    if isinstance(value, tuple):
        return ", ".join(str(getattr(item, "prompt", item)) for item in value)
    return str(value)


def _size(manifest: Manifest) -> str:
    return f"{manifest.clip.width}×{manifest.clip.height}"


def _chunks(manifest: Manifest) -> set[str]:
    return {chunk.digest for chunk in manifest.plan.chunks}


def _manifest(request: Request, cid: str) -> Manifest:
    found = gateway_of(request).videos.manifest(Digest(cid))
    if found is None:
        raise ProblemError(404, "not_found", f"there is no published video {cid[:12]}…")
    return found
