"""The model's reply as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rag.ports import Delta, Generator, ModelInfo
from rag.question import Sampling
from rag.residency import Prompt, Residency, Sent
from rag.stages import Stages
from rag.text import repetition
from rag.types import Usage

LOOKS = 20  # for repetitions, while a text grows to twice its length


@dataclass(slots=True)
class Reply:
    """``text`` and ``last`` are what has come so far, ``first_s`` the seconds until it began. Of the prompt
    ``predicted_cached`` tokens were expected in the server's cache, and ``cached`` found there, before any of it was
    read for this reply."""

    generator: Generator
    model: ModelInfo
    max_tokens: int
    stages: Stages
    text: str = ""
    last: Delta = field(default_factory=Delta)
    first_s: float | None = None
    predicted_cached: int | None = None
    cached: int | None = None
    _look_at: int = 0  # characters of the text

    @property
    def usage(self) -> Usage | None:
        usage = self.last.usage
        return usage if usage is None or self.cached is None else replace(usage, cached=self.cached)

    async def pieces(
        self, prompt: Prompt, sampling: Sampling, residency: Residency
    ) -> AsyncGenerator[str, None]:
        """The text as it arrives. Closing it ends the generation on the server too."""
        sent = await self._sent(prompt, residency)
        if sent and self.predicted_cached is None:
            self.predicted_cached = sent.cached
        began = time.perf_counter()
        stream = self.generator.stream(
            prompt.messages, max_tokens=self.max_tokens, sampling=sampling, ids=prompt.ids
        )
        try:
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    if delta.text and self.first_s is None:
                        self.first_s = time.perf_counter() - began
                        self.stages.add("first_token", self.first_s)
                    self._add(delta)
                    if delta.text:
                        yield delta.text
                    if self._is_circling(delta):
                        break
        finally:
            self.stages.add("generate", time.perf_counter() - began - (self.first_s or 0.0))
            if sent:  # whoever waits for the residency's lock in the event loop keeps everybody waiting
                ended = asyncio.create_task(asyncio.to_thread(sent.ended, self.text, self.last))
                await asyncio.shield(ended)

    async def _sent(self, prompt: Prompt, residency: Residency) -> Sent | None:
        sending = asyncio.create_task(asyncio.to_thread(residency.sent, self.model, prompt))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            # A thread cannot be cancelled, and takes room all the same.
            sending.add_done_callback(_given_back)
            raise

    def _add(self, delta: Delta) -> None:
        self.text += delta.text
        self.last = Delta("", delta.finish_reason or self.last.finish_reason, delta.usage or self.last.usage)

    def _is_circling(self, delta: Delta) -> bool:
        """Small models repeat themselves until they are stopped. Looks only where a sentence may have ended, and
        less and less often, since it reads the whole text each time; the text is then cut to what was new."""
        if not delta.text.strip(" \n").endswith((".", "!", "?")) and "\n" not in delta.text:
            return False
        if len(self.text) < self._look_at:
            return False
        self._look_at = len(self.text) + len(self.text) // LOOKS
        cut = repetition(self.text)
        if cut is None:
            return False
        self.text = self.text[:cut]
        self.last = replace(self.last, finish_reason="repetition")
        return True


def _given_back(sending: asyncio.Task[Sent | None]) -> None:
    if not sending.cancelled() and not sending.exception() and (sent := sending.result()):
        asyncio.get_running_loop().run_in_executor(None, sent.ended, "", Delta())
