"""Hand-written stand-ins for the ports, deterministic and without models, sockets or files."""

from __future__ import annotations

import hashlib
import re
import uuid
import zlib
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from rag.errors import RagError
from rag.ports import CacheShape, Delta, Message, ModelInfo, Vectors
from rag.prefill import Cost
from rag.prefix_cache import PrefixCache
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

    def forget(self) -> None: ...

    def _tokens(self, text: str) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text)


class FakeGenerator:
    """Streams ``reply`` word by word and keeps what it was sent; ``error`` is raised instead of a reply."""

    def __init__(self, reply: str = "", window: int = 4096, error: RagError | None = None) -> None:
        self.reply, self.window, self.error = reply, window, error
        self.sent: list[Sequence[Message]] = []

    async def model(self) -> ModelInfo:
        if self.error:
            raise self.error
        return ModelInfo("fake-model", self.window)

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float, ids: Sequence[int] = ()
    ) -> AsyncGenerator[Delta, None]:
        self.sent.append(messages)
        if self.error:
            raise self.error
        pieces = re.findall(r"\S+\s*", self.reply)
        for piece in pieces:
            yield Delta(piece)
        prompt = sum(FakeCounter().count([message.content for message in messages]))
        yield Delta(finish_reason="stop", usage=Usage(prompt, len(pieces), None))


TEMPLATE = Template((1,), (2,), (3,), (4,), (3,))


class CachingGenerator(FakeGenerator):
    """A server with a prefix cache, whose counts it tells; keeps the ids that it was sent."""

    def __init__(self, reply: str, window: int = 4096, block_size: int = 4, blocks: int = 4096) -> None:
        super().__init__(reply, window)
        self.info = ModelInfo("fake-model", window, TEMPLATE, CacheShape(block_size, blocks))
        self.cache = PrefixCache(block_size, blocks)
        self.ids: list[Sequence[int]] = []

    async def model(self) -> ModelInfo:
        await super().model()
        return self.info

    async def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float, ids: Sequence[int] = ()
    ) -> AsyncGenerator[Delta, None]:
        self.sent.append(messages)
        self.ids.append(ids)
        lease = self.cache.begin(ids)
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
