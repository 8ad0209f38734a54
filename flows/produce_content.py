"""produce-content: an editor's brief from check to published video."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.render_video import render_video
from pipelines.errors import RejectedError
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import Manifest
from tasks.approval import approve_storyboard, approve_video, rejected
from tasks.discard import discard_film
from tasks.dispatch import in_studio, render_on_gpu_host
from tasks.page import show_video
from tasks.publish import publish


@flow(name="produce-content", persist_result=False)
def produce_content(brief: Brief) -> Manifest | State[Any]:
    """Turn a brief into a finished, published video.

    Args:
        brief: What the video shows and how it is made.
    """
    try:
        approved = approve_storyboard(brief)
    except RejectedError as no:
        return rejected(no)
    film = render_on_gpu_host(approved) if in_studio() else render_video(approved)
    try:
        approve_video(brief, film)
    except RejectedError as no:
        discard_film(film)
        return rejected(no)
    manifest = publish(approved, film)
    show_video(manifest)
    return manifest
