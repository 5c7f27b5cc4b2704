"""Everything that openbook raises on purpose.

    RagError
    ├── BadRequest               the caller can mend it
    │   ├── BadSetting           a setting or environment variable
    │   ├── BadName              a collection's name
    │   ├── BadFileName          of a file that is sent
    │   ├── QuestionTooLong
    │   └── UploadTooLarge
    ├── NotFound
    │   ├── CollectionNotFound
    │   ├── ConversationNotFound
    │   ├── DocumentNotFound
    │   └── JobNotFound
    ├── SourceError              one file or folder that cannot be ingested
    │   ├── SourceMissing
    │   ├── SourceEmpty
    │   ├── SourceCorrupt
    │   ├── SourceCrash          its parser crashed
    │   ├── SourceOverLimit      more time or memory than a file may take
    │   └── SourceUnsupported
    ├── StoreError
    │   ├── DataFolderInUse
    │   ├── DiskFull
    │   ├── FingerprintMismatch
    │   └── StoreUnavailable
    ├── ModelError
    │   ├── ModelNotInstalled
    │   ├── ModelUnavailable
    │   ├── ModelRefused
    │   └── ContextTooLong
    └── ServiceError             the openbook service itself
        ├── ConversationBusy
        ├── Overloaded           too many questions wait, or it would wait too long
        ├── PortInUse
        └── ServiceUnreachable

``hint`` says the way out; ``retryable`` says that the same request may succeed later. ``code`` travels over
HTTP, so that a client raises what the service raised.
"""

from __future__ import annotations

from pathlib import Path


class RagError(Exception):
    retryable: bool = False

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    @property
    def code(self) -> str:
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadRequest(RagError): ...


class BadSetting(BadRequest): ...


class BadName(BadRequest): ...


class BadFileName(BadRequest):
    @classmethod
    def of(cls, name: str, why: str) -> BadFileName:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        return cls(
            f"{shown!r} cannot be the name of a file: {why}.",
            "Nothing was taken. Send the file under another name; docs/serve.md says what it may be.",
        )


class QuestionTooLong(BadRequest):
    @classmethod
    def of(cls, characters: int, limit: int) -> QuestionTooLong:
        return cls(
            f"The question has {characters:,} characters; at most {limit:,} are taken.",
            "Ingest long text as a document and ask about it, or raise OPENBOOK_MAX_QUESTION_CHARACTERS.",
        )


class UploadTooLarge(BadRequest): ...


class NotFound(RagError): ...


class CollectionNotFound(NotFound):
    @classmethod
    def of(cls, name: str, known: list[str]) -> CollectionNotFound:
        there = f"There are: {', '.join(known)}." if known else "There are none yet."
        return cls(
            f"There is no collection {name!r}. {there}",
            f"Make it with: openbook ingest PATH --collection {name}",
        )


class DocumentNotFound(NotFound):
    @classmethod
    def of(cls, name: str, collection: str) -> DocumentNotFound:
        return cls(
            f"No document {name!r} in collection {collection!r}.",
            f"List them with: openbook documents --collection {collection}",
        )


class ConversationNotFound(NotFound):
    @classmethod
    def of(cls, id_: str) -> ConversationNotFound:
        shown = id_ if len(id_) <= 40 else f"{id_[:40]}…"
        return cls(
            f"There is no conversation {shown!r}; it may have been deleted, or forgotten since nobody went on.",
            "Begin another: POST /v1/conversations, openbook chat, or openbook ask --conversation new",
        )


class JobNotFound(NotFound):
    @classmethod
    def of(cls, id_: str) -> JobNotFound:
        return cls(f"There is no job {id_!r}.", "List them with: openbook jobs")


class SourceError(RagError): ...


class SourceMissing(SourceError): ...


class SourceEmpty(SourceError): ...


class SourceCorrupt(SourceError): ...


class SourceCrash(SourceError): ...


class SourceOverLimit(SourceError): ...


class SourceUnsupported(SourceError): ...


class StoreError(RagError): ...


class DataFolderInUse(StoreError):
    retryable = True

    @classmethod
    def of(cls, folder: Path, pid: int | None, doing: str) -> DataFolderInUse:
        who = f"process {pid} ({doing})" if pid else "another process"
        return cls(
            f"The data folder {folder} is in use by {who}.",
            f"Wait for it, stop it with: kill {pid}, or use another folder: OPENBOOK_DATA_DIR=..."
            if pid
            else "Wait for it, or use another folder: OPENBOOK_DATA_DIR=...",
        )


class DiskFull(StoreError):
    @classmethod
    def of(cls, folder: Path, reserve: int) -> DiskFull:
        return cls(
            f"The disk of {folder} is too full: {reserve / 2**20:,.0f} MiB must stay free.",
            "Make room on it, or use a data folder on another disk: OPENBOOK_DATA_DIR=...",
        )


class FingerprintMismatch(StoreError):
    @classmethod
    def of(cls, collection: str, stored: str, ours: str) -> FingerprintMismatch:
        return cls(
            f"Collection {collection!r} was made with {stored}; this openbook uses {ours}. "
            "Vectors of two models cannot be compared.",
            f"Build it anew with: openbook reindex --collection {collection}",
        )


class StoreUnavailable(StoreError):
    retryable = True


class ModelError(RagError): ...


class ModelNotInstalled(ModelError): ...


class ModelUnavailable(ModelError):
    retryable = True


class ModelRefused(ModelError): ...


class ContextTooLong(ModelError):
    """``needed`` and ``budget`` in tokens."""

    def __init__(self, message: str, hint: str = "", *, needed: int | None = None, budget: int | None = None):
        super().__init__(message, hint)
        self.needed, self.budget = needed, budget


class ServiceError(RagError): ...


class ConversationBusy(ServiceError):
    retryable = True

    @classmethod
    def of(cls, id_: str) -> ConversationBusy:
        return cls(
            f"Conversation {id_} has a question that is being answered.",
            "Ask again when that is done: one question at a time.",
        )


class Overloaded(ServiceError):
    """``retry_after_s``: when there will be room again, as far as can be told."""

    retryable = True

    def __init__(self, message: str, hint: str = "", *, retry_after_s: float = 5.0) -> None:
        super().__init__(message, hint)
        self.retry_after_s = retry_after_s

    @classmethod
    def of(cls, why: str, retry_after_s: float) -> Overloaded:
        return cls(why, f"Ask again in about {retry_after_s:,.0f} s.", retry_after_s=retry_after_s)


class PortInUse(ServiceError):
    @classmethod
    def of(cls, host: str, port: int) -> PortInUse:
        return cls(
            f"Port {port} on {host} is taken by another program.",
            f"Stop that program, or choose another port: openbook serve --port {port + 1 if port < 65535 else 8080}",
        )


class ServiceUnreachable(ServiceError):
    retryable = True


def _tree(cls: type[RagError]) -> dict[str, type[RagError]]:
    found = {cls.__name__: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


def from_code(code: str, message: str, hint: str) -> RagError:
    """The error that a service reported; an unknown code becomes a plain RagError."""
    return _tree(RagError).get(code, RagError)(message, hint)
