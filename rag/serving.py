"""A planned prompt through the model server: when its turn comes, in slices where it is long.

Between two slices of a long prefill others may pass (rag/admission.py); each slice is a request for one token of a
longer beginning of the same prompt, so the server's prefix cache holds what has been read, and the last request, which
answers, finds all of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from rag.admission import Gate, Ticket, Waiting
from rag.plan import Costs, Plan, Server
from rag.ports import Generator, ModelInfo
from rag.prefill import Cost
from rag.question import GREEDY, Sampling
from rag.reply import Reply
from rag.residency import Prompt, Residency
from rag.slices import Slice, slices
from rag.stages import Stages
from rag.types import Usage

SLICE_S = 0.7  # of prefill, between which others may pass
FIXED_SHARE = 10  # a slice takes at least so many times what a request costs without any tokens
ROUGHLY = Cost(fixed=0.0, per_token=1e-3, per_pair=0.0)  # of a server that nothing is known of


@dataclass(slots=True)
class Serving:
    """The model server as the engine sees it: its queue, what it has cached, how fast it is; and the model that it
    ``served`` when it was last asked."""

    gate: Gate
    residency: Residency
    costs: Costs | None = None
    served: ModelInfo | None = None

    def known(self, model: ModelInfo, salt: str = "") -> Server:
        """Before anything is counted for it. Blocks: costs may be read from disk."""
        self.residency.meet(model)
        return Server(model, self.residency, self.costs.current(model) if self.costs else None, salt)

    def weigh(self, ticket: Ticket, plan: Plan) -> None:
        """Raises Overloaded where the wait would be too long."""
        self.gate.weigh(ticket, sum(part.seconds for part in _slices(plan)))

    async def events(
        self, plan: Plan, ticket: Ticket, reply: Reply, sampling: Sampling
    ) -> AsyncGenerator[Waiting | str, None]:
        """What it waits for, then the text of the reply as it comes."""
        *parts, last = _slices(plan)
        for part in parts:
            async with aclosing(self._waiting(ticket, part.seconds, reply)) as reports:
                async for waiting in reports:
                    yield waiting
            async with self.gate.turn(ticket, part.seconds):
                await self._read(plan.prompt.beginning(part.end), reply)
        async with aclosing(self._waiting(ticket, last.seconds, reply)) as reports:
            async for waiting in reports:
                yield waiting
        pieces = reply.pieces(plan.prompt, sampling, self.residency)
        async with self.gate.turn(ticket, last.seconds) as prefilled, aclosing(pieces) as texts:
            async for text in texts:
                prefilled()
                yield text
        await self._observe(reply.model, reply.last.usage, reply.first_s)

    async def warm(self, prompt: Prompt, server: Server, generator: Generator) -> Reply:
        """Leaves a prompt in the server's cache, in turns that nobody else waits for. What comes of it is nothing but
        the reply's times and counts. Raises Overloaded."""
        assert prompt.tokens is not None
        assert server.model.cache
        cost, block = server.cost or ROUGHLY, server.model.cache.block_size
        ticket, reply = Ticket(background=True), Reply(generator, server.model, 1, Stages())
        with self.gate.entered(ticket):
            for part in slices(cost, prompt.cached or 0, prompt.tokens, _slice_s(cost), block):
                async with self.gate.turn(ticket, part.seconds):
                    await self._read(prompt.beginning(part.end), reply)
        return reply

    @asynccontextmanager
    async def admitted(
        self, model: ModelInfo, ticket: Ticket, tokens: int
    ) -> AsyncIterator[Callable[[], None]]:
        """A turn for a prompt of so many tokens that others have made. Gives what is to be called at the first token.
        Raises Overloaded."""
        known = await asyncio.to_thread(self.known, model)
        seconds = (known.cost or ROUGHLY).seconds(tokens)
        with self.gate.entered(ticket):
            self.gate.weigh(ticket, seconds)
            async with self.gate.turn(ticket, seconds) as prefilled:
                yield prefilled

    async def _waiting(self, ticket: Ticket, seconds: float, reply: Reply) -> AsyncGenerator[Waiting, None]:
        began, waited = time.perf_counter(), False
        async with aclosing(self.gate.waiting(ticket, seconds)) as reports:
            async for waiting in reports:
                waited = True
                yield waiting
        if waited:
            reply.stages.add("wait", time.perf_counter() - began)

    async def _read(self, beginning: Prompt, reply: Reply) -> None:
        """Leaves the beginning of a prompt in the server's cache."""
        first = Reply(reply.generator, reply.model, 1, Stages())
        async with aclosing(first.pieces(beginning, GREEDY, self.residency)) as texts:
            async for _ in texts:
                pass
        seconds = first.stages.snapshot()["total"]
        reply.stages.add("first_token", seconds)
        if reply.cached is None and first.usage:
            reply.cached, reply.predicted_cached = first.usage.cached, first.predicted_cached
        await self._observe(reply.model, first.last.usage, seconds)

    async def _observe(self, model: ModelInfo, usage: Usage | None, seconds: float | None) -> None:
        if self.costs and usage and usage.cached is not None and seconds is not None:
            new = usage.prompt - usage.cached
            await asyncio.to_thread(self.costs.observe, model, new, usage.cached, seconds)


def _slices(plan: Plan) -> list[Slice]:
    """One where the whole takes little more than one, or the server's cache is not known."""
    prompt, cost, shape = plan.prompt, plan.server.cost, plan.server.model.cache
    seconds = ROUGHLY.seconds(plan.new) if plan.seconds is None else plan.seconds
    whole = [Slice(plan.cached, plan.cached + plan.new, seconds)]
    if prompt.tokens is None or prompt.cached is None or cost is None or shape is None:
        return whole
    slice_s = _slice_s(cost)
    if seconds <= 2 * slice_s:
        return whole
    return slices(cost, prompt.cached, prompt.tokens, slice_s, shape.block_size)


def _slice_s(cost: Cost) -> float:
    return max(SLICE_S, FIXED_SHARE * cost.fixed)
