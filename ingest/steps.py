"""The events of a run for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import TypeVar

Event = TypeVar("Event")


async def stepwise(events: Iterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events, each made in a thread. Cancelled, it lets the step at hand finish: a store must not be
    closed under a write. When it ends, so do the events, with the processes that they may have."""
    try:
        while True:
            step = asyncio.create_task(asyncio.to_thread(next, events, None))
            try:
                event = await asyncio.shield(step)
            except asyncio.CancelledError:
                await asyncio.wait([step])
                raise
            if event is None:
                return
            yield event
    finally:
        close = getattr(events, "close", None)  # an iterator that is no generator has nothing to close
        if close:
            await asyncio.shield(asyncio.to_thread(close))
