"""The page of all settings, from `infra.adapters.settings.SECTIONS`."""

import json
from collections.abc import Iterator
from typing import Any

from infra.adapters.section import Section
from infra.adapters.settings import SECTIONS, variable_of
from tests.docs.tables import NOTICE, table

_HEAD = """# Settings

Read from the environment; all are optional. `reelwright up` writes those that other programs of the
machine need into `studio/studio.env` of the data directory. A value that breaks a rule stops the
command with the name of the variable, the value and the rule.

The files of backends, policy, caps, webhooks and calendar, `REELWRIGHT_COSTS_…`,
`REELWRIGHT_RETENTION_…` and `REELWRIGHT_GPU_HOUR_PRICE` hold for later starts of `up` too, from
whatever shell: it says which it takes from the last start. To use a file no longer, set its
variable to nothing (`REELWRIGHT_BACKENDS= reelwright up`). Commands on the same machine use these
settings while the studio runs. Other hosts of a studio need them in their own environment.

"""
_DEFAULTS = {
    "REELWRIGHT_DATA_DIR": "the user's data directory",
    "REELWRIGHT_MODELS_DIR": "`models` in the data directory",
    "REELWRIGHT_FFMPEG": "the packaged one",
    "REELWRIGHT_S3_ENDPOINT": "none: SeaweedFS is started",
    "REELWRIGHT_GATEWAY_URL": "host and port",
    "REELWRIGHT_CALENDAR_FILE": "the calendar in the bucket",
    "REELWRIGHT_ROUTING_POLICY": "the built-in policy",
}
"""In words, where the default is not a value or differs from machine to machine."""
_NOTES = {
    "ComputeSettings": "The price of an hour: [costs](costs.md#our-own-gpu).",
    "RemoteSettings": "What the file may contain: [backends in the cloud](cloud.md), "
    "[servers of your own](servers.md), [ComfyUI](comfyui.md).",
    "LlmSettings": "On a GPU it needs a build of llama.cpp with CUDA: "
    "[the GPU host](operating.md#the-gpu-host). These variables change speed and memory. Words "
    "that are already written are found again, whatever is set here.",
    "CalendarSettings": "What the file contains: [calendar](calendar.md).",
    "CostSettings": "What they mean: [costs](costs.md).",
    "RoutingSettings": "What the file contains: [routing](routing.md).",
    "RetentionSettings": "What each kind is: [retention](operating.md#retention).",
}


def text() -> str:
    """The whole page."""
    return _HEAD.replace("\n\n", f"\n\n{NOTICE}\n", 1) + "\n".join(map(_section, SECTIONS))


def _section(section: type[Section]) -> str:
    title = (section.__doc__ or "").strip().partition("\n\n")[0].rstrip(".")
    note = _NOTES.get(section.__name__, "")
    rows = table(["variable", "default", "values", "meaning"], _rows(section))
    return f"## {title}\n\n{note}{chr(10) * 2 if note else ''}{rows}"


def _rows(section: type[Section]) -> Iterator[list[str]]:
    schema = section.model_json_schema(mode="validation")
    for name, field in section.model_fields.items():
        variable = variable_of(section, name)
        values = schema["properties"][name]
        yield [
            f"`{variable}`",
            _DEFAULTS.get(variable) or _default(field.default),
            _values(values),
            field.description or "",
        ]


def _default(value: Any) -> str:
    plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    if plain is None or plain == "":
        return "none"
    if isinstance(plain, str):
        return f"`{plain}`"
    if isinstance(plain, bool | int | float):
        whole = isinstance(plain, float) and plain.is_integer()
        return f"`{json.dumps(int(plain) if whole else plain)}`"
    return f"`{plain}`"


def _values(schema: dict[str, Any]) -> str:
    """What may be given, in words."""
    choices = schema.get("anyOf", [schema])
    kind = next(item for item in choices if item.get("type") != "null")
    if "enum" in kind:
        return ", ".join(f"`{item}`" for item in kind["enum"])
    if kind.get("format") in ("path", "file-path"):
        return "path"
    limits = [
        f"{word} {kind[key]:g}"
        for key, word in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))
        if key in kind
    ]
    words = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    return " ".join([words.get(kind.get("type", ""), "text"), ", ".join(limits)]).strip()
