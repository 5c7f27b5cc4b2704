"""Of hits that are like many others, each says less to the question than one that stands alone. Pure.

A vector in a crowd is near to any question (hubs in high dimensions: Radovanović et al., 2010,
https://jmlr.org/papers/v11/radovanovic10a.html). Its likeness to its nearest neighbours is taken from its score, as
cross-domain similarity local scaling does (CSLS, Conneau et al., 2018, https://arxiv.org/abs/1710.04087). For code,
where thousands of short functions do nearly the same, and for short questions, which say little: what several versions
of a document say is no crowd to be left, and a long question names what it is about. Measured (docs/log.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rag import fuse
from rag.types import Hit

LOOKED_AT = 200  # hits in code
NEAREST = 10  # neighbours of each, of other documents
LOSS = 0.3  # of a score, for each unit of cosine, where a question is short


def loss_in_code(question: str) -> float:
    """LOSS for the questions of which BM25 counts least (rag.fuse), 0 for those of which it counts in full."""
    return LOSS * (1 - fuse.weight_in_code(question)) / (1 - fuse.WEIGHT)


def dispersed(hits: Sequence[Hit], vectors: Mapping[str, Sequence[float]], loss: float = LOSS) -> list[Hit]:
    """The hits, in their order, with scores less or more by how much nearer than usual their neighbours are: ``loss``
    for each unit of cosine. ``vectors`` are of those that are looked at, by the id of the passage; the others stay as
    they are."""
    looked_at = [hit for hit in hits if hit.passage.id in vectors]
    if len(looked_at) <= NEAREST:
        return list(hits)
    rows = np.asarray([vectors[hit.passage.id] for hit in looked_at], dtype=np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    _, document = np.unique([hit.document.id for hit in looked_at], return_inverse=True)
    likeness = np.where(document[:, None] == document, 0.0, rows @ rows.T)
    near = np.partition(likeness, -NEAREST, axis=1)[:, -NEAREST:].mean(axis=1)
    lost = dict(zip((hit.passage.id for hit in looked_at), loss * (near - near.mean()), strict=True))
    return [replace(hit, score=hit.score - float(lost.get(hit.passage.id, 0.0))) for hit in hits]
