"""Renders the pages in the language of their reader."""

from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal
from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader

from infra.apps.gateway.languages.catalog import ENGLISH, LANGUAGES, said
from infra.apps.gateway.languages.choice import language_of

_FOLDER = Path(__file__).parents[1] / "templates"
_language: ContextVar[str] = ContextVar("language", default=ENGLISH)
"""Of the page that is rendered at this moment. Templates are compiled once for all languages."""


def render(
    request: Request,
    page: str,
    status: int = 200,
    headers: dict[str, str] | None = None,
    /,
    **values: Any,
) -> HTMLResponse:
    """The template `page` with these values."""
    language = language_of(request)
    common = {"language": language, "languages": LANGUAGES.names, "here": _place_of(request)}
    app = request.scope.get("app")
    if app is not None and hasattr(app.state, "shared_values"):
        common |= app.state.shared_values(request)
    told = {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
    token = _language.set(language)
    try:
        return _TEMPLATES.TemplateResponse(
            request, page, common | values, status_code=status, headers=told | (headers or {})
        )
    finally:
        _language.reset(token)


def _place_of(request: Request) -> str:
    """The path to come back to with another language. A form that was sent is not sent again: its
    page is."""
    if request.method == "POST":
        return urlsplit(request.headers.get("referer", "")).path or "/"
    return f"{request.url.path}?{request.url.query}".rstrip("?")


def _gettext(text: str) -> str:
    return LANGUAGES.catalog(_language.get()).gettext(text)


def _ngettext(one: str, many: str, count: int) -> str:
    """Thai has one form for all numbers, as the languages of its neighbours have."""
    text = one if count == 1 else many
    return LANGUAGES.catalog(_language.get()).gettext(text)


def _said(text: object) -> str:
    """The filter for texts that a page is given, such as the words of an error."""
    return said(str(text), _language.get())


def _number(value: float, digits: int = 0) -> str:
    """A number with so many digits after the point, as the reader writes it."""
    return format_decimal(value, format=f"#,##0.{'0' * digits}", locale=_language.get())


def _day(moment: str) -> str:
    """The day of an ISO 8601 time, as the reader writes it; any other text as it is."""
    try:
        return format_date(datetime.fromisoformat(moment), "medium", locale=_language.get())
    except ValueError:
        return moment


def _time(moment: str) -> str:
    """Day and minute of an ISO 8601 time in UTC, as the reader writes them; any other text as it
    is."""
    try:
        when = datetime.fromisoformat(moment).astimezone(UTC)
    except ValueError:
        return moment
    return f"{format_datetime(when, 'medium', locale=_language.get())} UTC"


def _language_name(code: str) -> str:
    """The name of a language in that of the page."""
    return str(Locale(_language.get()).languages.get(code, code))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, extensions=["jinja2.ext.i18n"]
    )
    install: Any = made
    install.install_gettext_callables(_gettext, _ngettext, newstyle=True)
    made.filters |= {"said": _said, "number": _number, "day": _day, "time": _time}
    made.filters["language_name"] = _language_name
    return made


_TEMPLATES = Jinja2Templates(env=_environment())
