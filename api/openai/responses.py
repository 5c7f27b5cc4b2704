"""``/v1/responses``: the part of OpenAI's newer interface that clients use for text."""

from __future__ import annotations

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

from api.openai import citing, raw
from api.openai.asking import Asked, asked, replies, whole
from api.openai.errors import ERRORS
from api.openai.failures import failure
from api.openai.names import parse
from api.openai.replies import OwnReply, own
from api.openai.response_replies import Response
from api.openai.schemas import InputItem, ResponsesRequest
from api.openai.spoken import Spoken, spoken
from api.routes import SSE, EngineOf
from api.rules import needs
from api.wanted import while_wanted
from rag.answer import Rag
from rag.errors import BadParameter
from rag.question import Sampling
from rag.types import Answer, Usage

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
    said = _said(rag, body, client)
    if said.is_task:
        return await raw.passed_on(request, engine, "responses", await raw.for_tasks(engine))
    sampling = Sampling(body.temperature or 0.0, body.top_p)
    question = asked(body, named, said, sampling, body.max_output_tokens, client)
    made = _Made(body, question, rag)
    if not question.stream:
        done = await while_wanted(request, whole(rag, question))
        return done if isinstance(done, HttpResponse) else made.done(*done)
    stream = replies(rag, question)
    await anext(stream)  # what fails before it has its own HTTP status
    return EventSourceResponse(_events(made, stream), sep="\n")


def _said(rag: Rag, body: ResponsesRequest, client: str) -> Spoken:
    """Raises BadParameter."""
    items = [InputItem(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    said = spoken(items, "input")
    before = said.before
    if body.previous_response_id:
        known = rag.conversations.chats.said(client, body.previous_response_id)
        if known is None:
            raise BadParameter(
                "The previous response is not known here, or not any more.",
                "Send what was said as input.",
                parameter="previous_response_id",
            )
        before = (*known, *before)
    instructions = "\n\n".join(filter(None, (body.instructions, said.instructions)))
    return Spoken(said.question, before, instructions)


@dataclass(slots=True)
class _Made:
    """One response as it comes to be."""

    body: ResponsesRequest
    asked: Asked
    rag: Rag
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

    def part(self, text: str, answer: Answer | None = None) -> dict[str, Any]:
        cited = citing.annotated(answer) if answer else []
        return {"type": "output_text", "text": text, "annotations": cited, "logprobs": []}

    def item(self, status: str, *parts: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self.item_id, "type": "message", "role": "assistant", "status": status, "content": list(parts)
        }  # fmt: skip

    def done(self, text: str, answer: Answer) -> dict[str, Any]:
        if self.body.store is not False:
            spoken = self.asked.spoken
            said = (*spoken.before, (spoken.question, citing.without_sources(text)))
            self.rag.conversations.chats.keep(self.asked.question.client, self.id, said)
        short = answer.finish_reason == "length"
        status = "incomplete" if short else "completed"
        return self.state(
            status,
            output=[self.item(status, self.part(text, answer))],
            incomplete_details={"reason": "max_output_tokens"} if short else None,
            usage=_usage(answer.receipt.usage or Usage(0, 0, 0)),
            **own(answer, self.asked.ignored),
        )


def _usage(usage: Usage) -> dict[str, Any]:
    """The cached share is a number here, for all clients that add it up; the receipt says where it is not known."""
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached or 0},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt + usage.completion,
    }


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
        yield "content_part.added", {**part, "part": made.part("")}
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
            done = made.done(text, each)
            (whole_item,) = done["output"]
            yield "output_text.done", {**part, "text": text, "logprobs": []}
            yield "content_part.done", {**part, "part": whole_item["content"][0]}
            yield "output_item.done", {**item, "item": whole_item}
            yield done["status"], {"response": done}
