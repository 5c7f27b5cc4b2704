"""Vectors that were computed before, by model and text, so that no passage is embedded twice on this machine."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path

import numpy as np

from rag.models.kept import MAX_BYTES, Kept
from rag.ports import Embedder, Vectors


class CachedEmbedder:
    """An Embedder over another. Questions pass through: few are asked twice, and none of them should be kept.

    Vectors are kept, and returned, as float16 would have them (cosine to the original > 0.999999), so a vector is
    the same whether it comes from the cache or not. When ``max_bytes`` is reached, those that were not used for
    the longest time go. Safe to use from threads.
    """

    def __init__(
        self,
        embedder: Embedder,
        path: Path,
        *,
        identity: str | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``identity`` tells the model from all others; by default it is the embedder's name."""
        self._embedder, self._identity = embedder, identity
        self._kept = Kept(path, "passages are embedded", max_bytes=max_bytes, clock=clock)
        self._reused = 0

    def over(self, embedder: Embedder) -> CachedEmbedder:
        """What is kept here, over another embedder of the same model. It is closed with this one."""
        other = copy(self)
        other._embedder, other._reused = embedder, 0
        return other

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    @property
    def reused(self) -> int:
        """How many passages did not have to be embedded, since this was made."""
        return self._reused

    def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [self._key(text) for text in texts]
        size = 2 * self.dimension
        found = self._kept.get(keys)
        known = {key: np.frombuffer(v, dtype=np.float16) for key, v in found.items() if len(v) == size}
        self._kept.use(known)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        made = {}
        if missing:
            made = dict(
                zip(missing, self._embedder.embed(list(missing.values())).astype(np.float16), strict=True)
            )
            self._kept.put({key: vector.tobytes() for key, vector in made.items()})
        self._reused += len(texts) - len(missing)
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return _unit(np.stack([known[key] if key in known else made[key] for key in keys]))

    def embed_query(self, text: str) -> Vectors:
        return self._embedder.embed_query(text)

    def close(self) -> None:
        self._kept.close()

    def _key(self, text: str) -> bytes:
        model = self._identity or self._embedder.name
        return hashlib.sha256(f"{model}\0{text}".encode(errors="surrogatepass")).digest()[:20]


def _unit(vectors: Vectors) -> Vectors:
    exact = vectors.astype(np.float32)
    lengths: Vectors = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.maximum(lengths, 1e-12), dtype=np.float32)
