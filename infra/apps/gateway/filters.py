"""Filters of lists in the query of an address."""

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from infra.apps.gateway.problems import ProblemError


def refuse_unknown_filters(request: Request) -> None:
    """A dependency of a route that lists things. Raises ProblemError 422 for a filter that the
    route does not know: ignored, it would look as if everything matched it."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = sorted(_names(route.dependant))
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise ProblemError(
            422,
            "unknown_filter",
            f"{request.url.path} has no filter {unknown[0]!r:.60}; it has {', '.join(known)}",
        )


def _names(dependant: Dependant) -> set[str]:
    """Names of the parameters in the query, those of its dependencies included."""
    own = {field.alias for field in dependant.query_params}
    return own.union(*map(_names, dependant.dependencies))
