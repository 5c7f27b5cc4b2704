"""A cross-encoder that reads question and passage together: slower and better than either score of the index."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.errors import ModelNotInstalled

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BATCH = 32


class CrossEncoderReranker:
    """rag.ports.Reranker by a sentence-transformers cross-encoder: a folder, or a hub name. Loads on first use, on the
    GPU where there is one; then safe to use from threads, one call at a time."""

    def __init__(self, model: str) -> None:
        self._source = model
        self._model: CrossEncoder | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return Path(self._source).name

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """Raises ModelNotInstalled."""
        with self._lock:
            model = self._loaded()
            if not passages:
                return []
            pairs = [(question, passage) for passage in passages]
            found: Any = model.predict(pairs, batch_size=BATCH, show_progress_bar=False)
        return [float(score) for score in np.asarray(found).reshape(len(pairs), -1)[:, 0]]

    def _loaded(self) -> CrossEncoder:
        if self._model is None:
            # Imported here: torch takes seconds, which only who reranks should pay.
            from sentence_transformers import CrossEncoder

            try:
                self._model = CrossEncoder(self._source)
            except (OSError, ValueError) as error:
                raise ModelNotInstalled(
                    f"The reranker {self._source} cannot be loaded: {error}",
                    "Set OPENBOOK_RERANKER to a folder with a sentence-transformers cross-encoder, or unset it.",
                ) from error
        return self._model
