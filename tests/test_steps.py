"""Steps of a run in threads, under cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from threading import Event

import pytest

from ingest.steps import stepwise


async def test_cancelled_twice_the_step_at_hand_still_ends_before_the_run_is_closed() -> None:
    entered, go_on, seen = Event(), Event(), []

    def run() -> Iterator[int]:
        try:
            entered.set()
            go_on.wait(10)
            seen.append("step")
            yield 1
        finally:
            seen.append("closed")

    async def taken() -> None:
        async with aclosing(stepwise(run())) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(taken())
    assert await asyncio.to_thread(entered.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.02)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["step", "closed"]
