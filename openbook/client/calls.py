"""Each request of the client, as the method of its name takes it in both kinds: what is sent, and what its reply is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar, Unpack
from urllib.parse import quote

from ingest.report import FileResult
from openbook.client import models
from openbook.client.models import Collection, Conversation, DocumentPage, JobView, Removal, Transcript
from rag import wire
from rag.answers import AnswerPage, KeptAnswer
from rag.question import Filter, Policy
from rag.types import Answer, Document, Hit

T = TypeVar("T")
Progress = Callable[[int, int], None]  # bytes that are sent, and all of them
Files = Sequence[Path | tuple[str, Path]]  # what is sent, with the name that it gets, by default its own


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
    """A request whose reply is a ``kind``, or that ``part`` of one; None where it has no body. ``files`` are sent with
    it. Of a stream the kinds are those of its events, of which ``last`` ends it."""

    method: str
    path: str
    kind: Any
    params: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    part: str = ""
    files: Files = ()
    progress: Progress | None = None
    last: str = ""


Asked = str | Sequence[str]  # one collection, or several


def ask(
    question: str, collection: Asked = "default", *, key: str | None = None, **options: Unpack[AskOptions]
) -> Call[Answer]:
    """``key`` is an Idempotency-Key: asked again with it, the same answer comes, computed once."""
    return Call(
        "POST", "/v1/answer", Answer, json=_question(question, collection, options), headers=_once(key)
    )


def stream(question: str, collection: Asked = "default", **options: Unpack[AskOptions]) -> Call[models.Event]:
    """Waiting and Reading, Pieces as they come, and the Answer as the last one."""
    body = _question(question, collection, options) | {"stream": True}
    return Call("POST", "/v1/answer", models.EVENTS, json=body, last="answer")


def search(
    query: str, collection: Asked = "default", *, limit: int = 10, among: Filter | None = None
) -> Call[tuple[Hit, ...]]:
    """Best first."""
    body = {"query": query, "collection": _names(collection), "limit": limit}
    return Call("POST", "/v1/search", models.Hits, json=body | _filter(among), part="hits")


def context(
    question: str,
    collection: Asked = "default",
    *,
    max_context_tokens: int | None = None,
    among: Filter | None = None,
) -> Call[models.Context]:
    """What would be read for a question; no model is asked."""
    body = {
        "question": question,
        "collection": _names(collection),
        "max_context_tokens": max_context_tokens,
    }
    return Call("POST", "/v1/context", models.Context, json=body | _filter(among))


def collections() -> Call[tuple[Collection, ...]]:
    return Call("GET", "/v1/collections", models.Collections, part="collections")


def collection(name: str) -> Call[Collection]:
    return Call("GET", _of(name), Collection)


def create_collection(name: str, *, key: str | None = None) -> Call[Collection]:
    return Call("POST", "/v1/collections", Collection, json={"collection": name}, headers=_once(key))


def change_collection(collection: str, **changes: Unpack[CollectionChanges]) -> Call[Collection]:
    return Call("PATCH", _of(collection), Collection, json=dict(changes))


def delete_collection(name: str, *, confirm: str = "") -> Call[Removal]:
    """Raises ConfirmationNeeded, whose ``token`` confirms that ``would_be_lost`` may be lost."""
    return Call("DELETE", _of(name), Removal, {"confirm": confirm} if confirm else {})


def documents(collection: str = "default", **wanted: Unpack[DocumentsWanted]) -> Call[DocumentPage]:
    params = {name: str(value) for name, value in wanted.items()}
    return Call("GET", f"{_of(collection)}/documents", DocumentPage, params)


def document(id_: str, collection: str = "default") -> Call[Document]:
    return Call("GET", _document(collection, id_), Document)


def original(id_: str, collection: str = "default") -> Call[bytes]:
    """The file that the document was read from."""
    return Call("GET", f"{_document(collection, id_)}/original", bytes)


def delete_document(id_: str, collection: str = "default") -> Call[Removal]:
    return Call("DELETE", _document(collection, id_), Removal)


def upload(
    files: Files, collection: str = "default", *, progress: Progress | None = None, key: str | None = None
) -> Call[JobView]:
    """The job that ingests them, once all are there."""
    params = {"collection": collection}
    return Call("POST", "/v1/uploads", JobView, params, headers=_once(key), files=files, progress=progress)


def upload_url(
    url: str, collection: str = "default", *, name: str | None = None, key: str | None = None
) -> Call[JobView]:
    body = {"url": url, "collection": collection, "name": name}
    return Call("POST", "/v1/uploads/url", JobView, json=body, headers=_once(key))


def jobs(limit: int = 50) -> Call[tuple[JobView, ...]]:
    return Call("GET", "/v1/jobs", models.Jobs, {"limit": limit}, part="jobs")


def job(id_: str) -> Call[JobView]:
    return Call("GET", _job(id_), JobView)


def follow(id_: str) -> Call[FileResult | JobView]:
    """What happens to each file, how far the job is, and the job as it ended."""
    return Call("GET", f"{_job(id_)}/events", models.JOB_EVENTS, last="job")


def cancel(id_: str) -> Call[JobView]:
    return Call("POST", f"{_job(id_)}/cancel", JobView)


def retry(id_: str) -> Call[JobView]:
    return Call("POST", f"{_job(id_)}/retry", JobView)


def conversations(limit: int = 50) -> Call[tuple[Conversation, ...]]:
    return Call("GET", "/v1/conversations", models.Conversations, {"limit": limit}, part="conversations")


def begin_conversation() -> Call[Conversation]:
    return Call("POST", "/v1/conversations", Conversation, json={})


def conversation(id_: str) -> Call[Transcript]:
    return Call("GET", f"/v1/conversations/{quote(id_, safe='')}", Transcript)


def delete_conversation(id_: str) -> Call[None]:
    return Call("DELETE", f"/v1/conversations/{quote(id_, safe='')}", None)


def answers(collection: str = "", *, offset: int = 0, limit: int = 50) -> Call[AnswerPage]:
    params = {"collection": collection, "offset": offset, "limit": limit}
    return Call("GET", "/v1/answers", AnswerPage, params)


def answer(id_: str) -> Call[KeptAnswer]:
    """A past answer, by its id."""
    return Call("GET", f"/v1/answers/{quote(id_, safe='')}", KeptAnswer)


def _question(question: str, collection: Asked, options: AskOptions) -> dict[str, Any]:
    body: dict[str, Any] = {"question": question, "collection": _names(collection), **options}
    return body | _filter(options.get("filter"))


def _filter(among: Filter | None) -> dict[str, Any]:
    return {"filter": wire.dump(among or Filter())}


def _names(collection: Asked) -> str | list[str]:
    return collection if isinstance(collection, str) else list(collection)


def _once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _of(collection: str) -> str:
    return f"/v1/collections/{quote(collection, safe='')}"


def _document(collection: str, id_: str) -> str:
    return f"{_of(collection)}/documents/{quote(id_, safe='')}"


def _job(id_: str) -> str:
    return f"/v1/jobs/{quote(id_, safe='')}"
