"""A preset's options with some of them replaced by a brief's."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.schema.presets import BackendOptions, Preset


def changed_options(preset: Preset, wanted: Mapping[str, Any]) -> BackendOptions:
    """The options of `preset` with the `wanted` values.

    Raises ValueError for an option that its backend does not have, or a value that it does not
    allow.
    """
    absent = sorted(set(wanted) - set(type(preset.options).model_fields))
    if absent:
        raise ValueError(
            f"{absent[0]} {wanted[absent[0]]!r} is set, but the preset {preset.name!r} has no "
            "such option: leave it at its default, or choose another preset"
        )
    try:
        return preset.options.replaced(**wanted) if wanted else preset.options
    except ValidationError as error:
        item = error.errors()[0]
        raise ValueError(
            f"{item['loc'][0]} {item['input']!r:.80} is not allowed by the preset "
            f"{preset.name!r}: {item['msg'].lower()}; choose such a value, or leave it at its "
            "default"
        ) from error
