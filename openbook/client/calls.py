"""Each request of the client, for both of its kinds: what is sent, and what its reply is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

from openbook.client import models
from openbook.client.models import Collection, Conversation, DocumentPage, JobView, Removal, Transcript
from rag import wire
from rag.answers import AnswerPage, KeptAnswer
from rag.question import Filter, Policy
from rag.types import Answer, Document

T = TypeVar("T")


class AskOptions(TypedDict, total=False):
    """As POST /v1/answer has them; docs/rest.md."""

    filter: Filter
    policy: Policy
    conversation: str
    max_context_tokens: int
    max_answer_tokens: int
    target_ttft_ms: int
    temperature: float
    model: str
    priority: int


class DocumentsWanted(TypedDict, total=False):
    name: str
    media_type: str
    language: str
    code: str
    modified_since: datetime | str
    sort: str
    offset: int
    limit: int


class CollectionChanges(TypedDict, total=False):
    """What is not given stays; None takes it back."""

    name: str
    target_ttft_ms: int | None
    pinned: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request whose reply is a ``kind``; ``None`` for one without a body."""

    method: str
    path: str
    kind: Any
    params: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Asked = str | Sequence[str]  # one collection, or several


def ask(question: str, collection: Asked, options: AskOptions, key: str | None) -> Call[Answer]:
    body = _question(question, collection, options)
    return Call("POST", "/v1/answer", Answer, json=body, headers=once(key))


def stream(question: str, collection: Asked, options: AskOptions) -> Call[models.Event]:
    body = _question(question, collection, options) | {"stream": True}
    return Call("POST", "/v1/answer", models.EVENTS, json=body)


def _question(question: str, collection: Asked, options: AskOptions) -> dict[str, Any]:
    body: dict[str, Any] = {"question": question, "collection": _names(collection), **options}
    return body | {"filter": wire.dump(options.get("filter", Filter()))}


def _names(collection: Asked) -> str | list[str]:
    return collection if isinstance(collection, str) else list(collection)


def search(query: str, collection: Asked, limit: int, among: Filter | None) -> Call[models.Hits]:
    body = {"query": query, "collection": _names(collection), "limit": limit}
    return Call("POST", "/v1/search", models.Hits, json=body | {"filter": wire.dump(among or Filter())})


def context(question: str, collection: Asked, most: int | None, among: Filter | None) -> Call[models.Context]:
    body = {"question": question, "collection": _names(collection), "max_context_tokens": most}
    return Call("POST", "/v1/context", models.Context, json=body | {"filter": wire.dump(among or Filter())})


def collections() -> Call[models.Collections]:
    return Call("GET", "/v1/collections", models.Collections)


def collection(name: str) -> Call[Collection]:
    return Call("GET", _of(name), Collection)


def create_collection(name: str, key: str | None) -> Call[Collection]:
    return Call("POST", "/v1/collections", Collection, json={"collection": name}, headers=once(key))


def change_collection(collection: str, changes: CollectionChanges) -> Call[Collection]:
    return Call("PATCH", _of(collection), Collection, json=dict(changes))


def delete_collection(name: str, confirm: str) -> Call[Removal]:
    return Call("DELETE", _of(name), Removal, {"confirm": confirm} if confirm else {})


def documents(collection: str, wanted: DocumentsWanted) -> Call[DocumentPage]:
    params = {name: str(value) for name, value in wanted.items()}
    return Call("GET", f"{_of(collection)}/documents", DocumentPage, params)


def document(collection: str, id_: str) -> Call[Document]:
    return Call("GET", _document(collection, id_), Document)


def original(collection: str, id_: str) -> Call[bytes]:
    return Call("GET", f"{_document(collection, id_)}/original", bytes)


def delete_document(collection: str, id_: str) -> Call[Removal]:
    return Call("DELETE", _document(collection, id_), Removal)


def upload(collection: str, key: str | None) -> Call[JobView]:
    """Without its files."""
    return Call("POST", "/v1/uploads", JobView, {"collection": collection}, headers=once(key))


def upload_url(url: str, collection: str, name: str | None, key: str | None) -> Call[JobView]:
    body = {"url": url, "collection": collection, "name": name}
    return Call("POST", "/v1/uploads/url", JobView, json=body, headers=once(key))


def jobs(limit: int) -> Call[models.Jobs]:
    return Call("GET", "/v1/jobs", models.Jobs, {"limit": limit})


def job(id_: str) -> Call[JobView]:
    return Call("GET", f"/v1/jobs/{quote(id_, safe='')}", JobView)


def follow(id_: str) -> Call[Any]:
    return Call("GET", f"/v1/jobs/{quote(id_, safe='')}/events", models.JOB_EVENTS)


def change_job(id_: str, to: Literal["cancel", "retry"]) -> Call[JobView]:
    return Call("POST", f"/v1/jobs/{quote(id_, safe='')}/{to}", JobView)


def conversations(limit: int) -> Call[models.Conversations]:
    return Call("GET", "/v1/conversations", models.Conversations, {"limit": limit})


def begin_conversation() -> Call[Conversation]:
    return Call("POST", "/v1/conversations", Conversation, json={})


def conversation(id_: str) -> Call[Transcript]:
    return Call("GET", f"/v1/conversations/{quote(id_, safe='')}", Transcript)


def delete_conversation(id_: str) -> Call[None]:
    return Call("DELETE", f"/v1/conversations/{quote(id_, safe='')}", None)


def answers(collection: str, offset: int, limit: int) -> Call[AnswerPage]:
    params = {"collection": collection, "offset": offset, "limit": limit}
    return Call("GET", "/v1/answers", AnswerPage, params)


def answer(id_: str) -> Call[KeptAnswer]:
    return Call("GET", f"/v1/answers/{quote(id_, safe='')}", KeptAnswer)


def once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _of(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _document(collection: str, id_: str) -> str:
    return f"{_of(collection)}/documents/{quote(id_, safe='')}"
