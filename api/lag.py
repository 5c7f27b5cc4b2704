"""How late the event loop is: what blocks it blocks every request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOK_S = 0.02
WINDOW_S = 30.0


class Lag:
    """``longest_s`` is the longest block in the last one or two windows."""

    def __init__(self, seen: Callable[[float], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._seen, self._clock = seen, clock
        self._now = self._before = 0.0  # the longest of this window, and of the one before
        self._since = clock()

    @property
    def longest_s(self) -> float:
        return max(self._now, self._before)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            began = self._clock()
            await asyncio.sleep(LOOK_S)
            self.note(max(0.0, self._clock() - began - LOOK_S))

    def note(self, lag_s: float) -> None:
        self._seen(lag_s)
        if self._clock() - self._since >= WINDOW_S:
            self._before, self._now, self._since = self._now, 0.0, self._clock()
        self._now = max(self._now, lag_s)
