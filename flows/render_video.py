"""render-video: runs every GPU stage of one brief in one flow run, in the main thread.

While a chunk or a segment is made, the one before it is encoded and stored in the background.
"""

from prefect import flow

from pipelines.documents.brief_form import BriefForm
from pipelines.documents.manifest import Film
from tasks.artifacts import run_page, show_storyboard
from tasks.check import check, learn_rates
from tasks.chunks import PendingChunk, make_chunk, prepare_backend, stored_chunks
from tasks.context import LocalClip, open_context
from tasks.dispatch import hand_off
from tasks.enhance import enhance, plan_video
from tasks.failures import failures_handed_off
from tasks.picture import finish_picture, upload_picture
from tasks.publish import find_published, upload_film
from tasks.stitch import add_film_sound, join_chunks, stitch_film
from tasks.upscale import make_segment, stored_segments


@flow(name="render-video", persist_result=False)
def render_video(brief: BriefForm) -> Film:
    """Enhance, generate, stitch, upscale and upload one video or picture.

    Args:
        brief: What the video shows and how it is made.
    """
    with run_page(), failures_handed_off(), open_context(brief) as context:
        expected = check(brief, context)
        storyboard = enhance(brief, context)
        plan = plan_video(brief, storyboard, context)
        show_storyboard(plan, storyboard)
        published = find_published(plan, storyboard, context)
        if published:
            return hand_off(published, context)
        prepare_backend(plan, context)
        pending: list[PendingChunk] = []
        for chunk in plan.chunks:
            before = pending[-1] if pending else None
            pending.append(make_chunk(chunk, len(plan.chunks), before, context))
        chunks = stored_chunks(pending, context)
        if plan.kind == "image":
            picture = finish_picture(plan, chunks, context)
            made = upload_picture(plan, storyboard, expected, picture, context)
            learn_rates(made, context)
            return hand_off(made, context)
        joined = join_chunks(plan, chunks, context)
        film = joined.path
        segments: list[LocalClip] = []
        if plan.upscale:
            parts = [make_segment(plan, chunk, film, context) for chunk in plan.chunks]
            segments = stored_segments(parts, context)
            film = stitch_film(plan, segments, "upscaled", context)
        film = add_film_sound(plan, chunks, film, context)
        made = upload_film(
            plan, storyboard, expected, film, chunks, joined.transitions, segments, context
        )
        learn_rates(made, context)
        return hand_off(made, context)
