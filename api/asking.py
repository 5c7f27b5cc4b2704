"""Where a command's questions go: to the service that runs on the data folder, or to an engine of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Protocol

from api.answer_view import View
from rag import wire
from rag.admission import Waiting
from rag.answer import Piece, Reading
from rag.children import ModelServer
from rag.compose import Engine, open_rag
from rag.conversations import Summary
from rag.question import Question
from rag.remote import Remote, find_service
from rag.settings import Settings
from rag.types import Answer

EVENTS: dict[str, type[Any]] = {"waiting": Waiting, "reading": Reading, "piece": Piece, "answer": Answer}


class Asked(Protocol):
    def begin(self) -> Summary:
        """A new conversation."""
        ...

    def answer(self, question: Question, view: View) -> Answer: ...


@contextmanager
def asking(settings: Settings, doing: str) -> Iterator[Asked]:
    """An engine, and with it the model server, is kept until the end."""
    if service := find_service(settings.data_dir):
        yield _Service(service)
        return
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        engine = runner.run(stack.enter_async_context(open_rag(settings, doing)))
        try:
            yield _Local(runner, engine)
        finally:
            runner.run(stack.aclose())


class _Service:
    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def begin(self) -> Summary:
        made: Summary = self._remote.call("POST", "/v1/conversations", Summary, accept=(201,), json={})
        return made

    def answer(self, question: Question, view: View) -> Answer:
        body = wire.dump(question) | {"question": question.text, "stream": True}
        body["filter"] = body.pop("among")
        body["temperature"] = body.pop("sampling")["temperature"]
        del body["text"], body["instructions"], body["client"]  # which is who calls
        for event in self._remote.stream("POST", "/v1/answer", EVENTS, last="answer", json=body):
            view.show(event)
        assert isinstance(event, Answer)
        return event


class _Local:
    def __init__(self, runner: asyncio.Runner, engine: Engine) -> None:
        self._runner, self._engine = runner, engine

    def begin(self) -> Summary:
        return self._engine.rag.conversations.create()

    def answer(self, question: Question, view: View) -> Answer:
        return self._runner.run(self._answer(question, view))

    async def _answer(self, question: Question, view: View) -> Answer:
        # Before a model server is started for a minute: is there anything to ask, and is it a question?
        await self._engine.rag.check(question)
        if server := await self._server(question):
            await model_ready(server, view.told)
        async for event in self._engine.rag.stream(question):
            view.show(event)
        assert isinstance(event, Answer)
        return event

    async def _server(self, question: Question) -> ModelServer | None:
        """That of the model that is to answer, where openbook runs it; no other one is started for a question."""
        model, *_ = await self._engine.rag.models.wanted(question.model)
        return self._engine.children.of(model.name)


async def model_ready(server: ModelServer, say: Callable[[str], None]) -> None:
    """Starts the managed model server and says what it is doing until it answers. Raises ModelUnavailable."""
    if server.status.state == "ready":
        return
    await server.start()
    waiting = asyncio.ensure_future(server.wait_ready())
    began = time.monotonic()
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.5)
        say(f"starting the model server: {server.status.detail} ({time.monotonic() - began:.0f} s)")
    await waiting
