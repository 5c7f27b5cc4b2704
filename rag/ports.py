"""The seams of openbook: what the engine asks of its parts. Each has real implementers and one fake.

Embedder, Store, Index and TokenCounter block and are called from threads; Generator is asynchronous,
since its time is spent waiting for a server.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rag.code.outline import Outline
from rag.question import GREEDY, Filter, Sampling
from rag.template import Template
from rag.types import Candidate, Document, Passage, Usage

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Text to unit vectors."""

    @property
    def name(self) -> str: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int:
        """Longer texts are cut by the model, in its own tokens."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Passages, ``(n, dimension)``, each of length 1."""
        ...

    def embed_query(self, text: str) -> Vectors:
        """A question, ``(dimension,)``."""
        ...


class TokenCounter(Protocol):
    """Counts tokens as the served model does; ``exact`` is false for an estimate (which errs high)."""

    @property
    def name(self) -> str: ...
    @property
    def exact(self) -> bool: ...
    def count(self, texts: Sequence[str]) -> list[int]: ...
    def encode(self, texts: Sequence[str]) -> Sequence[Sequence[int]] | None:
        """Ids of the tokens, each text for itself; None where they are not known."""
        ...

    def keep(self, texts: Sequence[str]) -> None:
        """Questions will ask for their ids, also of another process."""
        ...

    def forget(self) -> None:
        """Another model is served, whose tokens may be others."""
        ...


class Reader(Protocol):
    """What can be read, of one collection or of several. A document is visible whole or not at all, at every moment.
    Safe to use from threads."""

    def candidates(
        self,
        text: str,
        vector: Vectors,
        limit: int,
        among: Filter | None = None,
        within: Sequence[str] | None = None,
    ) -> list[Candidate]:
        """The best ``limit`` passages or more by cosine and as many by BM25, each with both scores, by source
        and ordinal: of all, of what a filter admits, or of some documents by id (then what the filter says of
        documents has been looked at already)."""
        ...

    def named(self, names: Sequence[str]) -> list[Document]:
        """Documents that are called so, as rag.links.names has it."""
        ...

    def read(self, document_id: str, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        """Passages of the visible revision in order: all, or those from the first to the last ordinal given.
        Empty if there is no such document."""
        ...

    def documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        """The catalog, by source; or those of ``ids`` that are visible."""
        ...

    def code(self) -> list[Document]:
        """Of the catalog those that have an outline, by source."""
        ...

    def outlines(self, documents: Sequence[Document]) -> dict[str, Outline]:
        """Of those of these documents that are code, by id; without those that were replaced meanwhile."""
        ...

    def dense(self, passages: Sequence[Passage]) -> dict[str, list[float]]:
        """Their vectors, by id; without those that were replaced meanwhile."""
        ...

    def changes(self) -> tuple[object, ...]:
        """Equal as long as nothing is written here by this process."""
        ...

    def size(self, among: Filter | None = None) -> tuple[int, int]:
        """Visible documents and passages; of those alone that a filter admits, if one is given."""
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """A document and all its passages, with their vectors ``(n, dimension)``, and the outline of one of code."""

    document: Document
    passages: Sequence[Passage]
    vectors: Vectors
    outline: Outline | None = None


class Index(Reader, Protocol):
    """One collection."""

    def vectors(self, passages: Sequence[Passage]) -> Vectors:
        """Of passages as ``read`` gives them, ``(n, dimension)``. Raises KeyError for one that is gone."""
        ...

    def put(self, document: Document, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Write, then swap: an older revision stays visible until this one is whole. Durable on return."""
        ...

    def put_all(self, writes: Sequence[Write]) -> None:
        """Several different documents, each as ``put`` does it, in little more than the time of one."""
        ...

    def remove(self, document_ids: Sequence[str]) -> None: ...


class Store(Protocol):
    """The collections of one data folder or one Qdrant server."""

    def names(self) -> list[str]: ...

    def open(self, collection: str, create: bool = False, *, any_embedder: bool = False) -> Index:
        """Raises CollectionNotFound, and FingerprintMismatch where its vectors come from another embedder,
        unless that does not matter because none is searched for or written."""
        ...

    def swap(self, collection: str, by: str) -> None:
        """``by`` takes the place of ``collection`` in one step; what that held is dropped."""
        ...

    def rename(self, collection: str, to: str) -> None:
        """In one step, durable on return; its documents then say that they are of ``to``. Raises CollectionNotFound,
        CollectionExists and BadName."""
        ...

    def drop(self, collection: str) -> None: ...
    def close(self) -> None: ...


class Reranker(Protocol):
    """Scores passages against a question, higher is better; scores are comparable within one call."""

    @property
    def name(self) -> str: ...
    def score(self, question: str, passages: Sequence[str]) -> list[float]: ...


@dataclass(frozen=True, slots=True)
class Message:
    """``cuts`` are offsets in ``content`` at which its tokens are cut, too, so that what stands between two of them
    has the same ones wherever it stands."""

    role: str
    content: str
    cuts: tuple[int, ...] = ()

    @classmethod
    def of(cls, role: str, pieces: Sequence[str]) -> Message:
        return cls(role, "".join(pieces), tuple(accumulate(map(len, pieces[:-1]))))

    @property
    def pieces(self) -> list[str]:
        return [self.content[a:b] for a, b in pairwise((0, *self.cuts, len(self.content)))]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the model's reply. ``usage`` and ``finish_reason`` come with the last pieces."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class CacheShape:
    """A server's prefix cache: ``blocks`` of ``block_size`` tokens each."""

    block_size: int
    blocks: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The served model: the name to ask for and its window in tokens (prompt and answer together). ``template`` where
    prompts may be sent as token ids, ``cache`` where the server tells what its prefix cache is, ``server`` its version,
    where it tells that."""

    name: str
    window: int
    template: Template | None = None
    cache: CacheShape | None = None
    server: str = ""


class Generator(Protocol):
    async def model(self) -> ModelInfo:
        """Raises ModelUnavailable when the server does not answer."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        """``ids``, where they are given, are what is sent. Raises ModelUnavailable, ContextTooLong or ModelRefused,
        before or between pieces. Closing it ends the generation on the server."""
        ...


@runtime_checkable
class Salting(Protocol):
    """A generator whose server's prefix cache can be kept apart."""

    def salted(self, salt: str) -> Generator:
        """What is sent through it meets in the cache only what was sent with the same salt."""
        ...


@dataclass(frozen=True, slots=True)
class Relayed:
    """A reply of the model server as it is: nothing of it has been looked at."""

    status: int
    media_type: str
    chunks: AsyncIterator[bytes]


class Relay(Protocol):
    def relayed(self, path: str, body: Mapping[str, Any]) -> AbstractAsyncContextManager[Relayed]:
        """The model server's own answer to a request, ``path`` below its ``/v1``. Raises ModelUnavailable, also while
        it is read, and ModelRefused."""
        ...
