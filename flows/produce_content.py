"""produce-content: an editor's brief from check to published video."""

from prefect import flow

from flows.render_video import render_video
from pipelines.schema.brief import Brief
from pipelines.schema.manifest import Manifest
from tasks.check import check, learn_rates
from tasks.publish import publish


@flow(name="produce-content", persist_result=False)
def produce_content(brief: Brief) -> Manifest:
    """Turn a brief into a finished, published video.

    Args:
        brief: What the video shows and how it is made.
    """
    expected = check(brief)
    film = render_video(brief)
    manifest = publish(brief, film, expected)
    learn_rates(manifest)
    return manifest
