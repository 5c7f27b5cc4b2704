"""The events of a run for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from typing import ParamSpec, TypeVar

Event = TypeVar("Event")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


async def to_end(
    step: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """``step`` in a thread. Cancelled meanwhile, be it several times, this waits until it has ended."""
    task = asyncio.create_task(asyncio.to_thread(step, *arguments, **named))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


async def stepwise(events: Iterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events, each made in a thread. Cancelled, it lets the step at hand finish: a store must not be
    closed under a write. When it ends, so do the events, with the processes that they may have."""
    try:
        while True:
            event = await to_end(next, events, None)
            if event is None:
                return
            yield event
    finally:
        close = getattr(events, "close", None)  # an iterator that is no generator has nothing to close
        if close:
            await to_end(close)
