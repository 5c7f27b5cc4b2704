"""Work that is done as long as the client that asked for it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response

T = TypeVar("T")


async def while_wanted(request: Request, work: Coroutine[Any, Any, T]) -> T | Response:
    """Ends the work when the client goes away: a model that nobody listens to keeps others waiting."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else Response(status_code=499)  # nobody reads it but the log
    finally:
        gone.cancel()
        if task.cancel():
            await asyncio.wait([task])


async def first_of(stream: AsyncGenerator[T, None]) -> T:
    """The first that comes, for ``while_wanted``; where it ends before, so does the stream."""
    try:
        return await anext(stream)
    except BaseException:
        await stream.aclose()
        raise


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
