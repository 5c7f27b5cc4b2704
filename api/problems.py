"""Errors as RFC 9457 problem details: one table from the error tree to HTTP statuses."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.schemas import Problem
from rag import errors as e

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[e.RagError], int], ...] = (  # the first that fits, so the special before the general
    (e.QuestionTooLong, 413),
    (e.BadRequest, 400),
    (e.NotFound, 404),
    (e.SourceMissing, 404),
    (e.SourceError, 422),
    (e.DataFolderInUse, 409),
    (e.FingerprintMismatch, 409),
    (e.StoreUnavailable, 503),
    (e.ContextTooLong, 422),
    (e.ModelRefused, 502),
    (e.ModelError, 503),
    (e.RagError, 500),
)
RETRY_AFTER_S = 5


def status_of(error: e.RagError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


def problem_of(error: e.RagError) -> Problem:
    status = status_of(error)
    return Problem(
        type=f"urn:openbook:{error.code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=error.message,
        code=error.code,
        hint=error.hint,
        retryable=error.retryable,
    )


def install(app: FastAPI) -> None:
    app.add_exception_handler(e.RagError, _rag_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def _reply(problem: Problem, **extra: object) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    content = problem.model_dump() | extra
    return JSONResponse(content, problem.status, headers, "application/problem+json")


async def _rag_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, e.RagError)
    return _reply(problem_of(error))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    problem = Problem(
        type="urn:openbook:InvalidRequest",
        title="Unprocessable Content",
        status=422,
        detail=f"{where}: {first['msg']}.",
        code="BadRequest",
        hint="/docs shows what is taken.",
    )
    # The input is left out: it may be long, and the caller has it.
    details = [{"loc": item["loc"], "msg": item["msg"]} for item in error.errors()]
    return _reply(problem, errors=jsonable_encoder(details))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    problem = Problem(
        type="about:blank",
        title=HTTPStatus(error.status_code).phrase,
        status=error.status_code,
        detail=str(error.detail),
        code="NotFound" if error.status_code == 404 else "BadRequest",
        hint="/docs lists the paths.",
    )
    return _reply(problem)


async def _bug(_request: Request, error: Exception) -> JSONResponse:
    log.error("unhandled error", exc_info=error)
    problem = Problem(
        type="about:blank",
        title="Internal Server Error",
        status=500,
        detail="An error that openbook did not expect.",
        code="RagError",
        hint="The service's log has the details.",
    )
    return _reply(problem)
