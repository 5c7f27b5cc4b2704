"""An embedding model on a server, over OpenAI's interface."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from rag.models.pooling_server import PoolingServer
from rag.ports import Vectors

BATCH = 64  # texts in a request
# Passages are as long as the embedder reads; a window of 32k tokens would make them too long to find anything by.
MOST_TOKENS = 512


class RemoteEmbedder:
    """rag.ports.Embedder. The server is asked for ``name`` and ``dimension``, so it must answer once before a
    collection is opened; then each reply is held to them, since vectors of another model must never meet these.
    ``query_prompt`` stands before questions. Safe to use from threads; raises EmbedderUnavailable and ModelRefused."""

    def __init__(self, server: PoolingServer, query_prompt: str = "") -> None:
        self._server, self._query_prompt = server, query_prompt

    @property
    def name(self) -> str:
        """As a model on this machine is called, so that one may move to a server."""
        return Path(self._server.model.name).name

    @property
    def identity(self) -> str:
        return f"{self.name}:{self._server.url}"

    @cached_property
    def dimension(self) -> int:
        return len(self._vectors(["a test"])[0])

    @property
    def max_tokens(self) -> int:
        return min(self._server.model.window or MOST_TOKENS, MOST_TOKENS)

    @property
    def kind(self) -> str:
        return self._server.url

    def load(self) -> None:
        """Nothing is to be loaded here; raises where the server does not answer."""
        _ = self.dimension

    def check(self) -> None:
        """Raises, soon, where the server does not answer or does not serve the model any more."""
        self._server.check()

    def close(self) -> None:
        self._server.close()

    def embed(self, texts: Sequence[str]) -> Vectors:
        parts = [self._embedded(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])

    def embed_query(self, text: str) -> Vectors:
        found: Vectors = self._embedded([self._query_prompt + text])[0]
        return found

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        dimension, found = self.dimension, self._vectors(texts)
        if any(len(vector) != dimension for vector in found):
            raise self._server.refused(
                f"gives vectors of {len(found[0])} dimensions now and gave {dimension} before: another model is served."
            )
        vectors = np.stack(found)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)

    def _vectors(self, texts: Sequence[str]) -> list[Vectors]:
        reply = self._server.ask("embeddings", input=list(texts), encoding_format="base64")
        try:
            rows = sorted(reply["data"], key=lambda row: row["index"])
            found = [_vector(row["embedding"]) for row in rows]
        except (ValueError, LookupError, TypeError) as error:
            raise self._server.refused("answers embeddings otherwise than OpenAI's do.") from error
        if len(found) != len(texts) or not all(np.isfinite(vector).all() for vector in found):
            raise self._server.refused(f"gives {len(found)} vectors for {len(texts)} texts, or no numbers.")
        return found


def _vector(told: str | list[float]) -> Vectors:
    """Not every server knows base64."""
    if isinstance(told, str):
        return np.frombuffer(base64.b64decode(told), dtype="<f4").astype(np.float32)
    return np.asarray(told, dtype=np.float32)
