"""An answer that is asked for again because its connection was lost: with the same Idempotency-Key it is computed once.

It is computed to its end though nobody may listen any more, and kept as the past answer that it is, not a second time;
whole where past answers are not kept.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from api.idempotency import Bodies, Replies, digest, key_of
from rag import wire
from rag.answer import Rag
from rag.answers import Answers
from rag.errors import AnswerNotFound, BadRequest
from rag.question import Question
from rag.types import Answer

_ID = re.compile(rb"[0-9a-f]+")  # the other bodies are JSON


class AnswerReply(JSONResponse):
    def __init__(self, answer: Answer) -> None:
        super().__init__(wire.dump(answer))
        self.id = answer.id


def no_stream() -> BadRequest:
    return BadRequest(
        "The pieces of a stream are not kept, so it cannot be sent again.",
        "Leave the Idempotency-Key out, or ask without stream.",
    )


async def answered_once(request: Request, key: str, rag: Rag, question: Question) -> Response:
    """Raises what ``Rag.answer`` does, and IdempotencyKeyReused."""

    async def answered() -> Response:
        return await asyncio.to_thread(AnswerReply, await rag.answer(question))

    replies: Replies = request.state.replies
    bodies = Bodies(_put, partial(_get, rag.answers))
    asked = digest(request, await request.body())
    return await replies.shared(key_of(request, key), asked, answered, bodies)


def _put(response: Response) -> bytes:
    assert isinstance(response, AnswerReply)
    return response.id.encode() or bytes(response.body)


def _get(answers: Answers, kept: bytes) -> bytes | None:
    if not _ID.fullmatch(kept):
        return kept
    try:
        return bytes(AnswerReply(answers.get(kept.decode()).answer).body)
    except AnswerNotFound:
        return None
