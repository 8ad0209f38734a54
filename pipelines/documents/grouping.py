"""A brief in two groups: an editor's fields, and within them one group of an expert's fields.

Prefect's form shows a brief like this, because a flat list of all its fields is long. Manifests,
the REST API, webhooks and the calendar have the flat brief. Every brief is read in both forms.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

GROUP = "expert"
"""Name of the group within a brief."""
EDITORS = (
    *("prompt", "seconds", "preset", "style", "negative", "aspect", "upscale", "joins", "kind"),
    *("campaign", "language", "approval", "approval_hours", "on_silence", "priority"),
)
"""What an editor fills in, in the order of the form."""
EXPERTS = (
    *("enhance", "storyboard", "shots", "sheet", "image", "last_image", "references", "motion"),
    *("size", "seed", "frames", "steps", "guidance", "flow_shift", "lora", "lora_strength"),
)
"""Fields of the group, in the order of the form."""
HIDDEN = ("stands_in_for", "reviewed")
"""Fields that programs set. The form does not show them."""
_HIDDEN_OF_SHOTS = ("source", "original")
_HIDDEN_OF_SHEET = ("original",)


def flat(values: Mapping[str, Any], fields: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """`values` with the fields of their group, if there is one, beside the others.

    `fields` are those of the brief. The form fills in the default of every field of the group, and
    a run that somebody copies may have every field beside it. So a default counts as not given
    where the field has another value in the other place. Raises ValueError if two values are
    given, or if the group has a field that it must not have.
    """
    result = {name: value for name, value in values.items() if name != GROUP}
    group = values.get(GROUP)
    if group is None:
        return result
    if not isinstance(group, Mapping):
        raise ValueError(f"{GROUP} {group!r:.80} is no group of fields; leave it out, or open it")
    for name, value in group.items():
        if name not in EXPERTS and name in fields:
            raise ValueError(f"{name} does not belong in the group {GROUP!r}; write it beside it")
        if name not in EXPERTS:
            raise ValueError(f"the group {GROUP!r} has no field {name!r:.60}; leave it out")
        known, default = result.setdefault(name, value), _plain(fields[name].default)
        if _plain(known) == default:
            result[name] = value
        elif _plain(value) not in (default, _plain(known)):
            raise ValueError(
                f"{name} is {known!r:.60} beside the group {GROUP!r} and {value!r:.60} in it; give "
                "it once"
            )
    return result


def grouped(values: Mapping[str, Any]) -> dict[str, Any]:
    """A flat brief's values as the form shows them. `flat` takes them back."""
    group = {name: values[name] for name in EXPERTS if name in values}
    rest = {name: value for name, value in values.items() if name not in EXPERTS}
    return rest | ({GROUP: group} if group else {})


class InGroups:
    """Metadata of a parameter whose type is a brief: its JSON schema has the two groups.

    What the form hides, and an expert's field beside the group, is under `patternProperties`:
    Prefect's server checks it, and Prefect's form does not show it. Without it the server would
    refuse such a field, or take any value of it.
    """

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The schema of the brief, in groups."""
        schema = handler(core_schema)
        brief = handler.resolve_ref_schema(schema)
        fields = brief["properties"]
        for name in ("storyboard", "shots", "sheet"):
            _number(handler.resolve_ref_schema(fields[name]["items"])["properties"])
        _hide(handler.resolve_ref_schema(fields["storyboard"]["items"]), _HIDDEN_OF_SHOTS)
        _hide(handler.resolve_ref_schema(fields["sheet"]["items"]), _HIDDEN_OF_SHEET)
        group: dict[str, Any] = {
            "title": "For experts",
            "description": "The shots and pictures by hand, and the numbers of the model. All can "
            "stay as they are: -1, 'preset' and empty fields take the preset's.",
            "type": "object",
            "properties": {name: fields[name] for name in EXPERTS},
            "additionalProperties": False,
        }
        shown = {name: fields[name] for name in EDITORS} | {GROUP: group}
        _number(shown)
        _number(group["properties"])
        brief["properties"] |= {GROUP: group}
        _hide(brief, (*EXPERTS, *HIDDEN))
        brief["properties"] = {name: brief["properties"][name] for name in shown}
        return schema


def _number(fields: dict[str, Any]) -> None:
    """Prefect's form sorts by `position`; PostgreSQL does not keep the order of fields."""
    for position, field in enumerate(fields.values()):
        field["position"] = position


def _hide(definition: JsonSchemaValue, names: tuple[str, ...]) -> None:
    """Take the fields `names` out of the form; their values are still checked."""
    fields: dict[str, Any] = definition["properties"]
    # Otherwise a name that is unknown would be answered with all patterns.
    definition.pop("additionalProperties", None)
    definition["propertyNames"] = {"enum": [*fields]}
    definition["patternProperties"] = {f"^{name}$": fields.pop(name) for name in names}


def _plain(value: Any) -> Any:
    """JSON has lists only."""
    return list(value) if isinstance(value, tuple) else value
