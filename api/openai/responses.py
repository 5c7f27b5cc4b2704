"""``/v1/responses``: the part of OpenAI's newer interface that clients use for text."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from fastapi import APIRouter, Request
from fastapi import Response as HttpResponse
from sse_starlette import EventSourceResponse

from api.openai import citing, kept, raw
from api.openai.asking import Asked, asked, replies, whole
from api.openai.errors import ERRORS
from api.openai.failures import failure
from api.openai.names import parse
from api.openai.replies import OwnReply
from api.openai.response_replies import Response
from api.openai.schemas import InputItem, ResponsesRequest
from api.openai.spoken import Spoken, spoken
from api.routes import SSE, EngineOf
from api.rules import needs
from api.wanted import first_of, while_wanted
from rag.answers import Answers
from rag.errors import BadParameter
from rag.question import Sampling
from rag.types import Answer

router = APIRouter()


@router.post(
    "/v1/responses",
    response_model=Response | OwnReply,
    responses={200: SSE, **ERRORS},
    summary="OpenAI's responses: text in, text out, with previous_response_id; else as chat completions",
)
@needs("ask")
async def respond(body: ResponsesRequest, engine: EngineOf, request: Request) -> Any:
    named = parse(body.model)
    if named is None:
        return await raw.passed_on(request, engine, "responses", await engine.rag.models.named(body.model))
    client, rag = raw.client_of(request), engine.rag
    said = await _said(rag.answers, body)
    if said.is_task:
        return await raw.passed_on(request, engine, "responses", await raw.for_tasks(engine))
    sampling = Sampling(body.temperature or 0.0, body.top_p)
    question = asked(body, named, said, sampling, body.max_output_tokens, client)
    made = _Made(body, question, rag.answers)
    if not question.stream:
        done = await while_wanted(request, whole(rag, question))
        return done if isinstance(done, HttpResponse) else await made.done(*done)
    stream = replies(rag, question)
    begun = await while_wanted(request, first_of(stream))  # what fails before it has its own HTTP status
    if isinstance(begun, HttpResponse):
        return begun
    return EventSourceResponse(_events(made, stream), sep="\n")


def _items(body: ResponsesRequest) -> list[InputItem]:
    return [InputItem(role="user", content=body.input)] if isinstance(body.input, str) else body.input


async def _said(answers: Answers, body: ResponsesRequest) -> Spoken:
    """Raises BadParameter."""
    said = spoken(_items(body), "input")
    before = said.before
    if body.previous_response_id:
        known = await asyncio.to_thread(kept.find, answers, body.previous_response_id)
        if known is None:
            raise BadParameter(
                "The previous response is not known here, or not any more.",
                "Send what was said as input.",
                parameter="previous_response_id",
            )
        before = (*known[0].said, *before)
    instructions = "\n\n".join(filter(None, (body.instructions, said.instructions)))
    return Spoken(said.question, before, instructions)


@dataclass(slots=True)
class _Made:
    """One response as it comes to be."""

    body: ResponsesRequest
    asked: Asked
    answers: Answers
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(24)}")
    item_id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(24)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def state(self, status: str, **more: Any) -> dict[str, Any]:
        body = self.body
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "model": body.model,
            "output": [],
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "previous_response_id": body.previous_response_id,
            "store": body.store is not False,
            "temperature": body.temperature,
            "top_p": body.top_p,
            "parallel_tool_calls": False,
            "tool_choice": "none",
            "tools": [],
            "metadata": {},
            "text": {"format": {"type": "text"}},
            "error": None,
            "incomplete_details": None,
            "usage": None,
            **more,
        }

    def item(self, status: str, *parts: dict[str, Any]) -> dict[str, Any]:
        return kept.item(self.item_id, status, *parts)

    async def done(self, text: str, answer: Answer) -> dict[str, Any]:
        spoken = self.asked.spoken
        said = (*spoken.before, (spoken.question, citing.without_sources(text)))
        given = kept.given(_items(self.body))
        around = kept.Around(self.state(""), self.item_id, text, self.asked.ignored, given, said)
        wanted = self.body.store is not False
        return await asyncio.to_thread(kept.keep, self.answers, around, answer, wanted=wanted)


async def _events(made: _Made, stream: AsyncGenerator[str | Answer, None]) -> AsyncIterator[dict[str, str]]:
    numbers = count()

    def event(kind: str, **more: Any) -> dict[str, str]:
        value = {"type": f"response.{kind}", "sequence_number": next(numbers), **more}
        return {"event": value["type"], "data": json.dumps(value, ensure_ascii=False)}

    try:
        async with aclosing(_told(made, stream)) as told:
            async for kind, more in told:
                yield event(kind, **more)
    except Exception as error:  # noqa: BLE001 the stream has begun: an error is its last event
        detail = failure(error).error
        problem = {"code": detail.code, "message": detail.message}
        yield event("failed", response=made.state("failed", error=problem))


async def _told(
    made: _Made, stream: AsyncGenerator[str | Answer, None]
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    item = {"output_index": 0}
    part = {"item_id": made.item_id, "output_index": 0, "content_index": 0}
    async with aclosing(stream):
        yield "created", {"response": made.state("in_progress")}
        yield "in_progress", {"response": made.state("in_progress")}
        yield "output_item.added", {**item, "item": made.item("in_progress")}
        yield "content_part.added", {**part, "part": kept.part("")}
        text = ""
        async for each in stream:
            if isinstance(each, str):
                text += each
                yield "output_text.delta", {**part, "delta": each, "logprobs": []}
                continue
            for at, annotation in enumerate(citing.annotated(each)):
                yield (
                    "output_text.annotation.added",
                    {**part, "annotation_index": at, "annotation": annotation},
                )
            done = await made.done(text, each)
            (whole_item,) = done["output"]
            yield "output_text.done", {**part, "text": text, "logprobs": []}
            yield "content_part.done", {**part, "part": whole_item["content"][0]}
            yield "output_item.done", {**item, "item": whole_item}
            yield done["status"], {"response": done}
