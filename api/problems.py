"""Errors as RFC 9457 problem details: one table from the error tree to HTTP statuses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.openai import errors as openai
from api.record import note_error
from api.schemas import ConfirmationProblem, FieldProblem, Problem
from rag import errors as e

STATUS: tuple[tuple[type[e.RagError], int], ...] = (  # the first that fits, so the special before the general
    (e.QuestionTooLong, 413),
    (e.UploadTooLarge, 413),
    (e.PathNotAllowed, 403),
    (e.UrlNotAllowed, 403),
    (e.ConfirmationNeeded, 428),
    (e.IdempotencyKeyReused, 422),
    (e.NotReplaceable, 409),
    (e.OutOfDate, 412),
    (e.ScopeMissing, 403),
    (e.AccessError, 401),
    (e.BadRequest, 400),
    (e.NotFound, 404),
    (e.SourceMissing, 404),
    (e.UrlUnreadable, 502),
    (e.SourceError, 422),
    (e.CollectionExists, 409),
    (e.DataFolderInUse, 409),
    (e.DataTooNew, 409),
    (e.DiskFull, 507),
    (e.FingerprintMismatch, 409),
    (e.NotEmpty, 409),
    (e.StoreUnavailable, 503),
    (e.ContextTooLong, 422),
    (e.CollectionBusy, 409),
    (e.ConversationBusy, 409),
    (e.IdempotencyKeyBusy, 409),
    (e.Overloaded, 429),
    (e.ServiceStopping, 503),
    (e.TimedOut, 504),
    (e.ModelRefused, 502),
    (e.ModelError, 503),
    (e.RagError, 500),
)
RETRY_AFTER_S = 5
HINTS = {
    404: "/docs lists the paths.",
    405: "/docs lists the paths and their methods.",
}
LONGEST_NAME = 80  # characters of a field's name that are repeated: it comes from the caller


def status_of(error: e.RagError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem_of(error: e.RagError) -> Problem:
    status = status_of(error)
    problem = Problem(
        type=f"urn:openbook:{error.code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        retryable=error.retryable,
        errors=_named(error),
    )
    if isinstance(error, e.ConfirmationNeeded):
        return ConfirmationProblem(
            **problem.model_dump(), token=error.token, would_be_lost=error.would_be_lost
        )
    return problem


def _named(error: e.RagError) -> list[FieldProblem]:
    if not (isinstance(error, e.BadParameter) and error.parameter):
        return []
    return [FieldProblem(loc=["body", *error.parameter.split(".")], msg=error.message)]


def install(app: FastAPI) -> None:
    app.add_exception_handler(e.RagError, _rag_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def http(
    status: int, detail: str, hint: str = "", headers: Mapping[str, str] | None = None, path: str = ""
) -> JSONResponse:
    """What is wrong with a request before it reaches the engine."""
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        code="NotFound" if status == 404 else "BadRequest",
        hint=hint,
    )
    return _reply(problem, headers, path)


def bug() -> Problem:
    """What is said of an error that nobody expected: no more than that. The log has the rest."""
    return Problem(
        type="about:blank",
        title=HTTPStatus(500).phrase,
        status=500,
        detail="An error that openbook did not expect.",
        code="RagError",
        hint="The service's log has the details.",
    )


def unexpected() -> JSONResponse:
    return _reply(bug())


def stopping(path: str) -> JSONResponse:
    return reply_to(e.ServiceStopping.of(), path)


def _reply(problem: Problem, headers: Mapping[str, str] | None = None, path: str = "") -> JSONResponse:
    """As the clients of a path expect it."""
    note_error(problem.code)
    if openai.speaks(path):
        return JSONResponse(openai.error_of(problem).model_dump(), openai.status_of(problem), headers)
    content = problem.model_dump(exclude=set() if problem.errors else {"errors"})
    return JSONResponse(content, problem.status, headers, "application/problem+json")


def reply_to(error: e.RagError, path: str) -> JSONResponse:
    return _reply(problem_of(error), _headers(error), path)


async def _rag_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, e.RagError)
    return reply_to(error, request.url.path)


def _headers(error: e.RagError) -> dict[str, str]:
    if isinstance(error, e.Overloaded):
        return {"Retry-After": str(math.ceil(error.retry_after_s))}
    by_status = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": str(RETRY_AFTER_S)}}
    return by_status.get(status_of(error), {})


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """The input is left out: it may be long, and the caller has it."""
    assert isinstance(error, RequestValidationError)
    problem = Problem(
        type="urn:openbook:InvalidRequest",
        title=HTTPStatus(422).phrase,
        status=422,
        detail=_first(error.errors()[0]),
        code="BadRequest",
        hint="/docs shows what is taken.",
        errors=[FieldProblem(loc=_loc(item), msg=item["msg"]) for item in error.errors()],
    )
    return _reply(problem, path=request.url.path)


def _first(item: Mapping[str, Any]) -> str:
    if item["type"] == "json_invalid":
        return f"The body is not JSON: {item['ctx']['error']} at character {item['loc'][-1]}."
    where = ".".join(str(part) for part in _loc(item)[1:]) or "the body"
    return f"{where}: {item['msg']}."


def _loc(item: Mapping[str, Any]) -> list[str | int]:
    parts: Sequence[str | int] = item["loc"]
    return [part if isinstance(part, int) else _printable(part) for part in parts]


def _printable(name: str) -> str:
    """Half a surrogate pair, which JSON may hold, cannot be sent back as UTF-8."""
    return name.encode(errors="replace").decode()[:LONGEST_NAME]


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return http(
        error.status_code,
        str(error.detail),
        HINTS.get(error.status_code, ""),
        error.headers,
        request.url.path,
    )
