"""Requests to a model server's own model: passed on as they are, when their turn has come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.rates import Metered
from api.wanted import while_wanted
from rag.admission import Ticket
from rag.compose import Engine
from rag.errors import ModelUnavailable, NotFound
from rag.ports import ModelInfo, Relay, Relayed
from rag.served import Served


def client_of(request: Request) -> str:
    return request.state.caller.key or (request.client.host if request.client else "")


async def for_tasks(engine: Engine) -> Served:
    """The model for small work, which is the one that answers where there is no other, or it is down."""
    *others, last = engine.rag.models.helping
    for each in others:
        try:
            await each.generator.model()
        except ModelUnavailable as error:
            each.health.failed(error.message)
        else:
            return each
    return last


def no_such_model(model: str) -> NotFound:
    return NotFound(f"There is no model {model[:80]!r} here.", "GET /v1/models lists them.")


async def passed_on(request: Request, engine: Engine, path: str, to: Served) -> Response:
    """With the server's name for the model in place of the one that was asked for, and the caller's salt."""
    model = await to.generator.model()
    asked = {name: value for name, value in json.loads(await request.body()).items() if name != "cache_salt"}
    salt = {"cache_salt": engine.rag.salt} if engine.rag.salt else {}
    body = asked | {"model": model.name} | salt
    ticket = Ticket(key=client_of(request))
    events = _relayed(engine.relays[to.name], to, path, body, model, ticket)
    head = await while_wanted(request, anext(events))
    if isinstance(head, Response):
        await events.aclose()
        return head
    assert isinstance(head, Relayed)
    return StreamingResponse(_chunks(events), head.status, media_type=head.media_type)


async def _relayed(
    relay: Relay, to: Served, path: str, body: dict[str, Any], model: ModelInfo, ticket: Ticket
) -> AsyncGenerator[Relayed | bytes, None]:
    """The head of the reply, then the rest."""
    (tokens,) = await asyncio.to_thread(to.tokens.count, [json.dumps(body)])
    if isinstance(to.generator, Metered):
        to.generator.spend(tokens)
    async with (
        to.serving.admitted(model, ticket, tokens) as prefilled,
        relay.relayed(path, body) as reply,
    ):
        yield reply
        async for chunk in reply.chunks:
            prefilled()
            yield chunk


async def _chunks(events: AsyncGenerator[Relayed | bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            assert isinstance(event, bytes)
            yield event
