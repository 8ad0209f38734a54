"""produce-content: an editor's brief from check to published video."""

from prefect import flow

from flows.render_video import render_video
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import Manifest
from tasks.dispatch import in_studio, render_on_gpu_host
from tasks.page import show_video
from tasks.publish import publish


@flow(name="produce-content", persist_result=False)
def produce_content(brief: Brief) -> Manifest:
    """Turn a brief into a finished, published video.

    Args:
        brief: What the video shows and how it is made.
    """
    film = render_on_gpu_host(brief) if in_studio() else render_video(brief)
    manifest = publish(brief, film)
    show_video(manifest)
    return manifest
