"""An error in the middle of a stream, which has its HTTP status already."""

from __future__ import annotations

import logging

from api.openai.errors import ErrorReply, error_of
from api.problems import bug, problem_of
from api.record import note_error
from rag.errors import RagError

log = logging.getLogger(__name__)


def failure(error: Exception) -> ErrorReply:
    if isinstance(error, RagError):
        note_error(error.code)
        return error_of(problem_of(error))
    log.error("a stream failed", exc_info=error)
    note_error("RagError")
    return error_of(bug())
