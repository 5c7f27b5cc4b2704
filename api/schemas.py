"""Requests and replies of the REST interface, where they are not values of rag, ingest or api/replies.py themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rag.collection_settings import MOST_TARGET_MS
from rag.question import Filter, Policy
from rag.text import is_unicode


def _unicode(text: str) -> str:
    """JSON may hold half a surrogate pair, which is no character: neither index nor model take it."""
    if not is_unicode(text):
        raise ValueError("half a surrogate pair is not a character")
    return text


Text = Annotated[str, AfterValidator(_unicode)]

_REF = "Of a repository: the branch, tag or commit to read, instead of its files on the disk."

TargetMs = Annotated[int, Field(ge=1, le=MOST_TARGET_MS)]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AnswerRequest(Request):
    question: Text = Field(description="What to answer from the collection's documents.")
    collection: str | list[str] = Field("default", description="One collection, or several.")
    filter: Filter = Field(default_factory=Filter, description="Only what it admits is searched and read.")
    policy: Policy = Field("auto", description="How the context is packed; docs/answers.md.")
    conversation: Text | None = Field(
        None, description="Id of the conversation that this goes on; POST /v1/conversations makes one."
    )
    max_context_tokens: int | None = Field(
        None, ge=1, description="Most tokens of documents to read; by default as the server is set."
    )
    max_answer_tokens: int | None = Field(None, ge=1, le=32768)
    target_ttft_ms: TargetMs | None = Field(
        None,
        description="Milliseconds in which the answer begins: so much is read as that affords; by default as the "
        "collection or the server is set.",
    )
    temperature: float = Field(0.0, ge=0, le=2)
    model: Text | None = Field(
        None, max_length=256, description="Who is to answer, of several models; by default the role answer."
    )
    priority: int = Field(
        0, ge=-10, le=10, description="Where questions wait, those of a higher one go first."
    )
    stream: bool = Field(
        False,
        description="Answer as server-sent events: reading, waiting (while others go first), piece (many), answer; "
        "or error.",
    )


class ConversationRequest(Request):
    """Nothing has to be said of a conversation beforehand; that it is JSON keeps web pages from making them."""


class SearchRequest(Request):
    query: Text
    collection: str | list[str] = "default"
    filter: Filter = Field(default_factory=Filter)
    limit: int = Field(10, ge=1, le=200)


class UrlUploadRequest(Request):
    url: Text = Field(max_length=2048, description="http or https, of a host at a public address.")
    collection: str = "default"
    name: Text | None = Field(
        None, max_length=1024, description="What the file is to be called; by default host and path."
    )


class IngestRequest(Request):
    paths: list[str] = Field(
        description="Absolute paths on the machine of the service; of a refresh also none, for all repositories that "
        "the collection was made from."
    )
    collection: str = "default"
    prune: bool = Field(False, description="Remove documents whose files have gone from these folders.")
    retry: bool = Field(False, description="Try again what failed before, though it has not changed.")
    dry: bool = Field(False, description="Do nothing; tell what would be done.")
    changed: list[str] | None = Field(None, description="Only these files below the paths have changed.")
    explicit: bool = Field(False, description="Take these as if each had been named in paths.")
    within: list[str] | None = Field(
        None, description="Read only what is in these folders, links followed; by default all that is named."
    )
    ref: str | None = Field(None, description=_REF)
    all_files: bool = Field(False, description="Read generated, minified, vendored and lock files, too.")
    refresh: bool = Field(
        False, description="Look only at what changed in repositories since they were read."
    )

    @model_validator(mode="after")
    def _has_paths(self) -> IngestRequest:
        if not (self.paths or self.refresh):
            raise ValueError("no path is named")
        return self


class RefreshRequest(Request):
    ref: str | None = Field(None, description=_REF)


class CollectionRequest(Request):
    collection: str = Field(description="Its name: lower-case letters, digits, '-', '_' and '.', 63 at most.")


class CollectionChange(Request):
    """What is not given stays as it is."""

    name: str | None = Field(None, description="The collection's new name.")
    target_ttft_ms: TargetMs | None = Field(
        None, description="Milliseconds in which answers from it begin; null takes it back."
    )
    pinned: list[Text] | None = Field(
        None, max_length=1000, description="Documents that are read first, by id or source; null for none."
    )


class TargetRequest(Request):
    collection: str = "default"
    target_ttft_ms: TargetMs | None = Field(description="null takes it back.")


class ReindexRequest(Request):
    collection: str = "default"


class RemoveRequest(Request):
    names: list[str] = []
    folder: str = Field("/", description="Where relative paths in names begin.")
    all: bool = False
    collection: str = "default"


class PinRequest(Request):
    names: list[str] = Field(min_length=1, description="As RemoveRequest has them.")
    folder: str = Field("/", description="Where relative paths in names begin.")
    collection: str = "default"


class UnpinRequest(Request):
    names: list[str] = []
    folder: str = Field("/", description="Where relative paths in names begin.")
    all: bool = False
    collection: str = "default"


class WarmRequest(Request):
    collection: str | None = Field(None, description="One collection; by default all.")
    questions: list[Text] = Field(
        [], description="Then what these would read of that collection, or of default."
    )


class BackupRequest(Request):
    path: str = Field(description="Absolute path on the machine of the service.")


class Check(BaseModel):
    ok: bool
    detail: str


class Readiness(BaseModel):
    ready: bool
    checks: dict[str, Check]


class FieldProblem(BaseModel):
    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """RFC 9457 problem details; ``code`` is the name of the error in rag/errors.py, ``hint`` the way out."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    retryable: bool = False
    errors: list[FieldProblem] = Field(
        default=[], description="Of a body that is not as it should be: each field."
    )


class ConfirmationProblem(Problem):
    """``token`` confirms it; ``would_be_lost`` are counts."""

    token: str
    would_be_lost: dict[str, int]
