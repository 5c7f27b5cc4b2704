"""Engines over the documents of one bench, each as if the model server had never been asked before."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import httpx

from evals.baseline import LlamaIndex
from evals.engine import Bench
from evals.prefill.asking import AskContextPilot, Asker, AskLlamaIndex, AskOpenbook
from evals.prefill.contextpilot import contextpilot
from evals.prefill.server import Raw, Salted
from evals.systems import Openbook
from rag.answer import Rag
from rag.compose import base_url, chat_client, costs, gate
from rag.plan import Costs
from rag.served import Models
from rag.settings import Settings


class Baseline(StrEnum):
    LLAMAINDEX = "llamaindex"
    CONTEXTPILOT = "contextpilot"


@dataclass(frozen=True, slots=True)
class Serving:
    """``theirs`` is needed for baselines alone."""

    settings: Settings
    bench: Bench
    ours: Openbook
    theirs: LlamaIndex | None = None
    pilot_python: Path | None = None

    @asynccontextmanager
    async def raw(self) -> AsyncIterator[Raw]:
        raw = Raw(base_url(self.settings, self.bench.server), self.settings.llm_api_key)
        try:
            yield raw
        finally:
            await raw.close()

    @asynccontextmanager
    async def rag(self, budget: int) -> AsyncIterator[tuple[Rag, Salted]]:
        """An engine that reads so many tokens of documents, whose requests carry a salt that no other has, and what
        adds it."""
        salted = Salted(secrets.token_hex(8))
        async with self.engine(budget, salted, costs(self.settings, self.bench.server)) as rag:
            yield rag, salted

    @asynccontextmanager
    async def engine(
        self, budget: int, transport: httpx.AsyncBaseTransport, known: Costs | None = None
    ) -> AsyncIterator[Rag]:
        """One that has met no text yet, which reads so many tokens of documents."""
        rag, settings = self.bench.rag, self.settings
        generator = chat_client(settings, self.bench.server, rag.tokens.encode, transport)
        try:
            limits = replace(rag.limits, context_tokens=budget)
            models = Models.alone(generator, rag.tokens, limits, costs=known, gate=gate(settings))
            yield Rag(rag.store, rag.embedder, models)
        finally:
            await generator.close()

    @asynccontextmanager
    async def asker(self, baseline: Baseline | None, budget: int) -> AsyncIterator[Asker]:
        """openbook where no baseline is named."""
        async with self.rag(budget) as (rag, _):
            if baseline is None:
                yield AskOpenbook(replace(self.ours, rag=rag))
                return
            assert self.theirs
            theirs = replace(self.theirs, rag=rag)
            if baseline is Baseline.LLAMAINDEX:
                yield AskLlamaIndex(theirs, budget)
            else:
                async with contextpilot(self.pilot_python) as pilot:
                    yield AskContextPilot(theirs, budget, pilot)
