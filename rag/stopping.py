"""An end in order: from when it is asked for nothing new begins, and what runs has some time to finish.

with stopping.work(): ...                          # is waited for
async for event in stopping.guarded(events, 60.0)  # ServiceStopping when that time is over, TimedOut after 60 s
await stopping.drained(30.0)                       # begins the end; returns when all is done or told to break off
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from rag.errors import ServiceStopping, TimedOut

T = TypeVar("T")

BREAK_OFF_S = 2.0  # for what was told to break off to say so


class Stopping:
    """Of one event loop."""

    def __init__(self) -> None:
        self._begun = self._over = False
        self._told: list[Callable[[], object]] = []
        self._working = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._limits: set[asyncio.Timeout] = set()

    @property
    def begun(self) -> bool:
        return self._begun

    def on_begin(self, told: Callable[[], object]) -> None:
        """Calls it when the end is asked for."""
        self._told.append(told)

    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            for told in self._told:
                told()

    def break_off(self) -> None:
        """Whatever is guarded ends now."""
        self.begin()
        self._over = True
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)

    @contextmanager
    def work(self) -> Iterator[None]:
        self._working += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._working -= 1
            if not self._working:
                self._idle.set()

    async def drained(self, grace_s: float) -> None:
        self.begin()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)
        self.break_off()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), BREAK_OFF_S)

    async def guarded(
        self, events: AsyncGenerator[T, None], seconds: float | None = None
    ) -> AsyncGenerator[T, None]:
        """The same events; closing it closes them. Raises ServiceStopping, and TimedOut after so many seconds."""
        deadline = asyncio.get_running_loop().time() + seconds if seconds else None
        async with aclosing(events):
            while True:
                async with self.limited(deadline):
                    try:
                        event = await anext(events)
                    except StopAsyncIteration:
                        return
                yield event

    @asynccontextmanager
    async def limited(self, deadline: float | None = None) -> AsyncIterator[None]:
        """A step until which may be waited: to the ``deadline``, by the loop's clock, or the end."""
        if self._over:
            raise ServiceStopping.of()
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            if not limit.expired():
                raise
            raise (ServiceStopping.of() if self._over else TimedOut.of()) from None
