"""The brief as the flows take it from Prefect, and as it is handed to Prefect."""

from typing import Annotated, Any

from pipelines.documents.brief import Brief
from pipelines.documents.grouping import InGroups, grouped

BriefForm = Annotated[Brief, InGroups()]
"""A brief whose form in Prefect has an editor's fields first and an expert's in one group."""


def parameters_of(brief: Brief) -> dict[str, Any]:
    """The parameters of a run of `brief`, in the groups of the form: whoever copies the run on
    Prefect's page finds every value in its field."""
    return {"brief": grouped(brief.model_dump(mode="json"))}
