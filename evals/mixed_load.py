"""Short questions while long contexts are read: how long they wait, with the gate (rag/admission.py) and without it.

In virtual time, over a cost model of one server that reads one prompt at a time. Without the gate requests are read in
the order in which they come, each to its end: that is what vLLM does, whose chunked prefill gives a step's tokens to
the running request first. Answers are not simulated, since they share a step with whatever is read.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evals import virtual_time
from rag.admission import Gate, Ticket
from rag.errors import Overloaded
from rag.prefill import Cost
from rag.slices import slices

BLOCK = 16  # tokens of a block of the server's cache
SHORT, LONG = 2048, 131072  # tokens


@dataclass(frozen=True, slots=True)
class Load:
    """``longs`` clients each ask again as soon as they have their first token; short questions come at random
    (Poisson). What the server takes varies by ``noise`` (standard deviation of the logarithm) around the model."""

    shorts_per_s: float
    longs: int = 1
    short_tokens: int = SHORT
    long_tokens: int = LONG
    seconds: float = 3600.0
    noise: float = 0.1
    seed: int = 0


@dataclass(slots=True)
class Seen:
    """Seconds to the first token, and how many requests were refused as too many."""

    short: list[float] = field(default_factory=list)
    long: list[float] = field(default_factory=list)
    refused: int = 0

    def of_short(self, quantile: float) -> float:
        return float(np.quantile(self.short, quantile))


Reads = Callable[[int], Coroutine[Any, Any, None]]


def simulate(load: Load, cost: Cost, slice_s: float | None) -> Seen:
    """Through the gate, in slices of so many seconds at most; None is without the gate."""
    return virtual_time.run(_simulated(load, cost, slice_s))


async def _simulated(load: Load, cost: Cost, slice_s: float | None) -> Seen:
    loop, chance, seen = asyncio.get_running_loop(), random.Random(load.seed), Seen()
    server = _Server(cost, random.Random(load.seed + 1), load.noise)
    reads = server.in_order if slice_s is None else server.through(Gate(clock=loop.time), slice_s)

    async def ask(tokens: int, into: list[float]) -> None:
        came = loop.time()
        try:
            await reads(tokens)
        except Overloaded as error:
            seen.refused += 1
            await asyncio.sleep(error.retry_after_s)
        else:
            into.append(loop.time() - came)

    async def long() -> None:
        while loop.time() < load.seconds:
            await ask(load.long_tokens, seen.long)

    async with asyncio.TaskGroup() as group:
        for _ in range(load.longs):
            group.create_task(long())
        while loop.time() < load.seconds:
            await asyncio.sleep(chance.expovariate(load.shorts_per_s))
            group.create_task(ask(load.short_tokens, seen.short))
    return seen


class _Server:
    def __init__(self, cost: Cost, chance: random.Random, noise: float) -> None:
        self._cost, self._chance, self._noise = cost, chance, noise
        self._reading = asyncio.Lock()  # whose waiters go in the order in which they came

    async def in_order(self, tokens: int) -> None:
        async with self._reading:
            await self._read(tokens, 0)

    def through(self, gate: Gate, slice_s: float) -> Reads:
        async def reads(tokens: int) -> None:
            ticket = Ticket()
            with gate.entered(ticket):
                parts = slices(self._cost, 0, tokens, slice_s, BLOCK)
                gate.weigh(ticket, sum(part.seconds for part in parts))
                for part in parts:
                    async with gate.turn(ticket, part.seconds):
                        await self._read(part.end - part.start, part.start)

        return reads

    async def _read(self, new: int, cached: int) -> None:
        await asyncio.sleep(self._cost.seconds(new, cached) * self._chance.lognormvariate(0.0, self._noise))
