"""The form of a brief: what its JSON schema says beside the fields, and checks of single values."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from pipelines.backends.registry import definitions, offered_sizes, presets
from pipelines.schema import limits
from pipelines.schema.keys import is_key
from pipelines.schema.languages import AS_WRITTEN, NAMES
from pipelines.schema.languages import AUTO as AUTO_LANGUAGE
from pipelines.schema.presets import AUTO
from pipelines.schema.reviewed import ReviewedText


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


def _known_language(value: str) -> str:
    if value not in LANGUAGES:
        named = ", ".join(NAMES)
        raise ValueError(
            f"language {value!r:.40} is unknown; choose {AUTO_LANGUAGE!r}, {AS_WRITTEN!r}, or one "
            f"of {named}"
        )
    return value


def _lora_name(value: str) -> str:
    if value and not _LORA.fullmatch(value):
        raise ValueError(
            f"lora {value!r:.90} is no name of a LoRA (letters, digits, dots, dashes and "
            "underscores, no path); `reelwright models list` shows those that are installed"
        )
    return value


LANGUAGES = (AUTO_LANGUAGE, AS_WRITTEN, *NAMES)
"""What the field `language` may be."""
Language = Annotated[str, AfterValidator(_known_language)]
_LORA = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
LoraName = Annotated[str, AfterValidator(_lora_name)]
"""A name, or nothing."""
ReviewedTexts = Annotated[
    tuple[ReviewedText, ...],
    Field(
        title="Reviewed texts",
        description="Set when a storyboard is approved: what became of words in another language, "
        "so that the film has the words of the storyboard. Leave it empty.",
        max_length=1_000,
    ),
]


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
