"""produce-content: takes an editor's brief from the check to the published video.

If a backend cannot be used, the whole video is planned again with the next candidate of its route.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.draft_storyboard import draft_storyboard
from flows.render_video import render_video
from pipelines.documents.brief_form import BriefForm
from pipelines.documents.manifest import Film, Manifest
from pipelines.errors import BudgetError, RejectedError, UnavailableError
from tasks.approval import approve_cost, approve_video, rejected
from tasks.artifacts import show_video
from tasks.discard import discard_film
from tasks.dispatch import draft_on_gpu_host, render_on_gpu_host, runs_on_gpu_host
from tasks.publish import publish
from tasks.refusals import refuses_briefs
from tasks.review import approve_storyboard, begin_review, keep_review
from tasks.route import fall_back, route_brief
from tasks.run_names import run_name


@flow(
    name="produce-content",
    flow_run_name=run_name,
    persist_result=False,
    validate_parameters=False,
)
@refuses_briefs
def produce_content(brief: BriefForm) -> Manifest | State[Any]:
    """Turn a brief into a finished, published video.

    Args:
        brief: What the video shows and how it is made.
    """
    route = route_brief(brief)
    film: Film | None = None
    while film is None:
        review = begin_review(brief, route)
        try:
            route = approve_cost(brief, route)
            on_gpu_host, turn = runs_on_gpu_host(review.brief), route.turn
            while review.needs_draft:
                drafted, number = review.brief, review.round
                draft = (
                    draft_on_gpu_host(drafted, turn, number)
                    if on_gpu_host
                    else draft_storyboard(drafted)
                )
                review = approve_storyboard(review, draft, route)
            chosen = review.brief
            film = render_on_gpu_host(chosen, turn) if on_gpu_host else render_video(chosen)
        except RejectedError as rejection:
            return rejected(rejection)
        except (UnavailableError, BudgetError) as error:
            keep_review(review, route)
            route = fall_back(route, error)
    try:
        approve_video(chosen, film)
    except RejectedError as rejection:
        discard_film(film)
        return rejected(rejection)
    manifest = publish(chosen, film, route)
    show_video(manifest)
    return manifest
