"""How much a question would read, and how soon its answer would begin, before anybody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rag.answer import Rag
from rag.collection_settings import TARGET_TTFT_MS
from rag.gather import TEMPLATE_TOKENS
from rag.plan import LEAST_TOKENS
from rag.ports import ModelInfo, Reader
from rag.prompt import SYSTEM
from rag.question import Question
from rag.served import ANSWER

_QUESTION = "What is it?"  # a few tokens, as most questions have


@dataclass(frozen=True, slots=True)
class Forecast:
    """``tokens`` of documents would be read, of the ``budget_tokens`` that a question has without a target; the
    collections have ``collection_tokens``. ``seconds`` to the first token are predicted where nothing is cached, and
    one in ten is farther off than ``error``, a share; both are None where the speed of the model server is not known,
    and a target has no effect. ``target_ttft_ms`` is the one that holds: the request's, the collections' or the
    server's. ``model`` is the name of the one that would read; ``collection_tokens`` are as counted when it was
    ingested."""

    collections: tuple[str, ...]
    target_ttft_ms: int | None
    tokens: int
    budget_tokens: int
    collection_tokens: int
    seconds: float | None = None
    error: float | None = None
    model: str = ANSWER


async def forecast(
    rag: Rag, collections: Sequence[str], target_ttft_ms: int | None, model: str | None = None
) -> Forecast:
    """By the named model, else by the one that answers. Raises CollectionNotFound and ModelNotFound, and
    ModelUnavailable where the model server does not tell its window."""
    if model is not None:
        rag = rag.by(await rag.models.named(model))
    told = await asyncio.to_thread(
        _forecast, rag, await rag.generator.model(), tuple(collections), target_ttft_ms
    )
    return replace(told, model=rag.served.name)


def _forecast(
    rag: Rag, model: ModelInfo, collections: tuple[str, ...], target_ttft_ms: int | None
) -> Forecast:
    question = Question(_QUESTION, collections, target_ttft_ms=target_ttft_ms)
    held = rag.reading(collections, _tokens)
    budget = rag.limits.budget(question, model.window, rag.remembered).documents
    target_s = rag.limits.target_s(question, rag.collection_settings.values(TARGET_TTFT_MS, collections))
    target_ms = None if target_s is None else round(target_s * 1000)
    cost, most = rag.serving.known(model).cost, min(budget, held)
    if cost is None:
        return Forecast(collections, target_ms, most, budget, held)
    around = sum(rag.remembered.count([SYSTEM, question.text])) + TEMPLATE_TOKENS
    tokens = most
    if target_s is not None:
        tokens = min(most, max(LEAST_TOKENS, cost.affordable(target_s, most=most + around) - around))
    return Forecast(
        collections, target_ms, tokens, budget, held, cost.seconds(tokens + around), cost.spread.p90
    )


def _tokens(index: Reader) -> int:
    return sum(document.tokens for document in index.documents())
