"""The form of a brief: what its JSON schema says beside the fields, and checks of single values."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from pipelines.backends.registry import definitions, offered_sizes, presets
from pipelines.schema import limits
from pipelines.schema.keys import is_key
from pipelines.schema.presets import AUTO


def finish(schema: dict[str, Any]) -> None:
    """Number the fields, limit the numbers, and list the presets and sizes.

    Prefect's form sorts the fields by `position`; PostgreSQL does not keep their order. The lists
    are made whenever a schema is, because backends of the operator's file come after the import.
    """
    for position, field in enumerate(schema["properties"].values()):
        field["position"] = position
    for name, (least, most) in limits.FORM_RANGES.items():
        schema["properties"][name] |= {"minimum": least, "maximum": most}
    longest = max(item.capabilities.longest for item in definitions().values())
    schema["properties"]["frames"] |= {"minimum": -1, "maximum": longest}
    schema["properties"]["preset"]["enum"] = [*presets(), AUTO]
    schema["properties"]["size"]["enum"] = ["preset", *map(str, offered_sizes())]


def upload(value: str, field: str, suffix: str) -> str:
    """`value`. Raises ValueError if it is not an uploaded object of that kind."""
    if value.startswith("uploads/") and value.endswith(suffix) and is_key(value):
        return value
    raise ValueError(
        f"{field} {value!r:.90} is no uploaded file; send it to /uploads and give the "
        f"uploads/…{suffix} that is answered"
    )


def check_once(numbers: Sequence[int]) -> None:
    """Raises ValueError if one of the changed shots is there twice."""
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise ValueError(f"shot {twice[0]} is changed twice; keep one change a shot")


def require_one_that_fits(with_preset: Callable[[str], object]) -> None:
    """Raises ValueError with the reasons if `with_preset` raises ValidationError for every one."""
    reasons: list[str] = []
    for name in presets():
        try:
            with_preset(name)
        except ValidationError as error:
            reasons += [str(item["msg"]).removeprefix("Value error, ") for item in error.errors()]
        else:
            return
    few = "; ".join(list(dict.fromkeys(reasons))[:3])
    raise ValueError(f"no preset can make this brief: {few}")
