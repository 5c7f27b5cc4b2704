"""Everything that openbook raises on purpose.

    RagError
    ├── BadRequest               the caller can mend it
    │   ├── BadParameter         one field of a request, which is named
    │   ├── BadSetting           a setting or environment variable
    │   ├── BadName              a collection's name
    │   ├── AmbiguousName        several documents or symbols are called so
    │   ├── BadFileName          of a file that is sent
    │   ├── BackupUnreadable     no backup, or a damaged one
    │   ├── PathNotAllowed       outside the folders that the owner allowed
    │   ├── ConfirmationNeeded   of what cannot be undone
    │   ├── IdempotencyKeyReused for another request
    │   ├── NotReplaceable       a document that is no uploaded file of its own
    │   ├── OutOfDate            what is to be changed is not as the caller knows it
    │   ├── QuestionTooLong
    │   ├── UnknownModel         whose size cannot be told from its configuration
    │   ├── UploadTooLarge
    │   └── UrlNotAllowed        openbook does not fetch what is there
    ├── AccessError              who asks may not
    │   ├── KeyMissing
    │   ├── KeyRefused           unknown, expired or revoked
    │   └── ScopeMissing
    ├── NotFound
    │   ├── AnswerNotFound
    │   ├── CollectionNotFound
    │   ├── ConversationNotFound
    │   ├── DocumentNotFound
    │   ├── JobNotFound
    │   ├── KeyNotFound
    │   ├── ModelNotFound        that may answer
    │   ├── OriginalNotFound     the file that a document was read from
    │   ├── RefNotFound          a branch, tag or commit
    │   └── SymbolNotFound
    ├── SourceError              one file or folder that cannot be ingested
    │   ├── SourceMissing
    │   ├── RepositoryUnreadable
    │   ├── SourceEmpty
    │   ├── SourceCorrupt
    │   ├── SourceCrash          its parser crashed
    │   ├── SourceOverLimit      more time or memory than a file may take
    │   ├── SourceUnsupported
    │   └── UrlUnreadable        a file of the web that cannot be fetched
    ├── StoreError
    │   ├── CollectionExists
    │   ├── DataFolderInUse
    │   ├── DataTooNew           a later openbook wrote it
    │   ├── DiskFull
    │   ├── FingerprintMismatch
    │   ├── NotEmpty             where a backup is to be restored
    │   └── StoreUnavailable
    ├── ModelError
    │   ├── EmbedderUnavailable  its server does not answer
    │   ├── RerankerUnavailable  likewise
    │   ├── ModelNotInstalled
    │   ├── ModelUnavailable
    │   ├── NotEnoughMemory      for the models that are to run beside each other
    │   ├── ModelRefused
    │   └── ContextTooLong
    └── ServiceError             the openbook service itself
        ├── ClusterUnavailable   Ray, on which files are to be read
        ├── CollectionBusy       jobs for it run or wait
        ├── ConversationBusy
        ├── IdempotencyKeyBusy   the request is being done
        ├── Overloaded           too many questions wait, or it would wait too long
        │   └── RateLimited      a key has had its requests or tokens of this minute
        ├── PortInUse
        ├── ServiceStopping      it takes nothing new, and breaks off what has not finished in time
        ├── ServiceUnreachable
        └── TimedOut             a whole answer took longer than it may

``hint`` says the way out; ``retryable`` says that the same request may succeed later. ``code`` travels over
HTTP, so that a client raises what the service raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from rag.denied import AccessError as AccessError
from rag.denied import KeyMissing as KeyMissing
from rag.denied import KeyRefused as KeyRefused
from rag.denied import ScopeMissing as ScopeMissing
from rag.error import RagError as RagError
from rag.not_found import AnswerNotFound as AnswerNotFound
from rag.not_found import CollectionNotFound as CollectionNotFound
from rag.not_found import ConversationNotFound as ConversationNotFound
from rag.not_found import DocumentNotFound as DocumentNotFound
from rag.not_found import JobNotFound as JobNotFound
from rag.not_found import KeyNotFound as KeyNotFound
from rag.not_found import ModelNotFound as ModelNotFound
from rag.not_found import NotFound as NotFound
from rag.not_found import OriginalNotFound as OriginalNotFound
from rag.not_found import RefNotFound as RefNotFound
from rag.not_found import SymbolNotFound as SymbolNotFound
from rag.service_error import ClusterUnavailable as ClusterUnavailable
from rag.service_error import CollectionBusy as CollectionBusy
from rag.service_error import ConversationBusy as ConversationBusy
from rag.service_error import IdempotencyKeyBusy as IdempotencyKeyBusy
from rag.service_error import Overloaded as Overloaded
from rag.service_error import PortInUse as PortInUse
from rag.service_error import RateLimited as RateLimited
from rag.service_error import ServiceError as ServiceError
from rag.service_error import ServiceStopping as ServiceStopping
from rag.service_error import ServiceUnreachable as ServiceUnreachable
from rag.service_error import TimedOut as TimedOut

SHOWN = 8  # of the candidates for an ambiguous name


class BadRequest(RagError): ...


class BadParameter(BadRequest):
    """``parameter`` as the request has it: ``messages.2.content``."""

    def __init__(self, message: str, hint: str = "", *, parameter: str = "") -> None:
        super().__init__(message, hint)
        self.parameter = parameter


class BadSetting(BadRequest): ...


class UnknownModel(BadRequest): ...


class BackupUnreadable(BadRequest): ...


class BadName(BadRequest): ...


class BadFileName(BadRequest):
    @classmethod
    def of(cls, name: str, why: str) -> BadFileName:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        return cls(
            f"{shown!r} cannot be the name of a file: {why}.",
            "Nothing was taken. Send the file under another name; docs/serve.md says what it may be.",
        )


class AmbiguousName(BadRequest):
    @classmethod
    def of(cls, name: str, what: str, candidates: Sequence[str], way_out: str) -> AmbiguousName:
        more = f" and {len(candidates) - SHOWN:,} more" if len(candidates) > SHOWN else ""
        named = ", ".join(candidates[:SHOWN])
        return cls(f"{name!r} names {len(candidates):,} {what}: {named}{more}.", way_out)


class PathNotAllowed(BadRequest):
    @classmethod
    def of(cls, path: str, why: str) -> PathNotAllowed:
        return cls(f"{path} may not be read: {why}.", "The owner lists what may in OPENBOOK_ROOTS.")


class ConfirmationNeeded(BadRequest):
    """``token`` confirms what ``would_be_lost`` says."""

    def __init__(
        self, message: str, hint: str = "", *, token: str = "", would_be_lost: dict[str, int] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.token, self.would_be_lost = token, would_be_lost or {}


class IdempotencyKeyReused(BadRequest): ...


class NotReplaceable(BadRequest): ...


class OutOfDate(BadRequest):
    @classmethod
    def of(cls, what: str) -> OutOfDate:
        return cls(f"{what} has changed since.", "Get it again, look at it, and send its new ETag.")


class QuestionTooLong(BadRequest):
    @classmethod
    def of(cls, characters: int, limit: int) -> QuestionTooLong:
        return cls(
            f"The question has {characters:,} characters; at most {limit:,} are taken.",
            "Ingest long text as a document and ask about it, or raise OPENBOOK_MAX_QUESTION_CHARACTERS.",
        )


class UploadTooLarge(BadRequest): ...


class UrlNotAllowed(BadRequest): ...


class SourceError(RagError): ...


class RepositoryUnreadable(SourceError): ...


class SourceMissing(SourceError): ...


class SourceEmpty(SourceError): ...


class SourceCorrupt(SourceError): ...


class SourceCrash(SourceError): ...


class SourceOverLimit(SourceError): ...


class SourceUnsupported(SourceError): ...


class UrlUnreadable(SourceError): ...


class StoreError(RagError): ...


class CollectionExists(StoreError):
    @classmethod
    def of(cls, name: str) -> CollectionExists:
        return cls(f"There is a collection {name!r} already.", "Choose another name.")


class NotEmpty(StoreError): ...


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


class DataTooNew(StoreError):
    @classmethod
    def of(cls, what: str, found: int, made_by: str, known: int) -> DataTooNew:
        by = f", written by openbook {made_by}" if made_by else ""
        return cls(
            f"{what} has format {found}{by}; this is openbook {version('openbook')}, which knows up to {known}.",
            "Nothing was changed. Run that openbook or a later one, or restore a backup of before into another folder.",
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


class NotEnoughMemory(ModelError): ...


class ModelUnavailable(ModelError):
    retryable = True


class EmbedderUnavailable(ModelError):
    retryable = True


class RerankerUnavailable(ModelError):
    retryable = True


class ModelRefused(ModelError): ...


class ContextTooLong(ModelError):
    """``needed`` and ``budget`` in tokens."""

    def __init__(self, message: str, hint: str = "", *, needed: int | None = None, budget: int | None = None):
        super().__init__(message, hint)
        self.needed, self.budget = needed, budget


def _tree(cls: type[RagError]) -> dict[str, type[RagError]]:
    found = {cls.__name__: cls}
    for child in cls.__subclasses__():
        found |= _tree(child)
    return found


def from_code(code: str, message: str, hint: str) -> RagError:
    """The error that a service reported; an unknown code becomes a plain RagError."""
    return _tree(RagError).get(code, RagError)(message, hint)
