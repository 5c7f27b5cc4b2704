"""The client for event loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import httpx
from httpx_sse import aconnect_sse

from ingest.report import FileResult
from openbook.client import calls, exchange
from openbook.client.calls import Asked, AskOptions, Call, CollectionChanges, DocumentsWanted
from openbook.client.exchange import Files, Progress
from openbook.client.models import (
    Collection,
    Context,
    Conversation,
    DocumentPage,
    Event,
    JobView,
    Removal,
    Transcript,
)
from rag.answers import AnswerPage, KeptAnswer
from rag.errors import ServiceUnreachable
from rag.question import Filter
from rag.remote import find_service, mapped
from rag.types import Answer, Document, Hit

T = TypeVar("T")


class AsyncClient:
    """``key`` is an API key, or the token of the data folder's owner. Errors are those of rag.errors, as the service
    raised them, and ServiceUnreachable. ``timeout_s`` bounds the wait for each piece of a reply."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str = "",
        *,
        timeout_s: float = 900.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(timeout_s, connect=10.0),
            transport=transport,
        )

    @classmethod
    def local(cls, data_dir: Path) -> Self:
        """Of the service that runs on a data folder, as its owner. Raises ServiceUnreachable where none does."""
        service = find_service(data_dir)
        if service is None:
            raise ServiceUnreachable(f"No service runs on {data_dir}.", "Start one with: openbook serve")
        return cls(service.url, service.token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, call: Call[T], **more: Any) -> T:
        with mapped(self.url):
            response = await self._http.request(call.method, call.path, **exchange.sent(call), **more)
            return exchange.read(call, response)

    async def _events(self, call: Call[T], last: str) -> AsyncIterator[T]:
        with mapped(self.url):
            async with aconnect_sse(self._http, call.method, call.path, **exchange.sent(call)) as source:
                if source.response.is_error:
                    await source.response.aread()
                    raise exchange.error_of(source.response)
                async for event in source.aiter_sse():
                    yield cast(T, exchange.event_of(call, event.event, event.data))
                    if event.event == last:
                        return
        raise ServiceUnreachable("The service stopped before it was done.", "Ask again.")

    def stream(
        self, question: str, collection: Asked = "default", **options: Unpack[AskOptions]
    ) -> AsyncIterator[Event]:
        """Waiting and Reading, Pieces as they come, and the Answer as the last one."""
        return self._events(calls.stream(question, collection, options), "answer")

    def follow(self, id_: str) -> AsyncIterator[FileResult | JobView]:
        """What happens to each file, how far the job is, and the job as it ended."""
        return self._events(calls.follow(id_), "job")

    async def upload(
        self,
        files: Files,
        collection: str = "default",
        *,
        progress: Progress | None = None,
        key: str | None = None,
    ) -> JobView:
        """The job that ingests them, once all are there."""
        with exchange.opened(files, progress) as parts:
            return await self.send(calls.upload(collection, key), files=parts)

    async def ask(
        self,
        question: str,
        collection: Asked = "default",
        *,
        key: str | None = None,
        **options: Unpack[AskOptions],
    ) -> Answer:
        """``key`` is an Idempotency-Key: asked again with it, the same answer comes, computed once."""
        return await self.send(calls.ask(question, collection, options, key))

    async def search(
        self, query: str, collection: Asked = "default", *, limit: int = 10, among: Filter | None = None
    ) -> tuple[Hit, ...]:
        return (await self.send(calls.search(query, collection, limit, among))).hits

    async def context(
        self,
        question: str,
        collection: Asked = "default",
        *,
        max_context_tokens: int | None = None,
        among: Filter | None = None,
    ) -> Context:
        """What would be read for a question; no model is asked."""
        return await self.send(calls.context(question, collection, max_context_tokens, among))

    async def collections(self) -> tuple[Collection, ...]:
        return (await self.send(calls.collections())).collections

    async def collection(self, name: str) -> Collection:
        return await self.send(calls.collection(name))

    async def create_collection(self, name: str, *, key: str | None = None) -> Collection:
        return await self.send(calls.create_collection(name, key))

    async def change_collection(self, collection: str, **changes: Unpack[CollectionChanges]) -> Collection:
        return await self.send(calls.change_collection(collection, changes))

    async def delete_collection(self, name: str, *, confirm: str = "") -> Removal:
        """Raises ConfirmationNeeded, whose ``token`` confirms that ``would_be_lost`` may be lost."""
        return await self.send(calls.delete_collection(name, confirm))

    async def documents(self, collection: str = "default", **wanted: Unpack[DocumentsWanted]) -> DocumentPage:
        return await self.send(calls.documents(collection, wanted))

    async def document(self, id_: str, collection: str = "default") -> Document:
        return await self.send(calls.document(collection, id_))

    async def original(self, id_: str, collection: str = "default") -> bytes:
        """The file that the document was read from."""
        return await self.send(calls.original(collection, id_))

    async def delete_document(self, id_: str, collection: str = "default") -> Removal:
        return await self.send(calls.delete_document(collection, id_))

    async def upload_url(
        self, url: str, collection: str = "default", *, name: str | None = None, key: str | None = None
    ) -> JobView:
        return await self.send(calls.upload_url(url, collection, name, key))

    async def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        return (await self.send(calls.jobs(limit))).jobs

    async def job(self, id_: str) -> JobView:
        return await self.send(calls.job(id_))

    async def cancel(self, id_: str) -> JobView:
        return await self.send(calls.change_job(id_, "cancel"))

    async def retry(self, id_: str) -> JobView:
        return await self.send(calls.change_job(id_, "retry"))

    async def conversations(self, limit: int = 50) -> tuple[Conversation, ...]:
        return (await self.send(calls.conversations(limit))).conversations

    async def begin_conversation(self) -> Conversation:
        return await self.send(calls.begin_conversation())

    async def conversation(self, id_: str) -> Transcript:
        return await self.send(calls.conversation(id_))

    async def delete_conversation(self, id_: str) -> None:
        await self.send(calls.delete_conversation(id_))

    async def answers(self, collection: str = "", *, offset: int = 0, limit: int = 50) -> AnswerPage:
        return await self.send(calls.answers(collection, offset, limit))

    async def answer(self, id_: str) -> KeptAnswer:
        """A past answer, by its id."""
        return await self.send(calls.answer(id_))
