"""Warm-up beside the service: at its start, when a collection has changed, and when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from api.replies import WarmReport
from rag.compose import Engine
from rag.errors import ModelUnavailable, Overloaded, RagError
from rag.question import Question
from rag.served import Served
from rag.warm import Warmed, WarmUp

log = logging.getLogger(__name__)

IDLE_S = 30.0  # without a question, before it is looked whether something is to be warmed again
LOOK_S = 2.0

EVENTS: dict[str, type[Any]] = {"warmed": Warmed, "report": WarmReport}


class Warmer:
    """``warm_up`` may be asked for more at any time; ``automatic`` says whether it is done unasked."""

    def __init__(self, engine: Engine, *, automatic: bool) -> None:
        self.warm_up = WarmUp(engine.rag)
        self._engine, self._automatic = engine, automatic
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._questions, self._asked_at = 0, -math.inf  # how many there were, and when the last was seen
        self._restarts: dict[str, int] = {}  # of each child, by its model's name

    def wake(self) -> None:
        """A collection has changed, or what is pinned of it."""
        self._wanted.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while self._automatic:
            self._look(time.monotonic())
            if self._wanted.is_set():
                self._wanted.clear()
                if not await self._warmed():
                    self._wanted.set()
                    await asyncio.sleep(LOOK_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()

    def _look(self, now: float) -> None:
        """Questions may have taken the place of what was warm, and another model server holds nothing."""
        gate = self._engine.rag.serving.gate
        for model in self._engine.rag.models:
            self._look_at(model)
        if gate.requests or gate.questions != self._questions:
            self._questions, self._asked_at = gate.questions, now
        elif now - self._asked_at >= IDLE_S and self._asked_at > -math.inf:
            self._asked_at = -math.inf
            self.wake()

    def _look_at(self, model: Served) -> None:
        """Only the model of the role answer is warmed."""
        server = self._engine.children.of(model.name)
        if server and server.status.restarts != self._restarts.get(model.name, 0):
            self._restarts[model.name] = server.status.restarts
            model.serving.residency.forget()
            self.wake()

    async def _warmed(self) -> bool:
        """False where it is to be tried again."""
        try:
            if await self.warm_up.possible():
                async with aclosing(self.warm_up.run()) as steps:
                    async for _ in steps:
                        pass
        except (ModelUnavailable, Overloaded):
            return False
        except RagError as error:
            log.warning("warm-up: %s", error)
        except Exception:
            log.exception("warm-up failed")
        return True


async def warmed(
    warm_up: WarmUp, collection: str | None, questions: Sequence[str]
) -> AsyncGenerator[Warmed | WarmReport, None]:
    """Each step, and then all of them."""
    asked = [Question(text, collection or "default") for text in questions]
    steps = []
    async with aclosing(warm_up.run((collection,) if collection else (), asked)) as running:
        async for step in running:
            steps.append(step)
            yield step
    yield WarmReport(tuple(steps))
