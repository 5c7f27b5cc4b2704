"""The client that blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

import httpx
from httpx_sse import connect_sse

from openbook.client import calls, exchange
from openbook.client.calls import Call
from rag.remote import mapped

P = ParamSpec("P")
T = TypeVar("T")


def _sent(make: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self.send(make(*arguments, **named))

    exchange.described(method, make)
    return method


def _streamed(make: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> Iterator[T]:
        return self.events(make(*arguments, **named))

    exchange.described(method, make)
    return method


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
        self._http = httpx.Client(**exchange.settings(url, key, timeout_s), transport=transport)

    @classmethod
    def local(cls, data_dir: Path) -> Self:
        """Of the service that runs on a data folder, as its owner. Raises ServiceUnreachable where none does."""
        return cls(*exchange.local(data_dir))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call[T]) -> T:
        with exchange.sent(call) as arguments, mapped(self.url):
            return exchange.read(call, self._http.request(**arguments))

    def events(self, call: Call[T]) -> Iterator[T]:
        with (
            exchange.sent(call) as arguments,
            mapped(self.url),
            connect_sse(self._http, **arguments) as source,
        ):
            if source.response.is_error:
                source.response.read()
                raise exchange.error_of(source.response)
            for event in source.iter_sse():
                yield cast(T, exchange.event_of(call, event.event, event.data))
                if event.event == call.last:
                    return
        raise exchange.stopped()

    stream = _streamed(calls.stream)
    follow = _streamed(calls.follow)
    ask = _sent(calls.ask)
    search = _sent(calls.search)
    context = _sent(calls.context)
    collections = _sent(calls.collections)
    collection = _sent(calls.collection)
    create_collection = _sent(calls.create_collection)
    change_collection = _sent(calls.change_collection)
    delete_collection = _sent(calls.delete_collection)
    documents = _sent(calls.documents)
    document = _sent(calls.document)
    original = _sent(calls.original)
    delete_document = _sent(calls.delete_document)
    upload = _sent(calls.upload)
    upload_url = _sent(calls.upload_url)
    jobs = _sent(calls.jobs)
    job = _sent(calls.job)
    cancel = _sent(calls.cancel)
    retry = _sent(calls.retry)
    conversations = _sent(calls.conversations)
    begin_conversation = _sent(calls.begin_conversation)
    conversation = _sent(calls.conversation)
    delete_conversation = _sent(calls.delete_conversation)
    answers = _sent(calls.answers)
    answer = _sent(calls.answer)
