"""``/v1/chat/completions``: a question to collections as a chat, or any request to the model server's own model."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from sse_starlette import EventSourceResponse

from api.openai import citing, raw
from api.openai.asking import Asked, asked, replies, whole
from api.openai.errors import ERRORS
from api.openai.failures import failure
from api.openai.names import Named, parse
from api.openai.replies import ChatCompletion, OwnReply, own, usage_of
from api.openai.schemas import ChatRequest
from api.openai.spoken import Spoken, spoken
from api.routes import SSE, EngineOf
from api.rules import needs
from api.wanted import first_of, while_wanted
from rag.errors import BadParameter
from rag.question import Sampling
from rag.types import Answer

router = APIRouter()


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion | OwnReply,
    responses={200: SSE, **ERRORS},
    summary="OpenAI's chat completions, of openbook/COLLECTION from documents, of others as they are",
)
@needs("ask")
async def complete(body: ChatRequest, engine: EngineOf, request: Request) -> Any:
    named = parse(body.model)
    if named is None:
        to = await engine.rag.models.named(body.model)
        return await raw.passed_on(request, engine, "chat/completions", to)
    said = spoken(body.messages, "messages")
    if said.is_task:
        return await raw.passed_on(request, engine, "chat/completions", await raw.for_tasks(engine))
    question = _asked(body, named, said, raw.client_of(request))
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": body.model}
    if not question.stream:
        done = await while_wanted(request, whole(engine.rag, question))
        return done if isinstance(done, Response) else _completion(head, *done, question)
    stream = replies(engine.rag, question)
    begun = await while_wanted(request, first_of(stream))  # what fails before it has its own HTTP status
    if isinstance(begun, Response):
        return begun
    counted = bool(body.stream_options and body.stream_options.include_usage)
    return EventSourceResponse(_chunks(head, stream, question, counted), sep="\n")


def _asked(body: ChatRequest, named: Named, said: Spoken, client: str) -> Asked:
    if body.n not in (None, 1):
        raise BadParameter(
            "One answer is given to a question.", "Leave n out, or set it to 1.", parameter="n"
        )
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    sampling = Sampling(body.temperature or 0.0, body.top_p, body.seed, stop)
    return asked(body, named, said, sampling, body.max_completion_tokens or body.max_tokens, client)


def finish_reason(answer: Answer) -> str:
    return "length" if answer.finish_reason == "length" else "stop"


def _annotations(answer: Answer) -> list[dict[str, Any]]:
    return [{"type": each.pop("type"), "url_citation": each} for each in map(dict, citing.annotated(answer))]


def _completion(head: dict[str, Any], text: str, answer: Answer, asked: Asked) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "annotations": _annotations(answer)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(answer)}
    return {
        **head,
        "object": "chat.completion",
        "choices": [choice],
        "usage": usage_of(answer),
        **own(answer, asked.ignored),
    }


async def _chunks(
    head: dict[str, Any], stream: AsyncGenerator[str | Answer, None], asked: Asked, counted: bool
) -> AsyncIterator[dict[str, str]]:
    """``counted``: with the usage in a last chunk of its own, and null in the others."""
    base = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if counted else {})

    def chunk(delta: dict[str, Any], finished: str | None = None, **more: Any) -> dict[str, str]:
        choice = {"index": 0, "delta": delta, "finish_reason": finished}
        return _data({**base, "choices": [choice], **more})

    try:
        async with aclosing(stream):
            yield chunk({"role": "assistant", "content": ""})
            async for each in stream:
                if isinstance(each, str):
                    yield chunk({"content": each})
                    continue
                cited = {"annotations": _annotations(each)}
                yield chunk(cited, finish_reason(each), **own(each, asked.ignored))
                if counted:
                    yield _data({**base, "choices": [], "usage": usage_of(each)})
        yield {"data": "[DONE]"}
    except Exception as error:  # noqa: BLE001 the stream has begun: an error is its last event
        yield _data(failure(error).model_dump())


def _data(value: dict[str, Any]) -> dict[str, str]:
    return {"data": json.dumps(value, ensure_ascii=False)}
