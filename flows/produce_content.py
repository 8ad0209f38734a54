"""produce-content: takes an editor's brief from the check to the published video."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.draft_storyboard import draft_storyboard
from flows.render_video import render_video
from pipelines.documents.brief import Brief
from pipelines.documents.manifest import Manifest
from pipelines.errors import RejectedError
from tasks.approval import approve_storyboard, approve_video, needs_draft, rejected
from tasks.artifacts import show_video
from tasks.discard import discard_film
from tasks.dispatch import draft_on_gpu_host, render_on_gpu_host, runs_on_gpu_host
from tasks.publish import publish


@flow(name="produce-content", persist_result=False)
def produce_content(brief: Brief) -> Manifest | State[Any]:
    """Turn a brief into a finished, published video.

    Args:
        brief: What the video shows and how it is made.
    """
    on_gpu_host = runs_on_gpu_host(brief)
    try:
        if needs_draft(brief):
            draft = draft_on_gpu_host(brief) if on_gpu_host else draft_storyboard(brief)
            brief = approve_storyboard(brief, draft)
    except RejectedError as rejection:
        return rejected(rejection)
    film = render_on_gpu_host(brief) if on_gpu_host else render_video(brief)
    try:
        approve_video(brief, film)
    except RejectedError as rejection:
        discard_film(film)
        return rejected(rejection)
    manifest = publish(brief, film)
    show_video(manifest)
    return manifest
