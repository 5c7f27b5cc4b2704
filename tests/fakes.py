"""Hand-written stand-ins for the ports, deterministic and without models, sockets or files."""

from __future__ import annotations

import copy
import hashlib
import re
import uuid
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from rag.admission import Gate
from rag.answer import Limits, Rag
from rag.errors import RagError
from rag.plan import Costs
from rag.ports import (
    CacheShape,
    Delta,
    Embedder,
    Generator,
    Message,
    ModelInfo,
    Relayed,
    Reranker,
    Store,
    TokenCounter,
    Vectors,
)
from rag.prefill import Cost
from rag.prefix_cache import PrefixCache
from rag.question import GREEDY, Sampling
from rag.served import Models, Served
from rag.template import Template
from rag.types import Document, Passage, Usage


class FakeEmbedder:
    """A bag of hashed words: texts that share words are near each other."""

    name = "fake-bag-of-words"
    dimension = 64
    max_tokens = 256

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded.extend(texts)
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Vectors:
        vector = np.zeros(self.dimension, dtype=np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % self.dimension] += 1
        norm = float(np.linalg.norm(vector)) or 1.0
        return vector / np.float32(norm)


class FakeCounter:
    """One token for each word or sign."""

    name = "fake-words"
    exact = True

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(self._tokens(text)) for text in texts]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[zlib.crc32(token.encode()) for token in self._tokens(text)] for text in texts]

    def keep(self, texts: Sequence[str]) -> None: ...

    def forget(self) -> None: ...

    def _tokens(self, text: str) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text)


class FakeGenerator:
    """Streams ``reply`` word by word and keeps what it was sent, with its ``options``; ``error`` is raised instead of a
    reply, ``breaks_with`` after its first word."""

    def __init__(self, reply: str = "", window: int = 4096, error: RagError | None = None) -> None:
        self.reply, self.window, self.error = reply, window, error
        self.breaks_with: RagError | None = None
        self.sent: list[Sequence[Message]] = []
        self.options: list[tuple[object, ...]] = []

    async def model(self) -> ModelInfo:
        if self.error:
            raise self.error
        return ModelInfo("fake-model", self.window)

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.sent.append(messages)
        self.options.append((max_tokens, *astuple(sampling)))
        if self.error:
            raise self.error
        pieces = re.findall(r"\S+\s*", self.reply)
        for piece in pieces:
            yield Delta(piece)
            if self.breaks_with:
                raise self.breaks_with
        prompt = sum(FakeCounter().count([message.content for message in messages]))
        yield Delta(finish_reason="stop", usage=Usage(prompt, len(pieces), None))


class FakeRelay:
    """A model server that says ``body`` to everything; keeps what it was asked."""

    def __init__(self, body: bytes = b'{"object": "chat.completion"}', status: int = 200) -> None:
        self.body, self.status = body, status
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @asynccontextmanager
    async def relayed(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Relayed]:
        self.asked.append((path, dict(body)))
        yield Relayed(self.status, "application/json", self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 10):
            yield self.body[at : at + 10]


TEMPLATE = Template((1,), (2,), (3,), (4,), (3,))


class CachingGenerator(FakeGenerator):
    """A server with a prefix cache, whose counts it tells; keeps the ids that it was sent."""

    def __init__(self, reply: str, window: int = 4096, block_size: int = 4, blocks: int = 4096) -> None:
        super().__init__(reply, window)
        self.info = ModelInfo("fake-model", window, TEMPLATE, CacheShape(block_size, blocks))
        self.cache = PrefixCache(block_size, blocks)
        self.ids: list[Sequence[int]] = []
        self.salt = ""

    def salted(self, salt: str) -> CachingGenerator:
        """Of the same server."""
        other = copy.copy(self)
        other.salt = salt
        return other

    async def model(self) -> ModelInfo:
        await super().model()
        return self.info

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.sent.append(messages)
        self.ids.append(ids)
        lease = self.cache.begin(ids, self.salt)
        said = re.findall(r"\S+\s*", self.reply)[:max_tokens]
        for piece in said:
            yield Delta(piece)
        tokens = FakeCounter().encode(["".join(said)])[0]
        finished = "length" if len(said) == max_tokens else "stop"
        lease.extend(tokens if finished == "length" else [*tokens, 0])
        lease.end()
        yield Delta(finish_reason=finished, usage=Usage(len(ids), len(tokens), lease.cached))


def document(source: str = "file:///a.txt", revision: str = "r1", **fields: object) -> Document:
    base: dict[str, object] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, source)),
        "collection": "default",
        "source": source,
        "title": source.rsplit("/", 1)[-1],
        "media_type": "text/plain",
        "content_hash": "0",
        "revision": revision,
        "characters": 0,
        "tokens": 0,
        "passages": 0,
    }
    return Document(**(base | fields))  # type: ignore[arg-type]


def passages(doc: Document, *texts: str, page: int | None = None) -> list[Passage]:
    """Tiles of a document whose text is the concatenation of ``texts``."""
    made: list[Passage] = []
    start = 0
    for ordinal, text in enumerate(texts):
        made.append(
            Passage(
                id=str(uuid.uuid5(uuid.UUID(doc.id), f"{doc.revision}/{ordinal}")),
                document_id=doc.id,
                revision=doc.revision,
                ordinal=ordinal,
                start=start,
                line=1 + "".join(texts[:ordinal]).count("\n"),
                text=text,
                tokens=FakeCounter().count([text])[0],
                page=page,
            )
        )
        start += len(text)
    return made


def served(generator: Generator, name: str = "answer", **more: Any) -> Served:
    return Served.of(name, generator, FakeCounter(), more.pop("limits", Limits()), **more)


def rag_of(
    store: Store,
    embedder: Embedder,
    tokens: TokenCounter,
    generator: Generator,
    limits: Limits,
    reranker: Reranker | None = None,
    *,
    costs: Costs | None = None,
    gate: Gate | None = None,
    **more: Any,
) -> Rag:
    """With one model."""
    models = Models.alone(generator, tokens, limits, costs=costs, gate=gate)
    return Rag(store, embedder, models, reranker, **more)


def change(rag: Rag, **parts: Any) -> None:
    """Of the model that answers, for a test: ``generator=...``, ``limits=...``, ``serving=...``."""
    rag.served = replace(rag.served, **parts)
    rag.models = replace(rag.models, all=(rag.served, *rag.models.all[1:]))


class Costly:
    """Costs of a server on which every prompt takes ``seconds``, and so much for each new token; keeps what was
    observed."""

    def __init__(self, seconds: float, per_token: float = 0.0) -> None:
        self.cost = Cost(fixed=seconds, per_token=per_token, per_pair=0.0)
        self.observed: list[tuple[int, int, float]] = []

    def current(self, model: ModelInfo) -> Cost:
        return self.cost

    def observe(self, model: ModelInfo, new: int, cached: int, seconds: float) -> None:
        self.observed.append((new, cached, seconds))
