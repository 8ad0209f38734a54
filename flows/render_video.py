"""render-video: every GPU stage of one brief in one run, as direct task calls."""

from prefect import flow

from pipelines.schema.brief import Brief
from pipelines.schema.manifest import Film
from tasks.check import check, learn_rates
from tasks.chunks import encode_texts, make_chunk
from tasks.dispatch import hand_over
from tasks.enhance import enhance, plan_video
from tasks.page import run_page, show_storyboard
from tasks.publish import find_published, upload_film
from tasks.room import LocalClip, open_room
from tasks.stitch import join_chunks, stitch_film
from tasks.upscale import make_segment


@flow(name="render-video", persist_result=False)
def render_video(brief: Brief) -> Film:
    """Enhance, generate, stitch, upscale and upload one video.

    Args:
        brief: What the video shows and how it is made.
    """
    with run_page(), open_room(brief) as room:
        expected = check(brief, room)
        storyboard = enhance(brief, room)
        plan = plan_video(brief, storyboard, room)
        show_storyboard(plan, storyboard)
        published = find_published(plan, storyboard, room)
        if published:
            return hand_over(published, room)
        encode_texts(plan, room)
        chunks: list[LocalClip] = []
        for chunk in plan.chunks:
            before = chunks[-1] if chunks else None
            chunks.append(make_chunk(chunk, len(plan.chunks), before, room))
        joined = join_chunks(plan, chunks, room)
        film = joined.path
        segments = []
        if plan.upscale:
            segments = [make_segment(plan, chunk, film, room) for chunk in plan.chunks]
            film = stitch_film(plan, segments, "upscaled", room)
        made = upload_film(plan, storyboard, expected, film, chunks, joined.joins, segments, room)
        learn_rates(made, room)
        return hand_over(made, room)
