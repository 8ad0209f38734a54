"""draft-storyboard: the shots of a brief and a still of each, for approval."""

from prefect import flow

from pipelines.schema.brief import Brief
from pipelines.schema.draft import Draft
from pipelines.schema.manifest import StoredObject
from tasks.check import check
from tasks.chunks import encode_texts
from tasks.dispatch import hand_over
from tasks.enhance import enhance, plan_video
from tasks.page import DRAFT_MADE, run_page
from tasks.room import open_room
from tasks.stills import make_draft, make_still


@flow(name="draft-storyboard", persist_result=False)
def draft_storyboard(brief: Brief) -> Draft:
    """Write the shots of a brief and make a still of each.

    Args:
        brief: What the video shows and how it is made.
    """
    with run_page(DRAFT_MADE), open_room(brief) as room:
        expected = check(brief, room)
        storyboard = enhance(brief, room)
        plan = plan_video(brief, storyboard, room)
        encode_texts(plan, room)
        stills: list[StoredObject] = []
        for chunk in plan.chunks:
            before = stills[-1] if stills else None
            stills.append(make_still(chunk, len(plan.chunks), before, room))
        draft = make_draft(brief, plan, storyboard, stills, expected)
        return hand_over(draft, room)
