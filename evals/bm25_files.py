"""The baseline that code search is measured against: BM25 on whole files, with their paths.

Stems of words and of parts of identifiers, without stop words: of the usual choices those that it ranks best with.
"""

from __future__ import annotations

import asyncio
import re
from functools import cache, cached_property, lru_cache
from typing import Any, Literal

import numpy as np

from evals.corpus import COLLECTION
from evals.systems import Openbook
from rag import filters

_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]+")
_STOP = frozenset(
    "a an and are as at be but by do does for how if in into is it no not of on or such that the their then there "
    "these they this to was what when where which who why will with".split()
)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Bm25Files:
    """A ranker over the same documents that ``ours`` ranks, by bm25s with its defaults."""

    name: Literal["bm25 on files"] = "bm25 on files"

    def __init__(self, ours: Openbook) -> None:
        self._ours = ours

    async def rank(self, query: str, limit: int) -> list[str]:
        return await asyncio.to_thread(self._ranked, query, limit)

    def _ranked(self, query: str, limit: int) -> list[str]:
        files, retriever = self._indexed
        if not files:
            return []
        scores = retriever.get_scores(terms(query))
        best = np.argsort(-scores, kind="stable")[:limit]
        return [files[number] for number in best if scores[number] > 0]

    @cached_property
    def _indexed(self) -> tuple[list[str], Any]:
        # Imported here: it takes half a second, which no other evaluation needs.
        import bm25s

        index = self._ours.rag.store.open(COLLECTION)
        documents = [each for each in index.documents() if filters.admits(self._ours.among, each)]
        names = [self._ours.named(document.source) for document in documents]
        texts = ["".join(passage.text for passage in index.read(document.id)) for document in documents]
        retriever = bm25s.BM25()
        if not documents:
            return [], retriever
        retriever.index(
            [terms(f"{name} {text}") for name, text in zip(names, texts, strict=True)], show_progress=False
        )
        return names, retriever


def terms(text: str) -> list[str]:
    """Stems of words, and of those that are several of their parts, too: ``getValue``, ``max_size``."""
    found = []
    for word in _WORD.findall(text):
        parts = _PART.findall(word)
        found += [word, *(part for part in parts if len(parts) > 1)]
    return [_stem(word.lower()) for word in found if word.lower() not in _STOP]


@lru_cache(maxsize=262_144)
def _stem(word: str) -> str:
    stemmed: str = _stemmer().stem(word)
    return stemmed


@cache
def _stemmer() -> Any:
    from nltk.stem import PorterStemmer

    return PorterStemmer()
