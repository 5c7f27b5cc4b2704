"""Errors as OpenAI's SDKs expect them, made of problem details.

https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from pydantic import BaseModel

from api.schemas import Problem

PATHS = ("/v1/models", "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/rerank")

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODES = {
    "CollectionNotFound": "model_not_found",
    "ModelNotFound": "model_not_found",
    "QuestionTooLong": "context_length_exceeded",
    "ContextTooLong": "context_length_exceeded",
    "Overloaded": "rate_limit_exceeded",
}


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorReply(BaseModel):
    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorReply, "description": "Refused"},
    "5XX": {"model": ErrorReply, "description": "Failed"},
}


def speaks(path: str) -> bool:
    """Whether errors of a path are OpenAI's."""
    return any(path == each or path.startswith(f"{each}/") for each in PATHS)


def status_of(problem: Problem) -> int:
    """What cannot be done with a request is its fault, and 400: SDKs know that."""
    return (
        400
        if problem.status == 422 or problem.code in ("QuestionTooLong", "ContextTooLong")
        else problem.status
    )


def _is_place(part: str | int) -> bool:
    return isinstance(part, int) or part.isidentifier() or part.isdigit()


def error_of(problem: Problem) -> ErrorReply:
    status = status_of(problem)
    other = "server_error" if status >= 500 else "invalid_request_error"
    where = problem.errors[0].loc[1:] if problem.errors else []
    named = takewhile(_is_place, where)  # behind it come types
    return ErrorReply(
        error=ErrorDetail(
            message=f"{problem.detail} {problem.hint}".strip(),
            type=_TYPES.get(status, other),
            param=".".join(map(str, named)) if where and isinstance(where[0], str) else None,
            code="invalid_api_key" if status == 401 else _CODES.get(problem.code, problem.code),
        )
    )
