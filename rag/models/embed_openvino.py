"""Embedding models under OpenVINO: converted once into a cache folder, then loaded without torch.

A converted model is a folder ``<name>-<signature>`` with the whole sentence-transformers pipeline (transformer,
pooling, normalisation) as one OpenVINO graph, its tokenizer, and a description. rag/models/embed_convert.py makes
it, in a process of its own, and keeps it only if its vectors are those of torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.ports import Vectors

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]

log = logging.getLogger(__name__)

GRAPH, TOKENIZER, DESCRIPTION, REASON = "model.xml", "tokenizer.json", "model.json", "not-convertible.txt"
MIN_COSINE = 0.999  # to torch in float32: below it, vectors are not interchangeable
TOKENS = 512  # per request, with the padding, unless it is one text; 2048 take 60 MB more (docs/log.md)
STEP = 16  # tokens that a batch is padded to a multiple of: fewer shapes to prepare kernels for
CONVERSION_LIMIT_S = 600
_FORMAT = "1"  # of the folder; raise it when what the conversion writes changes


class NotConvertible(Exception):
    """OpenVINO is missing, or it cannot run this model as torch does."""


@dataclass(frozen=True, slots=True)
class Description:
    """``max_tokens`` is where texts are cut; the prompts are put before passages and questions."""

    dimension: int
    max_tokens: int
    document_prompt: str = ""
    query_prompt: str = ""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Description:
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def signature(source: str) -> str:
    """Changes with the files of a local model (names, sizes, times); a hub name stands for itself."""
    folder = Path(source)
    parts = [source]
    if folder.is_dir():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            status = path.stat()
            parts.append(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def load(source: str, cache: Path, prepared: Path | None = None) -> OpenVinoEngine:
    """The model from ``prepared`` or from ``cache``; into this it is converted where neither holds it. Raises
    NotConvertible."""
    try:
        engine = version("openvino")
    except PackageNotFoundError as error:
        raise NotConvertible("the package openvino is not installed") from error
    key = hashlib.sha256("\n".join((_FORMAT, engine, signature(source))).encode()).hexdigest()[:16]
    name = f"{Path(source).name}-{key}"
    for place in filter(None, (prepared, cache)):
        if (place / name).is_dir():
            try:
                return _opened(place / name)
            except (OSError, RuntimeError, ValueError, TypeError) as error:
                log.warning("%s is damaged (%s) and is made anew", place / name, error)
    shutil.rmtree(cache / name, ignore_errors=True)
    _convert(source, cache / name)
    try:
        return _opened(cache / name)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise NotConvertible(f"the converted model cannot be loaded: {error}") from error


def _opened(folder: Path) -> OpenVinoEngine:
    reason = folder / REASON
    if reason.exists():  # found out once; another version of OpenVINO or of the model is tried again
        raise NotConvertible(reason.read_text(encoding="utf-8"))
    return OpenVinoEngine(folder)


def _convert(source: str, folder: Path) -> None:
    """In a process of its own: torch and transformers would keep half a gigabyte of this one's memory."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        # -P: a folder named rag where the user stands must not be taken for ours.
        command = [sys.executable, "-P", "-m", "rag.models.embed_convert", source, str(aside)]
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=CONVERSION_LIMIT_S, check=False, errors="replace"
        )
        if ran.returncode:
            last = (ran.stderr.strip() or f"exit code {ran.returncode}").splitlines()[-1]
            raise NotConvertible(f"the conversion failed: {last}")
        aside.rename(folder)
    except subprocess.TimeoutExpired as error:
        raise NotConvertible(f"the conversion took more than {CONVERSION_LIMIT_S} s") from error
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            raise NotConvertible(f"{folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class OpenVinoEngine:
    """rag.models.embed.Engine over a converted model. Questions do not wait for passages that are being embedded."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, RuntimeError, ValueError or TypeError where ``folder`` does not hold a model."""
        self.description = Description.read(folder / DESCRIPTION)
        self._tokenizer = _Tokenizer(folder / TOKENIZER, self.description.max_tokens)
        self._model, precision = compiled(folder / GRAPH)
        count = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._requests = [self._model.create_infer_request() for _ in range(count)]
        self._lock = threading.Lock()
        self.kind = f"OpenVINO {precision}"

    @property
    def dimension(self) -> int:
        return self.description.dimension

    @property
    def max_tokens(self) -> int:
        return self.description.max_tokens

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Longest first, so that a batch is padded little, and memory is at its height at once."""
        ids = self._tokenizer.ids(self.description.document_prompt, texts)
        found = np.empty((len(ids), self.dimension), dtype=np.float32)
        running: deque[tuple[ov.InferRequest, list[int]]] = deque()

        def finish() -> ov.InferRequest:
            request, chosen = running.popleft()
            request.wait()
            found[chosen] = request.get_output_tensor(0).data
            return request

        # Waited for in turn: the library's own queue calls back, which can lock up against Python's global lock.
        with self._lock:
            idle = list(self._requests)
            try:
                for chosen in batches([len(each) for each in ids], self.max_tokens):
                    request = idle.pop() if idle else finish()
                    request.start_async(list(self._tokenizer.batch([ids[i] for i in chosen])))
                    running.append((request, chosen))
            finally:
                while running:
                    finish()
        return found

    def embed_query(self, text: str) -> Vectors:
        ids = self._tokenizer.ids(self.description.query_prompt, [text])
        request = self._model.create_infer_request()
        request.infer(list(self._tokenizer.batch(ids)))
        return np.array(request.get_output_tensor(0).data[0], dtype=np.float32)


class _Tokenizer:
    def __init__(self, path: Path, max_tokens: int) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the bindings raise plain Exception
            raise ValueError(f"{path}: {error}") from error
        padding = self._tokenizer.padding or {}
        self._pad = int(padding.get("pad_id", 0))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens = max_tokens

    def ids(self, prompt: str, texts: Sequence[str]) -> list[list[int]]:
        # Half a surrogate pair is no text to a tokenizer.
        valid = [prompt + text.encode(errors="replace").decode() for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch(valid)]

    def batch(self, ids: Sequence[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and mask, ``(n, width)``, padded on the right."""
        width = padded_to(max(map(len, ids)), self._max_tokens)
        padded = np.full((len(ids), width), self._pad, dtype=np.int64)
        mask = np.zeros((len(ids), width), dtype=np.int64)
        for row, each in enumerate(ids):
            padded[row, : len(each)] = each
            mask[row, : len(each)] = 1
        return padded, mask


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Which texts, by their number of tokens, go into one request each: the longest first."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        count = max(1, TOKENS // padded_to(lengths[order[0]], max_tokens))
        yield order[:count]
        del order[:count]


def padded_to(longest: int, max_tokens: int) -> int:
    """No wider than the model's window, which a model may have no positions beyond."""
    return max(longest, min(-(-longest // STEP) * STEP, max_tokens))


def compiled(graph: Path) -> tuple[ov.CompiledModel, str]:
    """The graph on the processor, in bfloat16 where that is native, else in float32; and which of the two.

    float16 was slower and less exact (docs/log.md). Several requests run side by side on a share of the cores each:
    a small model gains more from that than from all cores on one request.
    """
    import openvino as ov

    core = ov.Core()
    native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    config = {
        "INFERENCE_PRECISION_HINT": "bf16" if native else "f32",
        "PERFORMANCE_HINT": "THROUGHPUT",
    }
    return core.compile_model(str(graph), "CPU", config), "bf16" if native else "fp32"
