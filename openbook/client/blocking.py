"""The client that blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import httpx
from httpx_sse import connect_sse

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


class Client:
    """``key`` is an API key, or the token of the data folder's owner. Errors are those of rag.errors, as the service
    raised them, and ServiceUnreachable. ``timeout_s`` bounds the wait for each piece of a reply. Safe to use from
    threads."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        key: str = "",
        *,
        timeout_s: float = 900.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._http = httpx.Client(
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call[T], **more: Any) -> T:
        with mapped(self.url):
            response = self._http.request(call.method, call.path, **exchange.sent(call), **more)
            return exchange.read(call, response)

    def _events(self, call: Call[T], last: str) -> Iterator[T]:
        with (
            mapped(self.url),
            connect_sse(self._http, call.method, call.path, **exchange.sent(call)) as source,
        ):
            if source.response.is_error:
                source.response.read()
                raise exchange.error_of(source.response)
            for event in source.iter_sse():
                yield cast(T, exchange.event_of(call, event.event, event.data))
                if event.event == last:
                    return
        raise ServiceUnreachable("The service stopped before it was done.", "Ask again.")

    def stream(
        self, question: str, collection: Asked = "default", **options: Unpack[AskOptions]
    ) -> Iterator[Event]:
        """Waiting and Reading, Pieces as they come, and the Answer as the last one."""
        return self._events(calls.stream(question, collection, options), "answer")

    def follow(self, id_: str) -> Iterator[FileResult | JobView]:
        """What happens to each file, how far the job is, and the job as it ended."""
        return self._events(calls.follow(id_), "job")

    def upload(
        self,
        files: Files,
        collection: str = "default",
        *,
        progress: Progress | None = None,
        key: str | None = None,
    ) -> JobView:
        """The job that ingests them, once all are there."""
        with exchange.opened(files, progress) as parts:
            return self.send(calls.upload(collection, key), files=parts)

    def ask(
        self,
        question: str,
        collection: Asked = "default",
        *,
        key: str | None = None,
        **options: Unpack[AskOptions],
    ) -> Answer:
        """``key`` is an Idempotency-Key: asked again with it, the same answer comes, computed once."""
        return self.send(calls.ask(question, collection, options, key))

    def search(
        self, query: str, collection: Asked = "default", *, limit: int = 10, among: Filter | None = None
    ) -> tuple[Hit, ...]:
        return (self.send(calls.search(query, collection, limit, among))).hits

    def context(
        self,
        question: str,
        collection: Asked = "default",
        *,
        max_context_tokens: int | None = None,
        among: Filter | None = None,
    ) -> Context:
        """What would be read for a question; no model is asked."""
        return self.send(calls.context(question, collection, max_context_tokens, among))

    def collections(self) -> tuple[Collection, ...]:
        return (self.send(calls.collections())).collections

    def collection(self, name: str) -> Collection:
        return self.send(calls.collection(name))

    def create_collection(self, name: str, *, key: str | None = None) -> Collection:
        return self.send(calls.create_collection(name, key))

    def change_collection(self, collection: str, **changes: Unpack[CollectionChanges]) -> Collection:
        return self.send(calls.change_collection(collection, changes))

    def delete_collection(self, name: str, *, confirm: str = "") -> Removal:
        """Raises ConfirmationNeeded, whose ``token`` confirms that ``would_be_lost`` may be lost."""
        return self.send(calls.delete_collection(name, confirm))

    def documents(self, collection: str = "default", **wanted: Unpack[DocumentsWanted]) -> DocumentPage:
        return self.send(calls.documents(collection, wanted))

    def document(self, id_: str, collection: str = "default") -> Document:
        return self.send(calls.document(collection, id_))

    def original(self, id_: str, collection: str = "default") -> bytes:
        """The file that the document was read from."""
        return self.send(calls.original(collection, id_))

    def delete_document(self, id_: str, collection: str = "default") -> Removal:
        return self.send(calls.delete_document(collection, id_))

    def upload_url(
        self, url: str, collection: str = "default", *, name: str | None = None, key: str | None = None
    ) -> JobView:
        return self.send(calls.upload_url(url, collection, name, key))

    def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        return (self.send(calls.jobs(limit))).jobs

    def job(self, id_: str) -> JobView:
        return self.send(calls.job(id_))

    def cancel(self, id_: str) -> JobView:
        return self.send(calls.change_job(id_, "cancel"))

    def retry(self, id_: str) -> JobView:
        return self.send(calls.change_job(id_, "retry"))

    def conversations(self, limit: int = 50) -> tuple[Conversation, ...]:
        return (self.send(calls.conversations(limit))).conversations

    def begin_conversation(self) -> Conversation:
        return self.send(calls.begin_conversation())

    def conversation(self, id_: str) -> Transcript:
        return self.send(calls.conversation(id_))

    def delete_conversation(self, id_: str) -> None:
        self.send(calls.delete_conversation(id_))

    def answers(self, collection: str = "", *, offset: int = 0, limit: int = 50) -> AnswerPage:
        return self.send(calls.answers(collection, offset, limit))

    def answer(self, id_: str) -> KeptAnswer:
        """A past answer, by its id."""
        return self.send(calls.answer(id_))
