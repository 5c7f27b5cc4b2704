"""The model servers that openbook runs itself, each for one model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rag.errors import ModelUnavailable
from rag.models.vllm_process import VllmStatus


class ModelServer(Protocol):
    @property
    def status(self) -> VllmStatus: ...
    async def start(self) -> None: ...
    async def wait_ready(self) -> None: ...
    async def stop(self) -> None: ...


class Children:
    """By the names of their models. They are started one after the other, since each looks at the memory that is free
    then, and ended the other way round."""

    def __init__(self, servers: Mapping[str, ModelServer], check: Callable[[], None] = lambda: None) -> None:
        """``check`` raises what speaks against starting them."""
        self.servers = dict(servers)
        self.check = check
        self._starting: asyncio.Task[None] | None = None

    def of(self, name: str) -> ModelServer | None:
        return self.servers.get(name)

    async def start(self) -> None:
        """Begins; does not wait. Raises ModelNotInstalled of the first."""
        if self.servers and self._starting is None:
            first, *rest = self.servers.values()
            await first.start()
            self._starting = asyncio.create_task(_started(first, rest), name="children")

    async def stop(self) -> None:
        """Returns when all are gone."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
            self._starting = None
        for each in reversed(self.servers.values()):
            await each.stop()


async def _started(before: ModelServer, rest: Sequence[ModelServer]) -> None:
    for each in rest:
        with contextlib.suppress(ModelUnavailable):  # one that gave up holds no memory any more
            await before.wait_ready()
        await each.start()
        before = each
