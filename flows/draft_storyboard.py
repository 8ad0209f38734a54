"""draft-storyboard: writes the shots of a brief and makes a still of each, for approval."""

from prefect import flow

from pipelines.documents.brief_form import BriefForm
from pipelines.documents.draft import Draft
from pipelines.documents.manifest import StoredObject
from tasks.artifacts import DRAFT_MADE, run_page
from tasks.check import check
from tasks.context import open_context
from tasks.dispatch import hand_off
from tasks.enhance import enhance, plan_video
from tasks.failures import failures_handed_off
from tasks.stills import make_draft, make_still, prepare_stills


@flow(name="draft-storyboard", persist_result=False)
def draft_storyboard(brief: BriefForm) -> Draft:
    """Write the shots of a brief and make a still of each.

    Args:
        brief: What the video shows and how it is made.
    """
    with run_page(DRAFT_MADE), failures_handed_off(), open_context(brief) as context:
        expected = check(brief, context)
        storyboard = enhance(brief, context)
        plan = plan_video(brief, storyboard, context)
        prepare_stills(plan, context)
        stills: list[StoredObject | None] = []
        for chunk in plan.chunks:
            before = stills[-1] if stills else None
            stills.append(make_still(chunk, len(plan.chunks), before, context))
        draft = make_draft(brief, plan, storyboard, stills, expected, context)
        return hand_off(draft, context)
