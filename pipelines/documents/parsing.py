"""Makes briefs from plain values. Errors are sentences that an editor understands."""

from typing import Any

from pydantic import ValidationError

from pipelines.documents.brief import Brief
from pipelines.errors import BriefError


def parse_brief(values: dict[str, Any]) -> Brief:
    """A brief from plain values. Raises BriefError, which names value, rule and remedy, if they
    break a rule."""
    try:
        return Brief.model_validate(values)
    except ValidationError as error:
        raise BriefError(sentences(error)) from error


def sentences(error: ValidationError) -> str:
    """The errors of a brief in one text, for an editor."""
    return "; ".join(_sentence(item) for item in error.errors())


def _sentence(item: Any) -> str:
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message
    field = ".".join(str(part) for part in item["loc"]) or "brief"
    title = Brief.model_fields[field].description if field in Brief.model_fields else ""
    if item["type"] == "missing":  # its input is the whole brief
        return f"{field} is missing. {title}".strip()
    return f"{field} {item.get('input')!r:.80}: {message.lower()}. {title}".strip()
