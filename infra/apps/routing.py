"""`reelwright route`: what would make a brief, and why."""

import sys
from typing import Annotated, Any

import typer

from infra.apps.console import plain
from pipelines.errors import BriefError
from pipelines.schema.presets import AUTO

GIVEN: dict[str, dict[str, Any]] = {
    "picture": {"image": f"uploads/{'0' * 64}.png"},
    "last-picture": {"last_image": f"uploads/{'0' * 64}.png"},
    "reference": {"references": [f"uploads/{'0' * 64}.png"]},
    "motion": {"motion": f"uploads/{'0' * 64}.zip"},
}
"""Fields of a brief that stand for an input, with a name that nobody reads."""


def route(
    prompt: Annotated[str, typer.Argument(help="The brief: what the video shows.")],
    preset: Annotated[str, typer.Option(help="A preset; auto: let Reelwright choose.")] = AUTO,
    seconds: Annotated[float, typer.Option(help="Length of the video.")] = 4.0,
    image: Annotated[bool, typer.Option(help="A single picture.")] = False,
    size: Annotated[str, typer.Option(help="Width*height; preset: the preset's.")] = "preset",
    aspect: Annotated[str, typer.Option(help="landscape, portrait or square.")] = "preset",
    upscale: Annotated[int, typer.Option(help="1, 2 or 4.")] = 1,
    joins: Annotated[str, typer.Option(help="cut, continue or crossfade.")] = "cut",
    given: Annotated[
        list[str] | None,
        typer.Option("--with", help=f"An input: {', '.join(GIVEN)}; repeatable."),
    ] = None,
    campaign: Annotated[str, typer.Option(help="For rules of the policy.")] = "",
    priority: Annotated[str, typer.Option(help="rush, normal or batch, likewise.")] = "normal",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what would make a brief, what would be next, and why not the others. Starts nothing."""
    names = "prompt preset seconds size aspect upscale joins campaign priority"
    values: dict[str, Any] = {
        name: value for name, value in locals().items() if name in names.split()
    }
    values["kind"] = "image" if image else "video"
    for item in given or ():
        if item not in GIVEN:
            raise BriefError(f"--with {item!r} is no input; choose of {', '.join(GIVEN)}")
        values |= GIVEN[item]
    found = _find(values)
    text = found.model_dump_json(indent=1) if as_json else plain("\n".join(found.lines()))
    sys.stdout.write(text + "\n")


def _find(values: dict[str, Any]) -> Any:
    from infra.adapters.object_store import ObjectStore
    from infra.apps.environment import adopted
    from pipelines.documents.parsing import parse_brief
    from pipelines.routing.router import find_route
    from tasks.surroundings import HostSurroundings, measured_of, policy_of

    settings = adopted()
    measured = measured_of(ObjectStore(settings.store)) if settings.store.endpoint else {}
    surroundings = HostSurroundings(settings)
    return find_route(parse_brief(values), policy_of(settings), surroundings, measured)
