"""Errors of the gateway, each one JSON with a code, a sentence and an HTTP status."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipelines.errors import BriefError, ReelwrightError


class ProblemBody(BaseModel):
    """What went wrong and what to do."""

    code: str = Field(examples=["model_not_installed"])
    message: str
    run: str = Field("", description="Address of the run, if there is one.")


class ProblemAnswer(BaseModel):
    """Body of every answer of 400 and above."""

    error: ProblemBody


REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": ProblemAnswer} for code in (401, 403, 404, 409, 413, 416, 422, 429, 503, 507)
}
"""For the OpenAPI document of every address."""
STREAM_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}}}
    }
    for code in REFUSALS
}
"""For one whose answer is no JSON, though its refusals are."""


class ProblemError(Exception):
    """Raised anywhere below a request."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers: dict[str, str] = more.pop("headers", {})
        self.more = more


def answer(status: int, code: str, message: str, **more: Any) -> JSONResponse:
    """The JSON of a problem."""
    headers = more.pop("headers", None)
    body = {"error": {"code": code, "message": message} | more}
    return JSONResponse(body, status, headers=headers)


_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 401: "unauthorised"}


def add_handlers(app: FastAPI) -> None:
    """Everything that can be raised becomes such an answer."""

    @app.exception_handler(ProblemError)
    def problem(_: Request, error: ProblemError) -> JSONResponse:
        return answer(error.status, error.code, error.message, headers=error.headers, **error.more)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        sentences = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'][1:]) or 'the body'}: {item['msg']}"
            for item in error.errors()[:5]
        )
        return answer(422, "invalid", sentences)

    @app.exception_handler(BriefError)
    def brief(_: Request, error: BriefError) -> JSONResponse:
        return answer(422, "invalid_brief", str(error))

    @app.exception_handler(ReelwrightError)
    def unavailable(_: Request, error: ReelwrightError) -> JSONResponse:
        return answer(503, "unavailable", str(error), headers={"Retry-After": "5"})

    @app.exception_handler(ClientDisconnect)
    def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return answer(400, "disconnected", "the client hung up")  # for nobody; no line in the log

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "refused")
        return answer(error.status_code, code, str(error.detail), headers=error.headers)
