"""The model's reply as it comes."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from rag.ports import Delta, Generator, Message
from rag.stages import Stages
from rag.text import repetition


@dataclass(slots=True)
class Reply:
    """What has come so far."""

    text: str = ""
    last: Delta = field(default_factory=Delta)

    async def pieces(
        self,
        generator: Generator,
        messages: Sequence[Message],
        max_tokens: int,
        temperature: float,
        stages: Stages,
    ) -> AsyncGenerator[str, None]:
        """The text as it arrives. Closing it ends the generation on the server too."""
        began, first = time.perf_counter(), None
        stream = generator.stream(messages, max_tokens=max_tokens, temperature=temperature)
        try:
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    if delta.text and first is None:
                        first = time.perf_counter()
                        stages.add("first_token", first - began)
                    self._add(delta)
                    if delta.text:
                        yield delta.text
                    if self._is_circling(delta):
                        break
        finally:
            stages.add("generate", time.perf_counter() - (first or began))

    def _add(self, delta: Delta) -> None:
        self.text += delta.text
        self.last = Delta("", delta.finish_reason or self.last.finish_reason, delta.usage or self.last.usage)

    def _is_circling(self, delta: Delta) -> bool:
        """Small models repeat themselves until they are stopped. Looks only where a sentence may have ended;
        the text is then cut to what was new."""
        if not delta.text.strip(" \n").endswith((".", "!", "?")) and "\n" not in delta.text:
            return False
        cut = repetition(self.text)
        if cut is None:
            return False
        self.text = self.text[:cut]
        self.last = replace(self.last, finish_reason="repetition")
        return True
