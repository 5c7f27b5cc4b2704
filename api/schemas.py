"""Requests and replies of the REST interface, where they are not values of rag.types themselves."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rag.types import Document, Hit


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnswerRequest(Request):
    question: str = Field(description="What to answer from the collection's documents.")
    collection: str = "default"
    max_context_tokens: int | None = Field(
        None, ge=1, description="Most tokens of documents to read; by default as the server is set."
    )
    max_answer_tokens: int | None = Field(None, ge=1, le=32768)
    temperature: float = Field(0.0, ge=0, le=2)
    stream: bool = Field(
        False, description="Answer as server-sent events: reading, piece (many), answer; or error."
    )


class SearchRequest(Request):
    query: str
    collection: str = "default"
    limit: int = Field(10, ge=1, le=200)


class SearchReply(BaseModel):
    collection: str
    hits: list[Hit]


class IngestRequest(Request):
    paths: list[str] = Field(min_length=1, description="Absolute paths on the machine of the service.")
    collection: str = "default"


class RemoveRequest(Request):
    names: list[str] = []
    folder: str = Field("/", description="Where relative paths in names begin.")
    all: bool = False
    collection: str = "default"


class DocumentsReply(BaseModel):
    collection: str
    documents: list[Document]


class RemoveReply(BaseModel):
    collection: str
    removed: list[Document]


class Check(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    ready: bool
    checks: dict[str, Check]


class CollectionStatus(BaseModel):
    documents: int | None = None
    passages: int | None = None
    error: str | None = None


class Status(BaseModel):
    version: str
    pid: int
    data_dir: str
    url: str | None
    model: str
    embedder: str
    collections: dict[str, CollectionStatus]


class Problem(BaseModel):
    """RFC 9457 problem details; ``code`` is the name of the error in rag/errors.py, ``hint`` the way out."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    retryable: bool = False
