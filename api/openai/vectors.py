"""``/v1/embeddings`` and ``/v1/rerank``: the models by which collections are searched, for other uses."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel

from api.openai.errors import ERRORS
from api.openai.raw import no_such_model
from api.openai.schemas import EmbeddingsRequest, RerankRequest
from api.routes import EngineOf
from api.rules import needs
from rag.compose import Engine
from rag.errors import BadParameter
from rag.ports import Vectors

T = TypeVar("T")

BATCH = 32  # texts, between which questions may be embedded

router = APIRouter(responses=ERRORS)


class InputUsage(BaseModel):
    """By the tokenizer of the model that answers."""

    prompt_tokens: int
    total_tokens: int


class Embedding(BaseModel):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    object: Literal["list"] = "list"
    model: str
    data: list[Embedding]
    usage: InputUsage


class RankedDocument(BaseModel):
    text: str


class Ranked(BaseModel):
    index: int
    relevance_score: float
    document: RankedDocument | None = None


class Ranking(BaseModel):
    """Best first. ``method``: by a cross-encoder where one is set, else by the cosine of the embedder's vectors."""

    id: str
    object: Literal["list"] = "list"
    model: str
    method: Literal["cross-encoder", "cosine"]
    results: list[Ranked]
    usage: InputUsage


@router.post("/v1/embeddings", summary="OpenAI's embeddings, by the embedder of the collections")
@needs("read")
async def embeddings(body: EmbeddingsRequest, engine: EngineOf) -> EmbeddingList:
    embedder = engine.embedder
    if body.model != embedder.name:
        raise no_such_model(body.model)
    texts = _texts(body)
    dimension = await asyncio.to_thread(lambda: embedder.dimension)
    if body.dimensions not in (None, dimension):
        raise BadParameter(
            f"{embedder.name} gives vectors of {dimension} dimensions.",
            "Leave it out.",
            parameter="dimensions",
        )
    vectors = await _embedded(engine, texts, is_question=body.input_type in ("query", "search_query"))
    written = _base64 if body.encoding_format == "base64" else _floats
    data = [Embedding(index=at, embedding=written(vector)) for at, vector in enumerate(vectors)]
    return EmbeddingList(model=body.model, data=data, usage=await _counted(engine, texts))


@router.post("/v1/rerank", summary="Documents by how well they answer a query, as Jina and Cohere have it")
@needs("read")
async def rerank(body: RerankRequest, engine: EngineOf) -> Ranking:
    reranker = engine.rag.reranker
    name = await asyncio.to_thread(lambda: reranker.name) if reranker else engine.embedder.name
    if body.model not in (None, "", name):
        raise no_such_model(body.model)
    texts = [each if isinstance(each, str) else each.text for each in body.documents]
    scores = await _scores(engine, body.query, texts)
    order = sorted(range(len(texts)), key=lambda at: -scores[at])[: body.top_n]
    return Ranking(
        id=f"rerank-{secrets.token_hex(12)}",
        model=name,
        method="cross-encoder" if reranker else "cosine",
        results=[
            Ranked(
                index=at,
                relevance_score=scores[at],
                document=RankedDocument(text=texts[at]) if body.return_documents else None,
            )
            for at in order
        ],
        usage=await _counted(engine, [body.query, *texts]),
    )


def _texts(body: EmbeddingsRequest) -> list[str]:
    texts = [body.input] if isinstance(body.input, str) else body.input
    read = [text for text in texts if isinstance(text, str)]
    if len(read) < len(texts):
        raise BadParameter("Token ids cannot be embedded.", "Send text.", parameter="input")
    if not all(text.strip() for text in read):
        raise BadParameter("An empty text cannot be embedded.", "Leave it out.", parameter="input")
    return read


async def _embedded(engine: Engine, texts: Sequence[str], *, is_question: bool) -> Vectors:
    def of(batch: Sequence[str]) -> Vectors:
        if is_question:
            return np.stack([engine.embedder.embed_query(text) for text in batch])
        return engine.embedder.embed(batch)

    return np.concatenate(await _in_batches(of, texts))


async def _scores(engine: Engine, query: str, texts: Sequence[str]) -> list[float]:
    if reranker := engine.rag.reranker:
        found = await _in_batches(lambda batch: reranker.score(query, batch), texts)
        return [score for batch in found for score in batch]
    (asked,) = await _embedded(engine, [query], is_question=True)
    return [float(score) for score in await _embedded(engine, texts, is_question=False) @ asked]


async def _in_batches(work: Callable[[Sequence[str]], T], texts: Sequence[str]) -> list[T]:
    return [await asyncio.to_thread(work, texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]


async def _counted(engine: Engine, texts: Sequence[str]) -> InputUsage:
    tokens = sum(await asyncio.to_thread(engine.rag.tokens.count, texts))
    return InputUsage(prompt_tokens=tokens, total_tokens=tokens)


def _floats(vector: Vectors) -> list[float]:
    return [float(value) for value in vector]


def _base64(vector: Vectors) -> str:
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
