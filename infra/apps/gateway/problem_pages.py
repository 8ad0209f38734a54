"""Refusals as pages for browsers; programs get the JSON of `problems`."""

import json
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

Page = Callable[[Request, int, str], Response]
"""Makes the page of a problem from its HTTP status and its sentence."""
_KEPT = ("retry-after", "www-authenticate", "content-range", "content-language", "vary")
"""Headers that say the same of the page."""


def wants_page(request: Request) -> bool:
    """Whether a browser asks that shows what it gets: it names HTML, and JSON not before it.

    Programs, and scripts of our own pages, say `*/*`, or JSON, or nothing.
    """
    accepted = request.headers.get("accept", "").split(",")
    kinds = [part.partition(";")[0].strip() for part in accepted]
    if "text/html" not in kinds:
        return False
    return "application/json" not in kinds[: kinds.index("text/html")]


def show_pages(app: FastAPI, page: Page) -> None:
    """Let every handler of errors that `app` has now answer a browser with a `page`."""
    for kind, handler in app.exception_handlers.items():
        if not iscoroutinefunction(handler):  # FastAPI's own, of WebSockets, which we have none of
            app.exception_handlers[kind] = _with_page(handler, page)


def _with_page(handler: Any, page: Page) -> Any:
    def answer(request: Request, error: Exception) -> Response:
        return for_reader(request, handler(request, error), page)

    return answer


def for_reader(request: Request, response: JSONResponse, page: Page) -> Response:
    """`response` for a program, a page that says the same for a browser."""
    response.headers.add_vary_header("Accept")
    if not wants_page(request):
        return response
    shown = page(request, response.status_code, _sentence(response))
    for name in _KEPT:
        if name in response.headers:
            shown.headers[name] = response.headers[name]
    return shown


def _sentence(response: JSONResponse) -> str:
    body = json.loads(bytes(response.body))
    return str(body["error"]["message"] if "error" in body else body.get("detail", ""))
