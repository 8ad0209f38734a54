"""Errors of the gateway, each one JSON with a code, a sentence and an HTTP status."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from infra.apps.gateway.codes import ERROR_CODES
from infra.apps.gateway.languages.catalog import ENGLISH, said
from infra.apps.gateway.languages.choice import language_of
from pipelines.errors import BriefError, ReelwrightError, ServerError


class ProblemBody(BaseModel):
    """What went wrong and what to do."""

    code: str = Field(
        examples=["model_not_installed"], json_schema_extra={"enum": [*sorted(ERROR_CODES)]}
    )
    message: str
    run: str = Field("", description="Address of the run, if there is one.")


class ProblemAnswer(BaseModel):
    """Body of every response with a status of 400 or above."""

    error: ProblemBody


_NAMES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
"""As RFC 9110 has them. Those of `http.HTTPStatus` depend on the version of Python."""
_REFUSED = (401, 403, 404, 409, 413, 416, 422, 429, 503, 507)


def refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of responses with these status codes."""
    return {code: {"model": ProblemAnswer, "description": _name(code)} for code in codes}


def _name(code: int) -> str:
    return _NAMES.get(code) or HTTPStatus(code).phrase


REFUSALS = refusals(*_REFUSED)
"""For the OpenAPI document of every address."""
STREAM_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {
        "description": _name(code),
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}},
    }
    for code in _REFUSED
}
"""For a route whose response is not JSON; its refusals are."""


class ProblemError(Exception):
    """A refusal of a request: HTTP status, code and message of its response."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers: dict[str, str] = more.pop("headers", {})
        self.more = more

    def response(self, language: str = ENGLISH) -> JSONResponse:
        """The JSON response that describes it, in `language`."""
        more = self.more | {"headers": self.headers}
        return problem_response(self.status, self.code, self.message, language, **more)


def problem_response(
    status: int, code: str, message: str, language: str = ENGLISH, **more: Any
) -> JSONResponse:
    """The JSON response that describes a problem. Its code is the same in every language."""
    headers = {"Content-Language": language, "Vary": "Accept-Language, Cookie"}
    headers |= more.pop("headers", None) or {}
    body = {"error": {"code": code, "message": said(message, language)} | more}
    return JSONResponse(body, status, headers=headers)


@contextmanager
def prefect_errors() -> Iterator[None]:
    """Raises ServerError if the Prefect server cannot be reached, or fails, within the block."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"the Prefect server does not answer: {error}") from error


@contextmanager
def known_run(run: UUID) -> Iterator[None]:
    """Raises ProblemError 404 if the server does not know the run within the block."""
    try:
        yield
    except ObjectNotFound as error:
        raise unknown_run(run) from error


def unknown_run(run: UUID) -> ProblemError:
    """The 404 for a run that the server does not know."""
    return ProblemError(404, "not_found", f"there is no run {run}")


_OTHER = "http_error"
"""Code of any further status. It must be none of those that a client takes for a refusal of content
(`run_refused`, `run_rejected`)."""
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 401: "unauthorised"}


def add_handlers(app: FastAPI) -> None:
    """Turn every error of a request into a problem response."""

    @app.exception_handler(ProblemError)
    def problem(request: Request, error: ProblemError) -> JSONResponse:
        return error.response(language_of(request))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        sentences = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'][1:]) or 'the body'}: {item['msg']}"
            for item in error.errors()[:5]
        )
        return problem_response(422, "invalid", sentences, language_of(request))

    @app.exception_handler(BriefError)
    def brief(request: Request, error: BriefError) -> JSONResponse:
        return problem_response(422, "invalid_brief", str(error), language_of(request))

    @app.exception_handler(ReelwrightError)
    def unavailable(request: Request, error: ReelwrightError) -> JSONResponse:
        wait, language = {"Retry-After": "5"}, language_of(request)
        return problem_response(503, "unavailable", str(error), language, headers=wait)

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        # Nobody receives it; without it, the log would get a traceback.
        return problem_response(400, "disconnected", "the client hung up")

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, _OTHER)
        detail, language = str(error.detail), language_of(request)
        return problem_response(error.status_code, code, detail, language, headers=error.headers)
