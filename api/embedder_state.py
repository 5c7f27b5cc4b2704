"""Whether the server of the embedding model answers, for those that ask whether all is well."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from rag.errors import RagError

KEPT_S = 5.0  # how old what it said may be: many may ask, the server is not to notice
PATIENCE_S = 2.0


class EmbedderState:
    """``check`` raises where it does not answer; it may block for a while. One asks at a time, for all."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._asking: asyncio.Task[str] | None = None
        self._asked_at = 0.0

    async def why_down(self) -> str:
        """Empty where it answers. Returns within PATIENCE_S."""
        old = time.monotonic() - self._asked_at >= KEPT_S
        if self._asking is None or (old and self._asking.done()):
            self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait([self._asking], timeout=PATIENCE_S)
        return self._asking.result() if done else f"It does not answer within {PATIENCE_S:g} s."

    async def close(self) -> None:
        """Returns when nothing is asked any more."""
        if self._asking:
            await asyncio.wait([self._asking])

    async def _ask(self) -> str:
        try:
            await asyncio.to_thread(self._check)
        except RagError as error:
            return str(error)
        finally:
            self._asked_at = time.monotonic()
        return ""
